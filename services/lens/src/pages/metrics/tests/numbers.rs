use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, Sum, Summary, SummaryDataPoint, metric::Data,
    number_data_point::Value, summary_data_point::ValueAtQuantile,
};

use super::{NO_VALUE, get, lens, show, with};
use crate::{
    Lens,
    metrics::testing::{
        CUMULATIVE, DELTA, SECOND, UNSPECIFIED, counter, gauge, metric, number, request,
    },
};

fn requests(metric: Metric) -> Metric {
    Metric {
        unit: "{request}".to_owned(),
        ..metric
    }
}

#[tokio::test]
async fn counters_have_rates_and_values() {
    let points = vec![number(10, 20, 50), number(10, 30, 250)];
    let page = show(vec![requests(counter(CUMULATIVE, points))]).await;
    assert_eq!(page.status, 200);
    assert_eq!(page.count("h1"), 1);
    assert_eq!(page.charts(), ["Rate", "Values as received"]);
    let rates: Vec<_> = page
        .rows("Rate")
        .into_iter()
        .map(|row| row[1].clone())
        .collect();
    assert_eq!(rates, ["5 requests/s", "20 requests/s"]);
    page.has("Cumulative: each point has all that came");
    assert_eq!(page.texts(".series tbody td data"), ["250 requests"]);
}

#[tokio::test]
async fn a_metric_of_the_future_says_so() {
    let now = crate::clock::now() / SECOND;
    for (first, is_ahead) in [(now + 7200, true), (now - 5, false)] {
        let points = vec![number(0, first, 1), number(0, now + 7205, 2)];
        let page = get(&lens(vec![gauge(points)]), "/metrics/m?range=all").await;
        let says = page.text().contains("All points have a time in the future");
        assert_eq!(says, is_ahead, "{}", page.text());
    }
}

#[tokio::test]
async fn points_of_the_future_do_not_move_the_page() {
    let now = crate::clock::now() / SECOND;
    let points = |last| {
        vec![
            number(0, now - 7200, 1),
            number(0, now - 5, 2),
            number(0, last, 3),
        ]
    };
    let lens = lens(vec![gauge(points(now + 86_400))]);
    let page = get(&lens, "/metrics/m").await;
    page.has("Some points have a time in the future");
    assert_eq!(page.rows("Value").len(), 1, "{}", page.text());
    let link = page.hrefs("main p.hint a").remove(0);
    let page = get(&lens, &link).await;
    assert!(!page.text().contains("in the future"), "{}", page.text());
    // The small chart of the list ends with the present too.
    let list = get(&lens, "/metrics").await;
    assert_eq!(list.texts("tbody td.number")[0].trim(), "2 s");
}

#[tokio::test]
async fn a_reset_does_not_make_a_rate_negative() {
    let points = vec![
        number(10, 20, 500),
        number(10, 30, 600),
        number(30, 40, 20),
        // Without a new start.
        number(30, 50, 10),
    ];
    let page = show(vec![requests(counter(CUMULATIVE, points))]).await;
    let rates: Vec<_> = page
        .rows("Rate")
        .into_iter()
        .map(|row| row[1].clone())
        .collect();
    let expected = [
        "50 requests/s",
        "10 requests/s",
        "2 requests/s",
        "1 request/s",
    ];
    assert_eq!(rates, expected);
}

#[tokio::test]
async fn a_counter_of_one_point_has_no_rate_yet() {
    let page = show(vec![counter(CUMULATIVE, vec![number(0, 20, 5)])]).await;
    page.has("There is no rate yet. A cumulative series needs two points in this time.");
    assert_eq!(page.charts(), ["Values as received"]);
    // The one point is a dot.
    assert_eq!(page.count(".plot circle.point"), 1);
    let page = show(vec![counter(DELTA, vec![number(20, 20, 5)])]).await;
    page.has("There is no rate, because no point describes a length of time");
}

#[tokio::test]
async fn a_missing_temporality_is_said() {
    let points = vec![number(10, 20, 50), number(10, 30, 250)];
    let page = show(vec![counter(UNSPECIFIED, points)]).await;
    page.has("The client does not say whether points are deltas or totals");
    page.has("There is no rate, because the aggregation temporality is missing.");
    assert!(page.rows("Values as received").len() > 2);
}

#[tokio::test]
async fn sums_that_fall_are_values() {
    let points = vec![number(10, 20, 5), number(10, 30, -2)];
    let page = show(vec![requests(metric(Data::Sum(Sum {
        data_points: points,
        aggregation_temporality: CUMULATIVE,
        is_monotonic: false,
    })))])
    .await;
    assert_eq!(page.charts(), ["Value"]);
    page.has("Up-down counter");
    assert_eq!(page.rows("Value").last().unwrap()[1], "-2 requests");
}

#[tokio::test]
async fn integers_and_floating_point_numbers_are_mixed() {
    let double = NumberDataPoint {
        value: Some(Value::AsDouble(2.5)),
        ..number(0, 30, 0)
    };
    let page = show(vec![gauge(vec![number(0, 20, 5), double])]).await;
    let rows = page.rows("Value");
    assert_eq!(rows[0][1], "5 s");
    assert_eq!(rows.last().unwrap()[1], "2.5 s");
}

