use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint};

use super::{NO_VALUE, Page, get, lens, show};
use crate::metrics::{
    Exponential,
    testing::{
        CUMULATIVE, DELTA, UNSPECIFIED, attribute, explicit_of, explicit_point,
        exponential_histogram, exponential_of, exponential_point, histogram,
    },
};

/// The estimate, the bounds and the error of each quantile.
fn quantiles(page: &Page) -> Vec<Vec<String>> {
    let cells = page.texts(".quantiles tbody td");
    cells.chunks(3).map(<[String]>::to_vec).collect()
}

fn unknown_extremes(histogram: Exponential) -> Exponential {
    Exponential {
        min: None,
        max: None,
        ..histogram
    }
}

#[tokio::test]
async fn exponential_histograms_of_each_scale_have_quantiles_with_bounds() {
    let wide: Vec<f64> = (1..=100).map(f64::from).collect();
    // At a high scale, distant values would need millions of buckets.
    let narrow: Vec<f64> = wide.iter().map(|value| 50.0 + value * 1e-5).collect();
    for (scale, p50, bounds, error) in [
        (-10, "2 s", "1 s to 1.8e308 s", "at most 100 %"),
        (0, "42.7 s", "32 s to 1 min 4 s", "at most 33.3 %"),
        (3, "51.5 s", "49.4 s to 53.8 s", "at most 4.33 %"),
        (20, "50 s", "50 s to 50 s", "at most 3.31e-5 %"),
    ] {
        let values = if scale == 20 { &narrow } else { &wide };
        let histogram = exponential_of(values, scale, 0.0);
        let point = exponential_point(10, 20, &unknown_extremes(histogram));
        let page = show(vec![exponential_histogram(DELTA, vec![point])]).await;
        let found = quantiles(&page);
        assert_eq!(found.len(), 4);
        assert!(found[0][1].starts_with(bounds), "{scale} {found:?}");
        assert_eq!(found[0][2], error, "{scale} {found:?}");
        assert_eq!(found[0][0], p50, "{scale} {found:?}");
        assert_eq!(
            page.charts(),
            ["Distribution", "Quantiles", "Values per second", "Mean"]
        );
        assert_eq!(page.rows("Values per second")[0][1], "10 values/s");
        assert_eq!(
            page.rows("Mean")[0][1],
            if scale == 20 { "50 s" } else { "50.5 s" }
        );
        assert!(page.count("rect.heat[width]") > 0);
    }
}

#[tokio::test]
async fn negative_values_and_zeros_have_rows() {
    let histogram = exponential_of(&[-4.0, -4.0, 0.0, 0.0005, 8.0], 0, 0.001);
    let point = exponential_point(10, 20, &unknown_extremes(histogram));
    let page = show(vec![exponential_histogram(DELTA, vec![point])]).await;
    let titles = page.texts("rect.heat title");
    for row in [
        "-4 s to -2 s: 2 values",
        "-1 ms to 1 ms: 2 values",
        "4 s to 8 s: 1 value",
    ] {
        assert!(
            titles.iter().any(|title| title.ends_with(row)),
            "{row} {titles:?}"
        );
    }
    let found = quantiles(&page);
    assert_eq!(found[0], ["0 s", "-1 ms to 1 ms", "no bound"]);
    assert_eq!(found[3][1], "4 s to 8 s");
}

#[tokio::test]
async fn known_extremes_narrow_the_bounds() {
    let point = exponential_point(10, 20, &exponential_of(&[3.0], 0, 0.0));
    let page = show(vec![exponential_histogram(DELTA, vec![point])]).await;
    assert_eq!(quantiles(&page)[0], ["3 s", "exactly 3 s", "none"]);
}

#[tokio::test]
async fn empty_histograms_are_said() {
    let point = ExponentialHistogramDataPoint {
        count: 0,
        ..exponential_point(10, 20, &Exponential::default())
    };
    let page = show(vec![exponential_histogram(DELTA, vec![point])]).await;
    assert_eq!(page.status, 200);
    page.has("No values can be told for this time.");
}

