use super::*;
use crate::metrics::{
    Exponential, Metrics,
    testing::{
        CUMULATIVE, DELTA, assert_near, explicit_of, explicit_point, exponential_histogram,
        exponential_of, exponential_point, histogram, ids, random_values, request, seconds, store,
        true_quantile,
    },
};

/// The sum of all cells.
fn total(heatmap: &Heatmap) -> f64 {
    heatmap
        .columns
        .iter()
        .flat_map(|column| &column.cells)
        .sum()
}

fn heatmap_of(metrics: &Metrics, from: u64, to: u64, columns: usize) -> Heatmap {
    metrics.heatmap(&ids(metrics), seconds(from, to), columns)
}

#[test]
fn cells_count_the_values_of_their_row_and_column() {
    let mut random = fastrand::Rng::with_seed(1);
    let early = random_values(&mut random, 300);
    let late = random_values(&mut random, 200);
    let metrics = store();
    // Two scales, and a cumulative series: the second point has the values of both.
    let all = [early.clone(), late.clone()].concat();
    let points = vec![
        exponential_point(100, 110, &exponential_of(&early, 6, 0.0)),
        exponential_point(100, 120, &exponential_of(&all, 4, 0.0)),
    ];
    metrics.insert(&request(vec![exponential_histogram(CUMULATIVE, points)]));

    let heatmap = heatmap_of(&metrics, 100, 120, 2);
    assert!(heatmap.is_exact);
    assert!(heatmap.rows.len() <= 64, "{}", heatmap.rows.len());
    for (column, values) in heatmap.columns.iter().zip([&early, &late]) {
        for (row, cell) in heatmap.rows.iter().zip(&column.cells) {
            let expected = values
                .iter()
                .filter(|value| row.lower < **value && **value <= row.upper);
            assert_eq!(*cell, expected.count() as f64, "{row:?}");
        }
    }
    assert_eq!(total(&heatmap), 500.0);
}

#[test]
fn rows_of_exponential_histograms_are_powers_of_two() {
    let metrics = store();
    let values: Vec<_> = (0..40).map(|power| f64::from(power).exp2()).collect();
    let point = exponential_point(100, 110, &exponential_of(&values, 3, 0.0));
    metrics.insert(&request(vec![exponential_histogram(DELTA, vec![point])]));
    let heatmap = heatmap_of(&metrics, 100, 110, 1);
    let first = Row {
        lower: 0.5,
        upper: 1.0,
    };
    assert_eq!(heatmap.rows[0], first);
    assert_eq!(heatmap.rows.len(), 40);
    assert_eq!(heatmap.columns[0].cells, [1.0; 40]);
}

#[test]
fn negative_values_and_zeros_have_rows() {
    let metrics = store();
    let values = [-3.0, 0.0, 0.05, 0.0, 3.0];
    let points = [0.0, 0.1].map(|threshold| {
        let histogram = exponential_of(&values, 0, threshold);
        exponential_point(100, 110 + (threshold * 100.0) as u64, &histogram)
    });
    metrics.insert(&request(vec![exponential_histogram(DELTA, points.into())]));
    let heatmap = heatmap_of(&metrics, 100, 120, 1);
    assert!(heatmap.is_exact);
    let rows: Vec<_> = heatmap
        .rows
        .iter()
        .map(|row| (row.lower, row.upper))
        .collect();
    assert_eq!(rows, [(-4.0, -2.0), (-0.1, 0.1), (2.0, 4.0)]);
    assert_eq!(heatmap.columns[0].cells, [2.0, 6.0, 2.0]);
}

#[test]
fn exact_zeros_have_a_row() {
    let metrics = store();
    let point = exponential_point(100, 110, &exponential_of(&[0.0, 0.0, 3.0], 0, 0.0));
    metrics.insert(&request(vec![exponential_histogram(DELTA, vec![point])]));
    let heatmap = heatmap_of(&metrics, 100, 110, 1);
    assert_eq!((heatmap.rows[0].lower, heatmap.rows[0].upper), (0.0, 0.0));
    assert_eq!(heatmap.columns[0].cells, [2.0, 1.0]);
}

#[test]
fn a_point_fills_all_columns_of_its_window() {
    let metrics = store();
    let point = exponential_point(100, 140, &exponential_of(&[3.0; 80], 0, 0.0));
    metrics.insert(&request(vec![exponential_histogram(DELTA, vec![point])]));
    let heatmap = heatmap_of(&metrics, 110, 150, 4);
    let cells: Vec<_> = heatmap
        .columns
        .iter()
        .map(|column| column.cells[0])
        .collect();
    assert_eq!(cells, [20.0, 20.0, 20.0, 0.0]);
}

#[test]
fn rows_of_explicit_histograms_are_their_buckets() {
    let metrics = store();
    let values = [0.5, 1.0, 1.5, 5.0];
    let point = explicit_point(100, 110, &explicit_of(&values, &[1.0, 2.0]));
    metrics.insert(&request(vec![histogram(DELTA, vec![point])]));
    let heatmap = heatmap_of(&metrics, 100, 110, 1);
    assert!(heatmap.is_exact);
    let rows: Vec<_> = heatmap
        .rows
        .iter()
        .map(|row| (row.lower, row.upper))
        .collect();
    let infinity = f64::INFINITY;
    assert_eq!(rows, [(-infinity, 1.0), (1.0, 2.0), (2.0, infinity)]);
    assert_eq!(heatmap.columns[0].cells, [2.0, 1.0, 1.0]);
}

