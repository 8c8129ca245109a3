//! Metrics as SDKs send them, with numbers that are calculated by hand.

use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric};

use super::{Page, get, lens, show, with};
use crate::metrics::testing::{
    CUMULATIVE, DELTA, attribute, counter, explicit_of, explicit_point, histogram, number,
};

/// The default bounds of SDKs, in milliseconds.
const DEFAULT: [f64; 15] = [
    0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1_000.0, 2_500.0, 5_000.0,
    7_500.0, 10_000.0,
];

/// The bounds of `http.server.request.duration`, in seconds.
const HTTP: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

fn in_unit(unit: &str, metric: Metric) -> Metric {
    Metric {
        unit: unit.to_owned(),
        ..metric
    }
}

/// A histogram of these values, with the numbers of times.
fn point(start: u64, time: u64, bounds: &[f64], values: &[(f64, usize)]) -> HistogramDataPoint {
    let values = values.iter();
    let values: Vec<f64> = values
        .flat_map(|(value, times)| vec![*value; *times])
        .collect();
    explicit_point(start, time, &explicit_of(&values, bounds))
}

/// The values of the first line of a chart.
fn line(page: &Page, chart: &str) -> Vec<String> {
    let rows = page.rows(chart).into_iter();
    rows.map(|mut row| row.swap_remove(1)).collect()
}

#[tokio::test]
async fn cumulative_histograms_in_milliseconds() {
    let mut values = vec![(7.0, 30)];
    let mut points = vec![point(1_000, 1_060, &DEFAULT, &values)];
    values.extend([(20.0, 100), (60.0, 20)]);
    points.push(point(1_000, 1_120, &DEFAULT, &values));
    values.push((30_000.0, 6));
    points.push(point(1_000, 1_180, &DEFAULT, &values));
    let page = show(vec![in_unit("ms", histogram(CUMULATIVE, points))]).await;

    // 30, 120 and 6 values in a minute each.
    let rates = ["0.5 values/s", "2 values/s", "0.1 values/s"];
    assert_eq!(line(&page, "Values per second"), rates);
    // (100 * 20 ms + 20 * 60 ms) / 120.
    assert_eq!(line(&page, "Mean"), ["7 ms", "26.7 ms", "30 s"]);
    let quantiles: Vec<_> = page.rows("Quantiles");
    // Only the first point tells the extremes of its minute.
    assert_eq!(quantiles[0][1..], ["7 ms", "7 ms", "7 ms", "7 ms"]);
    // Ranks 60, 108, 114 and 119 of 120: 60 of 100 from 10 to 25 ms, then 8, 14 and 19 of 20 from 50 to 75 ms.
    let second = ["19 ms", "60 ms", "67.5 ms", "73.8 ms"];
    assert_eq!(quantiles[1][1..], second);
    assert_eq!(quantiles[2][1..], ["above 10 s"; 4]);
    // Ranks 78, 141, 149 and 155 of 156.
    let whole = page.texts(".quantiles tbody td");
    let whole: Vec<_> = whole.chunks(3).map(|row| [&*row[0], &*row[1]]).collect();
    let expected = [
        ["17.2 ms", "10 ms to 25 ms"],
        ["63.8 ms", "50 ms to 75 ms"],
        ["73.8 ms", "50 ms to 75 ms"],
        ["not known", "above 10 s"],
    ];
    assert_eq!(whole, expected);
    let cells = page.texts("rect.heat title");
    let cells: Vec<_> = cells.iter().map(|title| title.lines().last()).collect();
    let expected = [
        "5 ms to 10 ms: 30 values",
        "10 ms to 25 ms: 100 values",
        "50 ms to 75 ms: 20 values",
        "above 10 s: 6 values",
    ];
    assert_eq!(cells, expected.map(Some));
    page.has("156 values, sum 3 min");
}

#[tokio::test]
async fn delta_histograms_in_seconds() {
    let points = vec![
        point(1_000, 1_060, &HTTP, &[(0.02, 8), (0.004, 2)]),
        // Nothing was measured from 1,060 to 1,120: there is no point.
        point(1_120, 1_180, &HTTP, &[(0.2, 27), (0.3, 3)]),
        point(1_180, 1_240, &HTTP, &[(12.0, 1), (18.0, 59)]),
    ];
    let page = show(vec![histogram(DELTA, points)]).await;
    let rates = page.rows("Values per second");
    let times: Vec<_> = rates.iter().map(|row| &row[0][..8]).collect();
    assert_eq!(times, ["00:16:40", "00:18:40", "00:19:40"]);
    let rates = ["0.167 values/s", "0.5 values/s", "1 value/s"];
    assert_eq!(line(&page, "Values per second"), rates);
    // (8 * 20 ms + 2 * 4 ms) / 10, (27 * 0.2 s + 3 * 0.3 s) / 30, (12 s + 59 * 18 s) / 60.
    assert_eq!(line(&page, "Mean"), ["16.8 ms", "210 ms", "17.9 s"]);
    let quantiles = page.rows("Quantiles");
    // Ranks 5, 9, 10 and 10 of 10: 3, 7 and 8 of 8 from 10 to the maximum of 20 ms.
    let first = ["13.8 ms", "18.8 ms", "20 ms", "20 ms"];
    assert_eq!(quantiles[0][1..], first);
    // Ranks 15, 27, 29 and 30 of 30: 15 and 27 of 27 from the minimum of 0.2 to 0.25 s, 2 and 3 of 3 to 0.3 s.
    let second = ["228 ms", "250 ms", "283 ms", "300 ms"];
    assert_eq!(quantiles[1][1..], second);
    // The extremes bound the last bucket: from 12 to 18 s.
    let third = ["15 s", "17.4 s", "17.7 s", "18 s"];
    assert_eq!(quantiles[2][1..], third);
}

