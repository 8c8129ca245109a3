use opentelemetry_proto::tonic::metrics::v1::{
    DataPointFlags, NumberDataPoint, Sum, metric::Data, number_data_point,
};

use crate::metrics::{
    Metrics, Range,
    testing::{
        CUMULATIVE, DELTA, SECOND, UNSPECIFIED, assert_near, counter, explicit_of, explicit_point,
        histogram, ids, metric, number, request, seconds, store,
    },
};

/// The rate of all series in steps of 10 s.
fn rates(metrics: &Metrics, from: u64, to: u64) -> Vec<Option<f64>> {
    let rates = metrics.rate(&ids(metrics), seconds(from, to), 10 * SECOND);
    rates.into_iter().map(|rate| rate.per_second).collect()
}

fn cumulative(points: Vec<NumberDataPoint>) -> Metrics {
    let metrics = store();
    let inserted = metrics.insert(&request(vec![counter(CUMULATIVE, points)]));
    assert_eq!(inserted.rejected, 0);
    metrics
}

fn gap(time: u64) -> NumberDataPoint {
    NumberDataPoint {
        flags: DataPointFlags::NoRecordedValueMask as u32,
        ..number(100, time, 0)
    }
}

#[test]
fn a_cumulative_counter_has_the_rate_of_its_differences() {
    let metrics = cumulative(vec![
        number(100, 110, 50),
        number(100, 120, 50),
        number(100, 130, 80),
    ]);
    assert_eq!(rates(&metrics, 100, 130), [Some(5.0), Some(0.0), Some(3.0)]);
    // Beyond the points, nothing is known.
    assert_eq!(rates(&metrics, 120, 150), [Some(3.0), None, None]);
}

#[test]
fn a_delta_counter_has_the_rate_of_its_points() {
    let metrics = store();
    let points = vec![
        number(100, 110, 50),
        number(110, 120, 0),
        number(130, 140, 7),
    ];
    metrics.insert(&request(vec![counter(DELTA, points)]));
    assert_eq!(
        rates(&metrics, 100, 140),
        [Some(5.0), Some(0.0), None, Some(0.7)]
    );
}

#[test]
fn a_delta_without_a_start_reaches_back_to_the_previous_point() {
    let metrics = store();
    let points = vec![number(0, 110, 50), number(0, 120, 20)];
    metrics.insert(&request(vec![counter(DELTA, points)]));
    assert_eq!(rates(&metrics, 100, 120), [None, Some(2.0)]);
}

#[test]
fn a_window_is_spread_over_all_of_its_steps() {
    let metrics = cumulative(vec![number(100, 110, 0), number(100, 140, 60)]);
    assert_eq!(rates(&metrics, 110, 140), [Some(2.0); 3]);
    let parts = metrics.rate(&ids(&metrics), seconds(110, 140), 7 * SECOND);
    assert_eq!(parts.len(), 5);
    for part in &parts {
        assert_near(part.per_second.unwrap(), 2.0);
    }
    assert_eq!(parts[4].time, 140 * SECOND);
}

#[test]
fn a_restart_starts_anew_and_is_never_negative() {
    // With a new start, with a higher value than before, and without a start.
    let metrics = cumulative(vec![
        number(100, 110, 50),
        number(112, 120, 16),
        number(122, 130, 80),
    ]);
    assert_eq!(
        rates(&metrics, 100, 130),
        [Some(5.0), Some(2.0), Some(10.0)]
    );

    let metrics = cumulative(vec![
        number(0, 110, 50),
        number(0, 120, 20),
        number(0, 130, 25),
    ]);
    assert_eq!(rates(&metrics, 100, 130), [None, Some(2.0), Some(0.5)]);
}

#[test]
fn a_run_of_unknown_start_adds_nothing_with_its_first_point() {
    let metrics = cumulative(vec![
        number(100, 110, 50),
        number(120, 120, 1000),
        number(120, 130, 1010),
    ]);
    assert_eq!(rates(&metrics, 100, 130), [Some(5.0), None, Some(1.0)]);
}

#[test]
fn a_long_run_before_the_first_point_is_not_shown() {
    let metrics = cumulative(vec![number(1000, 9000, 50_000), number(1000, 9010, 50_020)]);
    assert_eq!(rates(&metrics, 8990, 9010), [None, Some(2.0)]);
}