#[tokio::test]
async fn histograms_of_different_scales_are_merged() {
    let one: Vec<f64> = (1..=50).map(f64::from).collect();
    let other: Vec<f64> = (51..=100).map(f64::from).collect();
    let mut points = [
        exponential_point(10, 20, &unknown_extremes(exponential_of(&one, 5, 0.0))),
        exponential_point(10, 20, &unknown_extremes(exponential_of(&other, 2, 0.5))),
    ];
    points[1].attributes = vec![attribute("host", "b")];
    let page = show(vec![exponential_histogram(DELTA, points.to_vec())]).await;
    let all: Vec<f64> = (1..=100).map(f64::from).collect();
    let whole = unknown_extremes(exponential_of(&all, 2, 0.5));
    let p99 = whole.quantile(0.99).unwrap();
    let unit = super::super::super::chart::Unit::new("s");
    assert_eq!(quantiles(&page)[3][0], unit.text(p99.value));
    assert_eq!(quantiles(&page)[3][2], "at most 8.64 %");
    assert_eq!(page.rows("Values per second")[0][1], "10 values/s");
}

#[tokio::test]
async fn cumulative_histograms_show_what_was_added_and_survive_resets() {
    let at = |start, time, values: &[f64]| {
        exponential_point(
            start,
            time,
            &unknown_extremes(exponential_of(values, 3, 0.0)),
        )
    };
    let points = vec![
        at(10, 20, &[1.0; 10]),
        at(10, 30, &[1.0; 30]),
        // The process started again.
        at(30, 40, &[64.0; 10]),
    ];
    let page = show(vec![exponential_histogram(CUMULATIVE, points)]).await;
    let rates: Vec<_> = page.rows("Values per second");
    let rates: Vec<_> = rates.iter().map(|row| row[1].as_str()).collect();
    assert_eq!(rates, ["1 value/s", "2 values/s", "1 value/s"]);
    let means: Vec<_> = page
        .rows("Mean")
        .into_iter()
        .map(|row| row[1].clone())
        .collect();
    assert_eq!(means, ["1 s", "1 s", "1 min 4 s"]);
    // 30 values of 1 s and 10 of 64 s.
    assert_eq!(quantiles(&page)[0][1], "917 ms to 1 s");
}

#[tokio::test]
async fn histograms_without_bounds_or_sum_are_shown() {
    let mut one = explicit_of(&[1.0, 2.0, 3.0], &[]);
    (one.min, one.max, one.sum) = (None, None, None);
    let page = show(vec![histogram(DELTA, vec![explicit_point(10, 20, &one)])]).await;
    assert_eq!(
        page.charts(),
        ["Distribution", "Quantiles", "Values per second"]
    );
    assert_eq!(quantiles(&page)[0], ["not known", "any value", "–"]);
    assert_eq!(page.count("rect.heat[x]"), 1 + 10);
}

#[tokio::test]
async fn the_bounds_of_a_histogram_may_change() {
    let one = explicit_of(&[1.0, 3.0], &[2.0]);
    let other = explicit_of(&[1.0, 3.0, 30.0], &[1.5, 10.0]);
    let points = vec![explicit_point(10, 20, &one), explicit_point(20, 30, &other)];
    let page = show(vec![histogram(DELTA, points)]).await;
    page.has("The series have different bounds.");
    let last = &quantiles(&page)[3];
    assert_eq!(last[1], "10 s to 30 s");
    assert_eq!(page.rows("Values per second").len(), 2);
}

#[tokio::test]
async fn values_above_all_bounds_have_no_bound() {
    let mut one = explicit_of(&[1.0, 30.0], &[10.0]);
    (one.min, one.max) = (None, None);
    let page = show(vec![histogram(DELTA, vec![explicit_point(10, 20, &one)])]).await;
    assert_eq!(quantiles(&page)[3], ["not known", "above 10 s", "–"]);
    assert_eq!(quantiles(&page)[0], ["not known", "up to 10 s", "–"]);
}