#[test]
fn changed_bounds_are_spread_over_the_rows() {
    let metrics = store();
    let points = vec![
        explicit_point(100, 110, &explicit_of(&[1.5; 8], &[1.0, 2.0, 4.0])),
        explicit_point(110, 120, &explicit_of(&[1.5; 8], &[1.0, 4.0])),
    ];
    metrics.insert(&request(vec![histogram(DELTA, points)]));
    let heatmap = heatmap_of(&metrics, 100, 120, 2);
    assert!(!heatmap.is_exact);
    assert_eq!(heatmap.columns[0].cells, [0.0, 8.0, 0.0, 0.0]);
    assert_eq!(heatmap.columns[1].cells, [0.0, 4.0, 4.0, 0.0]);
}

#[test]
fn many_bounds_are_joined_to_few_rows() {
    let metrics = store();
    let bounds: Vec<_> = (0..300).map(f64::from).collect();
    let values: Vec<_> = (0..1000).map(|index| f64::from(index) * 0.3).collect();
    let point = explicit_point(100, 110, &explicit_of(&values, &bounds));
    metrics.insert(&request(vec![histogram(DELTA, vec![point])]));
    let heatmap = heatmap_of(&metrics, 100, 110, 1);
    assert!(heatmap.rows.len() <= 64 && heatmap.is_exact);
    assert_near(total(&heatmap), 1000.0);
}

#[test]
fn quantiles_are_those_of_the_values_of_each_interval() {
    let mut random = fastrand::Rng::with_seed(2);
    let metrics = store();
    let batches: Vec<_> = (0..6).map(|_| random_values(&mut random, 400)).collect();
    let points = (10..).zip(&batches).map(|(time, values)| {
        exponential_point(time * 10, time * 10 + 10, &exponential_of(values, 5, 0.0))
    });
    metrics.insert(&request(vec![exponential_histogram(
        DELTA,
        points.collect(),
    )]));

    let asked = [0.5, 0.9, 0.99];
    let quantiles = metrics.quantiles(&ids(&metrics), seconds(100, 160), 3, &asked);
    let error = exponential_of(&[], 5, 0.0).relative_error() + 1e-9;
    for (interval, batches) in quantiles.iter().zip(batches.chunks(2)) {
        let values = batches.concat();
        assert_eq!(interval.count, 800);
        for (estimate, quantile) in interval.estimates.iter().zip(asked) {
            let truth = true_quantile(&values, quantile);
            let estimate = estimate.unwrap().value;
            assert!(
                (estimate - truth).abs() <= error * truth,
                "{estimate} {truth}"
            );
        }
    }
    assert_eq!(quantiles.len(), 3);
}

#[test]
fn both_types_of_histograms_are_one_population() {
    let metrics = store();
    let explicit = explicit_of(&[10.0; 5], &[9.0, 10.0]);
    metrics.insert(&request(vec![
        histogram(DELTA, vec![explicit_point(100, 110, &explicit)]),
        exponential_histogram(
            DELTA,
            vec![exponential_point(
                100,
                110,
                &exponential_of(&[1.0; 4], 5, 0.0),
            )],
        ),
    ]));
    assert_eq!(ids(&metrics).len(), 2);
    let quantiles = metrics.quantiles(&ids(&metrics), seconds(100, 110), 1, &[0.4, 0.5]);
    let values = quantiles[0].estimates.iter().map(|one| one.unwrap().value);
    assert!(values.eq([1.0, 10.0]));
    assert_eq!(total(&heatmap_of(&metrics, 100, 110, 1)), 9.0);
}

#[test]
fn nothing_to_show_is_empty() {
    let metrics = store();
    assert_eq!(metrics.heatmap(&[], seconds(0, 10), 2).rows, []);
    assert_eq!(metrics.heatmap(&[], seconds(10, 10), 2).columns, []);
    let point = exponential_point(100, 110, &Exponential::default());
    metrics.insert(&request(vec![exponential_histogram(DELTA, vec![point])]));
    assert_eq!(heatmap_of(&metrics, 100, 110, 2).rows, []);
    let quantiles = metrics.quantiles(&ids(&metrics), seconds(100, 110), 1, &[0.5]);
    assert_eq!((quantiles[0].count, quantiles[0].estimates[0]), (0, None));
}

#[test]
fn a_point_at_one_instant_lies_in_one_column() {
    let metrics = store();
    // A delta that starts at its own time has no interval.
    let histogram = exponential_of(&[3.0], 0, 0.0);
    let points = [110, 120].map(|time| exponential_point(time, time, &histogram));
    metrics.insert(&request(vec![exponential_histogram(DELTA, points.into())]));
    let heatmap = heatmap_of(&metrics, 100, 120, 4);
    let cells: Vec<_> = heatmap
        .columns
        .iter()
        .map(|column| column.cells[0])
        .collect();
    assert_eq!(cells, [0.0, 1.0, 0.0, 1.0]);
    let quantiles = metrics.quantiles(&ids(&metrics), seconds(100, 120), 4, &[]);
    let counts: Vec<_> = quantiles.iter().map(|one| one.count).collect();
    assert_eq!(counts, [0, 1, 0, 1]);
}

#[test]
fn a_bucket_around_the_zero_threshold_is_part_of_the_row_of_zero() {
    let metrics = store();
    // 0.4 is in the bucket from 0.25 to 0.5.
    let histogram = exponential_of(&[0.1, 0.4, 3.0], 0, 0.3);
    let point = exponential_point(100, 110, &histogram);
    metrics.insert(&request(vec![exponential_histogram(DELTA, vec![point])]));
    let heatmap = heatmap_of(&metrics, 100, 110, 1);
    assert!(heatmap.is_exact);
    assert_eq!((heatmap.rows[0].lower, heatmap.rows[0].upper), (-0.5, 0.5));
    assert_eq!(heatmap.columns[0].cells[0], 2.0);
    assert_eq!(total(&heatmap), 3.0);
}