#[test]
fn a_missing_value_is_a_gap() {
    let metrics = cumulative(vec![
        number(100, 110, 50),
        gap(120),
        number(100, 130, 80),
        number(100, 140, 90),
    ]);
    assert_eq!(
        rates(&metrics, 100, 140),
        [Some(5.0), None, None, Some(1.0)]
    );

    // A restart after the gap tells what was counted since.
    let metrics = cumulative(vec![number(100, 110, 50), gap(120), number(120, 130, 30)]);
    assert_eq!(rates(&metrics, 100, 130), [Some(5.0), None, Some(3.0)]);
}

#[test]
fn integers_and_floating_point_numbers_mix() {
    let double = NumberDataPoint {
        value: Some(number_data_point::Value::AsDouble(62.5)),
        ..number(100, 120, 0)
    };
    let metrics = cumulative(vec![number(100, 110, 50), double, number(100, 130, 80)]);
    assert_eq!(
        rates(&metrics, 100, 130),
        [Some(5.0), Some(1.25), Some(1.75)]
    );
}

#[test]
fn large_integers_are_subtracted_exactly() {
    // A floating-point number has steps of 1024 here.
    let large = i64::MAX - 100;
    let metrics = cumulative(vec![number(100, 110, large), number(100, 120, large + 10)]);
    assert_eq!(rates(&metrics, 110, 120), [Some(1.0)]);
}

#[test]
fn negative_deltas_are_left_out() {
    let metrics = store();
    let points = vec![number(100, 110, 50), number(110, 120, -50)];
    metrics.insert(&request(vec![counter(DELTA, points)]));
    assert_eq!(rates(&metrics, 100, 120), [Some(5.0), None]);
}

#[test]
fn only_counters_with_a_temporality_have_rates() {
    let points = vec![number(100, 110, 50), number(100, 120, 60)];
    let rising_and_falling = metric(Data::Sum(Sum {
        data_points: points.clone(),
        aggregation_temporality: CUMULATIVE,
        is_monotonic: false,
    }));
    for data in [rising_and_falling, counter(UNSPECIFIED, points)] {
        let metrics = store();
        metrics.insert(&request(vec![data]));
        assert_eq!(ids(&metrics).len(), 1);
        assert_eq!(rates(&metrics, 100, 120), [None, None]);
    }
}

#[test]
fn the_rate_of_a_histogram_is_that_of_its_count() {
    let metrics = store();
    let points = vec![
        explicit_point(100, 110, &explicit_of(&[1.0; 20], &[2.0])),
        explicit_point(100, 120, &explicit_of(&[1.0; 50], &[2.0])),
    ];
    metrics.insert(&request(vec![histogram(CUMULATIVE, points)]));
    assert_eq!(rates(&metrics, 100, 120), [Some(2.0), Some(3.0)]);
}

#[test]
fn rates_of_series_add_up() {
    let metrics = store();
    let points = (0..3).flat_map(|id| {
        let attributes = vec![crate::metrics::testing::attribute("id", &id.to_string())];
        [(110, 10), (120, 30)].map(|(time, value)| NumberDataPoint {
            attributes: attributes.clone(),
            ..number(100, time, value)
        })
    });
    metrics.insert(&request(vec![counter(CUMULATIVE, points.collect())]));
    assert_eq!(ids(&metrics).len(), 3);
    assert_eq!(rates(&metrics, 100, 120), [Some(3.0), Some(6.0)]);
}

#[test]
fn the_number_of_steps_is_limited() {
    let metrics = cumulative(vec![number(100, 110, 50)]);
    let rates = metrics.rate(&ids(&metrics), seconds(0, 1_000_000), 1);
    assert_eq!(rates.len(), 10_000);
}

#[test]
fn any_range_is_answered() {
    let metrics = cumulative(vec![number(100, 110, 50), number(100, 130, 60)]);
    let ids = ids(&metrics);
    let everything = Range {
        from: 0,
        to: u64::MAX,
    };
    assert_eq!(metrics.rate(&ids, everything, 1).len(), 10_000);
    assert_eq!(metrics.rate(&ids, everything, u64::MAX).len(), 1);
    assert_eq!(
        metrics.heatmap(&ids, everything, usize::MAX).columns.len(),
        1000
    );
    // Backwards, within a window.
    assert_eq!(metrics.rate(&ids, seconds(125, 115), 1), []);
    assert_eq!(metrics.quantiles(&ids, seconds(125, 115), 3, &[0.5]), []);
    assert_eq!(metrics.points(ids[0], seconds(125, 105)), []);
}