#[tokio::test]
async fn quantiles_have_no_line_in_buckets_that_are_too_wide() {
    let bounds = [0.0, 5.0, 10.0, 25.0];
    let point = |start, time, values: &[f64]| {
        let mut one = explicit_of(values, &bounds);
        (one.min, one.max) = (None, None);
        explicit_point(start, time, &one)
    };
    // A program that records seconds with the default bounds, which are for milliseconds.
    let quick = vec![point(10, 20, &[0.02; 20]), point(20, 30, &[0.02; 20])];
    let page = show(vec![histogram(DELTA, quick)]).await;
    page.has("A quantile has no line where its bucket has no bound");
    let quantiles_chart = ".charts svg[aria-label='Quantiles']";
    assert_eq!(page.count(quantiles_chart), 0);
    for row in page.rows("Quantiles") {
        assert_eq!(row[1..], ["0 s to 5 s"; 4]);
    }
    assert_eq!(quantiles(&page)[2], ["not known", "0 s to 5 s", "–"]);

    // Half of the values are in a bucket that tells enough, and some are above all bounds.
    let mixed: Vec<f64> = [vec![7.0; 19], vec![60.0]].concat();
    let mixed = vec![point(10, 20, &mixed), point(20, 30, &mixed)];
    let page = show(vec![histogram(DELTA, mixed)]).await;
    assert_eq!(page.count(quantiles_chart), 1);
    // p50, p90 and p95, but not p99.
    assert_eq!(page.count(&format!("{quantiles_chart} path.line")), 3);
    let rows = page.rows("Quantiles");
    assert_eq!(rows[0][1..], ["7.63 s", "9.74 s", "10 s", "above 25 s"]);
    let titles = page.texts(&format!("{quantiles_chart} .slice title"));
    assert!(titles[0].ends_with("p99: above 25 s"), "{titles:?}");
}

#[tokio::test]
async fn quantiles_of_good_buckets_need_no_warning() {
    let point = explicit_point(10, 20, &explicit_of(&[6.0, 7.0, 9.0], &[5.0, 10.0]));
    let page = show(vec![histogram(DELTA, vec![point])]).await;
    assert!(!page.text().contains("A quantile has no line"));
    let point = exponential_point(10, 20, &unknown_extremes(exponential_of(&[7.0], -10, 0.0)));
    let page = show(vec![exponential_histogram(DELTA, vec![point])]).await;
    assert!(!page.text().contains("A quantile has no line"));
}

#[tokio::test]
async fn gaps_of_histograms_are_gaps() {
    let at = |time, count| explicit_point(10, time, &explicit_of(&vec![1.0; count], &[2.0]));
    let gap = HistogramDataPoint {
        flags: NO_VALUE,
        ..at(40, 0)
    };
    let points = vec![at(20, 1), at(30, 2), gap, at(50, 9), at(60, 10)];
    let page = show(vec![histogram(CUMULATIVE, points)]).await;
    let rows = page.rows("Values per second");
    let times: Vec<_> = rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(times.len(), 3, "{times:?}");
    assert!(
        !times.iter().any(|time| time.starts_with("00:00:30")),
        "{times:?}"
    );
}

#[tokio::test]
async fn histograms_without_temporality_are_shown_as_they_came() {
    let points = vec![explicit_point(10, 20, &explicit_of(&[1.0], &[2.0]))];
    let page = show(vec![histogram(UNSPECIFIED, points)]).await;
    page.has("The client does not say whether points are deltas or totals");
    assert!(page.charts().contains(&"Distribution".to_owned()));
}

#[tokio::test]
async fn histograms_are_grouped_for_rates_and_means() {
    let mut points = [1.0, 3.0].map(|value| explicit_point(10, 20, &explicit_of(&[value], &[2.0])));
    points[0].attributes = vec![attribute("http.route", "/a")];
    points[1].attributes = vec![attribute("http.route", "/b")];
    let lens = lens(vec![histogram(DELTA, points.to_vec())]);
    let page = get(&lens, "/metrics/m?by=http.route").await;
    let mut means = page.rows("Mean")[0][1..].to_vec();
    means.sort();
    assert_eq!(means, ["1 s", "3 s"]);
    let page = get(&lens, "/metrics/m").await;
    assert_eq!(page.rows("Mean")[0][1..], ["2 s"]);
}

#[tokio::test]
async fn charts_of_many_histograms_show_the_largest() {
    let points = (0..2_500).flat_map(|host: u32| {
        (1..10).map(move |index| {
            let mut point = explicit_point(10, 10 + index, &explicit_of(&[1.0], &[2.0]));
            point.attributes = vec![attribute("host", &host.to_string())];
            point.count = u64::from(host);
            point
        })
    });
    let lens = lens(vec![histogram(CUMULATIVE, points.collect())]);
    let page = get(&lens, "/metrics/m").await;
    // 20,000 points are read.
    page.has("Charts show the 2,222 of 2,500 series with the largest last values.");
    assert_eq!(page.texts(".series tbody tr .attributes a")[0], "2499");
}