#[tokio::test]
async fn a_restart_of_a_cumulative_histogram() {
    let seconds = |start, time, count| point(start, time, &HTTP, &[(0.02, count)]);
    let points = vec![
        seconds(1_000, 1_060, 60),
        seconds(1_000, 1_120, 180),
        // It started again at 1,150, and counts from there.
        seconds(1_150, 1_180, 9),
        seconds(1_150, 1_240, 99),
    ];
    let page = show(vec![histogram(CUMULATIVE, points)]).await;
    // The third rate is of the 30 s after the start.
    let rates = ["1 value/s", "2 values/s", "0.3 values/s", "1.5 values/s"];
    assert_eq!(line(&page, "Values per second"), rates);
    page.has("99 values, sum 1.98 s");
}

#[tokio::test]
async fn a_program_that_runs_for_long() {
    // What it measured before the first point is not of this time.
    let points = vec![
        point(1_000, 5_000, &HTTP, &[(9.0, 1_000)]),
        point(1_000, 5_060, &HTTP, &[(9.0, 1_000), (0.02, 30)]),
    ];
    let page = show(vec![histogram(CUMULATIVE, points)]).await;
    assert_eq!(line(&page, "Values per second"), ["0.5 values/s"]);
    assert_eq!(line(&page, "Mean"), ["20 ms"]);
    assert_eq!(page.texts("rect.heat title").len(), 1);
    let points = vec![number(1_000, 5_000, 1_000), number(1_000, 5_060, 1_030)];
    let page = show(vec![in_unit("1", counter(CUMULATIVE, points))]).await;
    assert_eq!(line(&page, "Rate"), ["0.5/s"]);
}

#[tokio::test]
async fn series_are_added_up() {
    let routes = ["/a", "/b"].iter().zip([60, 180]);
    let points = routes.flat_map(|(route, count)| {
        let points = [(1_060, count), (1_120, 3 * count)];
        points.map(|(time, count)| HistogramDataPoint {
            attributes: vec![attribute("http.route", route)],
            ..point(1_000, time, &HTTP, &[(0.02, count)])
        })
    });
    let lens = lens(vec![histogram(CUMULATIVE, points.collect())]);
    let page = get(&lens, "/metrics/m").await;
    let rates = ["4 values/s", "8 values/s"];
    assert_eq!(line(&page, "Values per second"), rates);
    let page = get(&lens, "/metrics/m?by=http.route").await;
    let rows = page.rows("Values per second");
    assert_eq!(rows[0][1..], ["3 values/s", "1 value/s"]);
    assert_eq!(rows[1][1..], ["6 values/s", "2 values/s"]);
}

#[tokio::test]
async fn counters_of_both_temporalities_have_the_same_rates() {
    const MIB: i64 = 1 << 20;

    let expected = ["1 MiB/s", "3 MiB/s", "512 KiB/s"];
    let deltas = [60 * MIB, 180 * MIB, 30 * MIB];
    let times = [(1_000, 1_060), (1_060, 1_120), (1_120, 1_180)];
    let points = times.iter().zip(deltas);
    let points = points.map(|((start, time), value)| number(*start, *time, value));
    let page = show(vec![in_unit("By", counter(DELTA, points.collect()))]).await;
    assert_eq!(line(&page, "Rate"), expected);

    let totals = [60 * MIB, 240 * MIB, 270 * MIB];
    let points = times.iter().zip(totals);
    let points = points.map(|((_, time), value)| number(1_000, *time, value));
    let page = show(vec![in_unit("By", counter(CUMULATIVE, points.collect()))]).await;
    assert_eq!(line(&page, "Rate"), expected);

    // The third point is after a restart, once with a new start and once without any start.
    for start in [1_120, 0] {
        let mut points: Vec<_> = times
            .iter()
            .zip(totals)
            .map(|((_, time), value)| number(if start == 0 { 0 } else { 1_000 }, *time, value))
            .collect();
        points[2] = number(start, 1_180, 30 * MIB);
        let page = show(vec![in_unit("By", counter(CUMULATIVE, points))]).await;
        // Without a start, the first point is only what the second is compared with.
        let first = usize::from(start == 0);
        assert_eq!(line(&page, "Rate"), expected[first..], "{start}");
    }
}

#[tokio::test]
async fn exports_that_are_not_in_step_with_the_start() {
    let points = [(1_010, 10), (1_070, 70), (1_130, 130)];
    let points = points.map(|(time, count)| with("k", "v", number(1_000, time, count)));
    let page = show(vec![in_unit("1", counter(CUMULATIVE, points.to_vec()))]).await;
    assert_eq!(line(&page, "Rate"), ["1/s", "1/s"]);
}