#[tokio::test]
async fn no_recorded_value_is_a_gap() {
    let gap = NumberDataPoint {
        flags: NO_VALUE,
        value: None,
        ..number(0, 30, 0)
    };
    let points = [10, 20].map(|time| number(0, time, 1));
    let more = [40, 50].map(|time| number(0, time, 2));
    let points = points.into_iter().chain([gap]).chain(more);
    let page = show(vec![gauge(points.collect())]).await;
    let paths = page.all("path.line");
    let path = paths[0].attr("d").unwrap();
    assert_eq!(path.matches('M').count(), 2, "{path}");
    // A rate has the same gap.
    let gap = NumberDataPoint {
        flags: NO_VALUE,
        value: None,
        ..number(5, 30, 0)
    };
    let points = [10, 20].map(|time| number(5, time, 1));
    let more = [40, 50].map(|time| number(5, time, 2));
    let points = points.into_iter().chain([gap]).chain(more);
    let page = show(vec![counter(CUMULATIVE, points.collect())]).await;
    let path = page.all("path.line")[0].attr("d").unwrap();
    assert_eq!(path.matches('M').count(), 2, "{path}");
}

#[tokio::test]
async fn series_are_added_up_by_an_attribute() {
    let series = [("a", "x", 100), ("b", "x", 200), ("c", "y", 50)];
    let points = series.iter().flat_map(|(host, zone, value)| {
        [(20, *value), (30, 2 * value)].map(|(time, value)| {
            let mut point = with("zone", zone, number(10, time, value));
            point
                .attributes
                .push(crate::metrics::testing::attribute("host", host));
            point
        })
    });
    let lens = lens(vec![requests(counter(CUMULATIVE, points.collect()))]);
    let page = get(&lens, "/metrics/m").await;
    let legend = page.texts(".charts .legend li");
    assert_eq!(legend[0].trim(), "host=b zone=x");
    let page = get(&lens, "/metrics/m?by=zone").await;
    assert_eq!(page.rows("Rate")[0][1..], ["30 requests/s", "5 requests/s"]);
    assert_eq!(
        page.texts("nav [aria-current]"),
        ["Metrics", "All", "By zone"]
    );
    let page = get(&lens, "/metrics/m?together=1").await;
    assert_eq!(page.rows("Rate")[0][1..], ["35 requests/s"]);
    assert_eq!(
        page.rows("Values as received").last().unwrap()[1..],
        ["700 requests"]
    );
}

#[tokio::test]
async fn gauges_have_means_together() {
    let points = vec![
        with("cpu", "0", number(0, 20, 10)),
        with("cpu", "1", number(0, 20, 30)),
    ];
    let page = get(&lens(vec![gauge(points)]), "/metrics/m?together=1").await;
    assert_eq!(page.rows("Value")[0][1], "20 s");
}

#[tokio::test]
async fn the_largest_of_many_series_are_shown() {
    let points = (0..10_000).map(|index| with("id", &format!("{index:05}"), number(0, 20, index)));
    let page = show(vec![requests(gauge(points.collect()))]).await;
    page.has("Lines are the 8 of 10,000 with the largest last values.");
    page.has("These are the 100 of 10,000 series");
    assert_eq!(page.count(".series tbody tr"), 100);
    assert_eq!(page.texts(".series tbody td data")[0], "9,999 requests");
    assert_eq!(page.count(".charts .legend li"), 8);
    assert!(page.size < 300_000, "{}", page.size);
}

#[tokio::test]
async fn evicted_points_are_said() {
    let lens = Lens::new(8 << 20);
    for time in 1..100 {
        let points = (0..400).map(|index| with("id", &index.to_string(), number(0, 20 + time, 1)));
        lens.metrics.insert(&request(vec![gauge(points.collect())]));
    }
    let page = get(&lens, "/metrics/m").await;
    page.has("Older points were evicted: ");
    page.has("because memory was full");
    assert!(page.texts(".series td.number")[0].contains("evicted"));
}

#[tokio::test]
async fn summaries_have_the_quantiles_of_the_client() {
    let points = [(20, 10, 0.1), (30, 30, f64::NAN)].map(|(time, count, p99)| SummaryDataPoint {
        start_time_unix_nano: 10 * SECOND,
        time_unix_nano: time * SECOND,
        count,
        sum: count as f64 * 0.05,
        quantile_values: vec![
            ValueAtQuantile {
                quantile: 0.5,
                value: 0.05,
            },
            ValueAtQuantile {
                quantile: 0.999,
                value: p99,
            },
        ],
        ..SummaryDataPoint::default()
    });
    let page = show(vec![metric(Data::Summary(Summary {
        data_points: points.to_vec(),
    }))])
    .await;
    assert_eq!(page.charts(), ["Quantiles", "Values per second", "Mean"]);
    let heads = page.texts(".charts .card:first-child thead th");
    assert_eq!(heads, ["Time (UTC)", "p50", "p99.9"]);
    let rows = page.rows("Quantiles");
    assert_eq!(rows[0][1..], ["50 ms", "100 ms"]);
    assert_eq!(rows.last().unwrap()[1..], ["50 ms", "–"]);
    assert_eq!(page.rows("Values per second")[1][1], "2 values/s");
    assert_eq!(page.rows("Mean")[1][1], "50 ms");
}
