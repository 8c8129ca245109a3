use std::{
    sync::RwLock,
    time::{Duration, Instant},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        DataPointFlags, Exemplar as OtlpExemplar, ExponentialHistogramDataPoint,
        HistogramDataPoint, NumberDataPoint, Sum, Summary as OtlpSummary, SummaryDataPoint,
        exemplar, exponential_histogram_data_point, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
};

use super::*;
use crate::metrics::{
    Kind, Metrics, Number, Value,
    testing::{
        CUMULATIVE, DELTA, SECOND, UNSPECIFIED, attribute, counter, explicit_of, explicit_point,
        exponential_histogram, exponential_of, exponential_point, gauge, histogram, ids, labels,
        metric, number, request, seconds, store, true_quantile,
    },
};

/// The points of the only series.
#[track_caller]
fn points(metrics: &Metrics) -> Vec<Point> {
    let ids = ids(metrics);
    assert_eq!(ids.len(), 1);
    metrics.points(ids[0], seconds(0, 1_000_000))
}

fn values(metrics: &Metrics) -> Vec<Value> {
    points(metrics)
        .into_iter()
        .map(|point| point.value)
        .collect()
}

/// A gauge's point with an attribute of its own.
fn labelled(id: usize, time: u64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![attribute("id", &format!("{id:06}"))],
        ..number(0, time, 1)
    }
}

fn accepted() -> Inserted {
    Inserted::default()
}

#[test]
fn exponential_histograms_of_any_scale_have_right_counts_sums_and_quantiles() {
    let inputs = [1e-9, 0.3, 1.5, 2.0, 700.0, -0.2, -90.0, 0.0, 0.004];
    // The widths of arrays are limited by the values: at scale 20, they lie close together.
    let close: Vec<_> = (0..9).map(|step| 1.0 + f64::from(step) * 1e-5).collect();
    for (scale, inputs) in [(-10, &inputs[..]), (0, &inputs), (5, &inputs), (20, &close)] {
        for zero_threshold in [0.0, 0.005] {
            let mut histogram = exponential_of(inputs, scale, zero_threshold);
            (histogram.min, histogram.max) = (None, None);
            let metrics = store();
            let point = exponential_point(100, 110, &histogram);
            let inserted =
                metrics.insert(&request(vec![exponential_histogram(DELTA, vec![point])]));
            assert_eq!(inserted, accepted());
            let [Value::Exponential(kept)] = &values(&metrics)[..] else {
                panic!("no exponential histogram");
            };
            assert_eq!(**kept, histogram);
            assert_eq!(kept.count, 9);
            let quantiles = [0.0, 0.2, 0.5, 0.9, 1.0];
            let estimates = metrics.quantiles(&ids(&metrics), seconds(100, 110), 1, &quantiles);
            for (estimate, quantile) in estimates[0].estimates.iter().zip(quantiles) {
                let truth = true_quantile(inputs, quantile);
                let estimate = estimate.unwrap();
                let error = (kept.relative_error() * truth.abs()).max(zero_threshold);
                assert!(
                    (estimate.value - truth).abs() <= error + 1e-12,
                    "{scale} {quantile}"
                );
                assert!(estimate.lower <= truth && truth <= estimate.upper);
            }
        }
    }
}

#[test]
fn offsets_and_empty_buckets_are_read() {
    let metrics = store();
    let buckets = |offset, bucket_counts| {
        Some(exponential_histogram_data_point::Buckets {
            offset,
            bucket_counts,
        })
    };
    let point = ExponentialHistogramDataPoint {
        time_unix_nano: SECOND,
        count: 9,
        zero_count: 2,
        positive: buckets(-3, vec![0, 4, 0, 1, 0]),
        negative: buckets(2, vec![2]),
        ..ExponentialHistogramDataPoint::default()
    };
    metrics.insert(&request(vec![exponential_histogram(DELTA, vec![point])]));
    let [Value::Exponential(kept)] = &values(&metrics)[..] else {
        panic!("no exponential histogram");
    };
    let bounds: Vec<_> = kept
        .buckets()
        .iter()
        .map(|one| (one.lower, one.upper, one.count))
        .collect();
    assert_eq!(
        bounds,
        [
            (-8.0, -4.0, 2),
            (0.0, 0.0, 2),
            (0.25, 0.5, 4),
            (1.0, 2.0, 1)
        ]
    );
}

#[test]
fn merges_and_differences_of_any_scale_and_threshold_are_exact() {
    let early = [0.2, 0.7, 3.0, 500.0];
    let late = [0.1, 0.9, 40.0];
    let all = [&early[..], &late].concat();
    let metrics = store();
    // The second point has a lower scale and a higher zero threshold; then the run restarts.
    let restarted = [7.0, 8.5];
    let points = vec![
        exponential_point(100, 110, &exponential_of(&early, 6, 0.0)),
        exponential_point(100, 120, &exponential_of(&all, 2, 0.5)),
        exponential_point(121, 130, &exponential_of(&restarted, 4, 0.5)),
    ];
    metrics.insert(&request(vec![exponential_histogram(CUMULATIVE, points)]));
    let ids = ids(&metrics);

    let quantiles = metrics.quantiles(&ids, seconds(100, 130), 3, &[0.0, 1.0]);
    let counts: Vec<_> = quantiles.iter().map(|one| one.count).collect();
    assert_eq!(counts, [4, 3, 2]);
    // 0.1 counts as zero.
    let lowest = quantiles[1].estimates[0].unwrap();
    assert!(lowest.value == 0.0 && lowest.upper >= 0.5, "{lowest:?}");
    let highest = quantiles[1].estimates[1].unwrap();
    assert!(highest.lower < 40.0 && 40.0 <= highest.upper);
    assert_eq!(quantiles[2].estimates[1].unwrap().upper, 8.5);

    let rates = metrics.rate(&ids, seconds(100, 130), 10 * SECOND);
    let rates: Vec<_> = rates.iter().map(|rate| rate.per_second.unwrap()).collect();
    assert_eq!(rates[..2], [0.4, 0.3]);
    assert!((rates[2] - 2.0 / 9.0).abs() < 1e-9);
    let heatmap = metrics.heatmap(&ids, seconds(100, 130), 3);
    let columns = heatmap.columns.iter();
    let columns: Vec<f64> = columns.map(|one| one.cells.iter().sum()).collect();
    assert_eq!(columns, [4.0, 3.0, 2.0]);
}

#[test]
fn histograms_without_bounds_or_sum_or_with_changed_bounds_are_kept() {
    let metrics = store();
    let without_bounds = HistogramDataPoint {
        start_time_unix_nano: 100 * SECOND,
        time_unix_nano: 110 * SECOND,
        count: 7,
        ..HistogramDataPoint::default()
    };
    let points = vec![
        without_bounds,
        explicit_point(110, 120, &explicit_of(&[1.0; 3], &[1.0, 2.0])),
        explicit_point(120, 130, &explicit_of(&[1.0; 2], &[1.0, 5.0])),
    ];
    let inserted = metrics.insert(&request(vec![histogram(DELTA, points)]));
    assert_eq!(inserted, accepted());
    let kept = values(&metrics);
    let Value::Explicit(first) = &kept[0] else {
        panic!("no histogram: {kept:?}");
    };
    assert_eq!(
        (first.sum, &*first.counts, &*first.bounds),
        (None, &[7][..], &[][..])
    );
    let Value::Explicit(last) = &kept[2] else {
        panic!("no histogram: {kept:?}");
    };
    assert_eq!((&*last.bounds, last.sum), (&[1.0, 5.0][..], Some(2.0)));
    let quantiles = metrics.quantiles(&ids(&metrics), seconds(100, 130), 1, &[0.5]);
    assert_eq!(quantiles[0].count, 12);
}

#[test]
fn a_cumulative_histogram_with_changed_bounds_starts_anew() {
    let metrics = store();
    let points = vec![
        explicit_point(100, 110, &explicit_of(&[1.0; 3], &[1.0, 2.0])),
        explicit_point(100, 120, &explicit_of(&[1.0; 5], &[1.0, 5.0])),
    ];
    metrics.insert(&request(vec![histogram(CUMULATIVE, points)]));
    let quantiles = metrics.quantiles(&ids(&metrics), seconds(100, 120), 2, &[]);
    let counts: Vec<_> = quantiles.iter().map(|one| one.count).collect();
    assert_eq!(counts, [3, 5]);
}

#[test]
fn a_point_without_a_recorded_value_is_a_gap() {
    let metrics = store();
    let missing = NumberDataPoint {
        flags: DataPointFlags::NoRecordedValueMask as u32,
        value: None,
        ..number(0, 20, 0)
    };
    let points = vec![number(0, 10, 4), missing, number(0, 30, 6)];
    assert_eq!(metrics.insert(&request(vec![gauge(points)])), accepted());
    let number = |value| Value::Number(Number::Int(value));
    assert_eq!(values(&metrics), [number(4), Value::Gap, number(6)]);
}

#[test]
fn points_without_a_temporality_are_kept() {
    let metrics = store();
    let counter = counter(UNSPECIFIED, vec![number(0, 10, 4)]);
    assert_eq!(metrics.insert(&request(vec![counter])), accepted());
    assert_eq!(points(&metrics).len(), 1);
    let distribution = explicit_point(0, 10, &explicit_of(&[1.5], &[1.0, 2.0]));
    let histogram = histogram(UNSPECIFIED, vec![distribution]);
    assert_eq!(metrics.insert(&request(vec![histogram])), accepted());
    // Each such histogram is shown as it is.
    let quantiles = metrics.quantiles(&ids(&metrics), seconds(0, 10), 1, &[]);
    assert_eq!(quantiles[0].count, 1);
}

#[test]
fn summaries_and_sums_that_fall_are_kept() {
    let metrics = store();
    let summary = metric(Data::Summary(OtlpSummary {
        data_points: vec![SummaryDataPoint {
            time_unix_nano: 10 * SECOND,
            count: 5,
            sum: 2.5,
            quantile_values: vec![ValueAtQuantile {
                quantile: 0.5,
                value: 0.4,
            }],
            ..SummaryDataPoint::default()
        }],
    }));
    assert_eq!(metrics.insert(&request(vec![summary])), accepted());
    let [Value::Summary(kept)] = &values(&metrics)[..] else {
        panic!("no summary");
    };
    assert_eq!((kept.count, kept.sum), (5, 2.5));
    assert_eq!(*kept.quantiles, [(0.5, 0.4)]);

    let metrics = store();
    let double = NumberDataPoint {
        value: Some(number_data_point::Value::AsDouble(-2.5)),
        ..number(0, 20, 0)
    };
    let sum = metric(Data::Sum(Sum {
        data_points: vec![number(0, 10, 4), double],
        aggregation_temporality: CUMULATIVE,
        is_monotonic: false,
    }));
    assert_eq!(metrics.insert(&request(vec![sum])), accepted());
    let numbers = [Number::Int(4), Number::Double(-2.5)].map(Value::Number);
    assert_eq!(values(&metrics), numbers);
    assert_eq!(labels(&metrics)[0].kind, Kind::Sum);
}

#[test]
fn exemplars_are_kept_with_their_span_and_attributes() {
    let metrics = store();
    let exemplar = |time: u64, value| OtlpExemplar {
        time_unix_nano: time * SECOND,
        value,
        ..OtlpExemplar::default()
    };
    let with_span = OtlpExemplar {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        filtered_attributes: vec![attribute("user", "7")],
        ..exemplar(12, Some(exemplar::Value::AsDouble(0.5)))
    };
    let point = |time, exemplars: &[OtlpExemplar]| HistogramDataPoint {
        exemplars: exemplars.to_vec(),
        ..explicit_point(10, time, &explicit_of(&[0.5], &[1.0]))
    };
    let with_bad_ids = OtlpExemplar {
        trace_id: vec![0; 16],
        span_id: vec![2; 7],
        ..exemplar(11, Some(exemplar::Value::AsInt(3)))
    };
    let without_value = exemplar(13, None);
    let points = vec![
        point(20, &[with_span.clone(), with_bad_ids, without_value]),
        // SDKs repeat exemplars of cumulative points.
        point(30, &[with_span]),
    ];
    metrics.insert(&request(vec![histogram(CUMULATIVE, points)]));
    let ids = ids(&metrics);

    let exemplars = metrics.exemplars(&ids, seconds(10, 20));
    assert_eq!(exemplars.len(), 2);
    assert_eq!(exemplars[0].value, Number::Int(3));
    assert_eq!((exemplars[0].trace_id, exemplars[0].span_id), (None, None));
    assert_eq!(exemplars[1].value, Number::Double(0.5));
    assert_eq!(exemplars[1].trace_id, Some([1; 16]));
    assert_eq!(exemplars[1].span_id, Some([2; 8]));
    assert_eq!(exemplars[1].filtered_attributes, [attribute("user", "7")]);
    assert_eq!(
        (exemplars[1].series, exemplars[1].time),
        (ids[0], 12 * SECOND)
    );
    assert_eq!(metrics.exemplars(&ids, seconds(12, 20)), []);
}

#[test]
fn names_and_labels_describe_the_series() {
    let metrics = store();
    let with = |attributes: Vec<_>, time| NumberDataPoint {
        attributes,
        ..number(0, time, 1)
    };
    let (method, route) = (attribute("method", "GET"), attribute("route", "/"));
    let points = vec![
        with(vec![route.clone(), method.clone()], 10),
        // The order of attributes does not matter.
        with(vec![method.clone(), route.clone()], 20),
        with(vec![method.clone()], 20),
    ];
    let mut other = request(vec![gauge(points.clone())]);
    other.resource_metrics[0]
        .resource
        .as_mut()
        .unwrap()
        .attributes[0] = attribute("service.name", "auth");
    metrics.insert(&request(vec![gauge(points)]));
    metrics.insert(&other);

    let names = metrics.names();
    assert_eq!(names.len(), 1);
    assert_eq!((&*names[0].name, &*names[0].unit), ("m", "s"));
    assert_eq!(
        (names[0].kind, &*names[0].description),
        (Kind::Gauge, "a metric")
    );
    assert_eq!(names[0].services, ["auth", "shop"]);
    assert_eq!(names[0].series, 4);

    let found = metrics.series("m", |one| {
        one.service == "shop" && one.attributes.len() == 2
    });
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].attributes, [method, route]);
    assert_eq!((found[0].points, found[0].first), (2, 10 * SECOND));
    assert_eq!(found[0].last.as_ref().unwrap().time, 20 * SECOND);
    assert_eq!(found[0].scope.name, "scope");
    assert_eq!(found[0].resource.attributes.len(), 2);
    assert_eq!(metrics.series("other", |_| true), []);
}

#[test]
fn series_have_the_same_ids_in_another_store() {
    let [one, other] = [store(), store()].map(|metrics| {
        metrics.insert(&request(vec![gauge(vec![labelled(1, 10)])]));
        ids(&metrics)
    });
    assert_eq!(one, other);
}

#[test]
fn invalid_points_are_rejected_with_their_reasons_and_the_others_kept() {
    let metrics = store();
    let without_value = NumberDataPoint {
        value: None,
        ..number(0, 10, 0)
    };
    let valid = explicit_of(&[1.0], &[1.0, 2.0]);
    let unsorted = explicit_of(&[], &[2.0, 1.0]);
    let mut mismatched = explicit_point(0, 20, &valid);
    mismatched.bucket_counts.pop();
    let exponential = exponential_point(0, 10, &exponential_of(&[1.0], 0, 0.0));
    let with = |scale, zero_threshold, offset| {
        let mut point = exponential.clone();
        point.scale = scale;
        point.zero_threshold = zero_threshold;
        point.positive.as_mut().unwrap().offset = offset;
        point
    };
    let mut nameless = gauge(vec![number(0, 10, 1); 2]);
    nameless.name.clear();
    let inserted = metrics.insert(&request(vec![
        gauge(vec![number(0, 0, 1), without_value, number(0, 10, 1)]),
        nameless,
        histogram(
            DELTA,
            vec![
                explicit_point(0, 10, &valid),
                explicit_point(0, 20, &unsorted),
                mismatched,
            ],
        ),
        exponential_histogram(
            DELTA,
            vec![
                exponential.clone(),
                with(0, f64::NAN, 0),
                with(0, 0.0, 1024),
                with(i32::MIN, 0.0, 0),
            ],
        ),
    ]));
    assert_eq!(inserted.rejected, 8);
    for reason in [
        "1 data point rejected: a bucket beyond all finite numbers",
        "1 data point rejected: a zero threshold that is no positive number",
        "1 data point rejected: bounds do not ascend",
        "1 data point rejected: bucket counts do not match the bounds",
        "2 data points rejected: a metric without a name",
        "1 data point rejected: no time",
        "1 data point rejected: no value",
    ] {
        assert!(
            inserted.message.contains(reason),
            "{reason} in {}",
            inserted.message
        );
    }
    assert_eq!(metrics.usage().rejected_points, 8);
}

#[test]
fn a_flood_of_series_is_rejected_and_counted_exactly() {
    // Room for 256 series.
    let metrics = Metrics::new(1 << 20);
    let flood = gauge((0..10_000).map(|id| labelled(id, 10)).collect());
    let inserted = metrics.insert(&request(vec![flood.clone()]));
    assert_eq!(inserted.rejected, 10_000 - 256);
    assert_eq!(
        inserted.message,
        "9744 data points rejected: they are of new series, and the limit of 256 series for a budget \
         of 1048576 bytes is reached (256 of them: \"m\")"
    );
    let usage = metrics.usage();
    assert_eq!((usage.series, usage.series_limit), (256, 256));
    assert!(usage.bytes < usage.limit, "{usage:?}");
    // Known series go on.
    let known = gauge(vec![labelled(0, 20), labelled(9999, 20)]);
    assert_eq!(metrics.insert(&request(vec![known])).rejected, 1);

    // A larger budget keeps all of them.
    let metrics = Metrics::new(64 << 20);
    assert_eq!(metrics.insert(&request(vec![flood])), accepted());
    assert_eq!(metrics.usage().series, 10_000);
}

#[test]
fn names_and_attributes_take_half_of_the_budget_at_most() {
    let metrics = Metrics::new(1 << 20);
    let long = (0..100).map(|id| NumberDataPoint {
        attributes: vec![attribute("id", &format!("{id:20000}"))],
        ..number(0, 10, 1)
    });
    let inserted = metrics.insert(&request(vec![gauge(long.collect())]));
    // 26 of 20,000 bytes are less than half of 1 MiB.
    assert_eq!(inserted.rejected, 74);
    assert!(
        inserted.message.contains("half of the budget"),
        "{}",
        inserted.message
    );
}

#[test]
fn a_point_that_is_too_large_is_rejected() {
    let metrics = Metrics::new(1 << 20);
    let large = explicit_of(&[], &(0..5000).map(f64::from).collect::<Vec<_>>());
    let points = vec![explicit_point(0, 10, &large)];
    let inserted = metrics.insert(&request(vec![histogram(DELTA, points)]));
    assert_eq!(
        inserted.message,
        "1 data point rejected: each takes more than 1/16 of the budget of 1048576 bytes"
    );
    assert_eq!(metrics.usage().series, 0);
}

#[test]
fn stale_series_make_room_for_new_ones() {
    let metrics = Metrics::new(1 << 20);
    let all = |ids: std::ops::Range<usize>| {
        let points = ids.map(|id| labelled(id, 10)).collect();
        request(vec![gauge(points)])
    };
    metrics.insert_at(&all(0..256), 0);
    // These ones are live.
    metrics.insert_at(&all(0..200), STALE - 1);
    assert_eq!(metrics.insert_at(&all(256..300), STALE - 1).rejected, 44);
    assert_eq!(metrics.insert_at(&all(256..300), STALE).rejected, 0);
    // Of 56 stale series, some are left at first.
    assert_eq!(metrics.insert_at(&all(300..320), STALE).rejected, 8);
    assert_eq!(metrics.usage().series, 256);
    let kept = labels(&metrics);
    let ids = kept.iter().map(|one| one.attributes[0].clone());
    let ids: Vec<_> = ids.collect();
    assert!((0..200).all(|id| ids.contains(&attribute("id", &format!("{id:06}")))));
}

#[test]
fn the_oldest_points_leave_first() {
    let metrics = Metrics::new(1 << 20);
    for time in 1..=20_000 {
        let points = vec![labelled(0, time), labelled(1, time)];
        let inserted = metrics.insert_at(&request(vec![gauge(points)]), time);
        assert_eq!(inserted.rejected, 0);
        let usage = metrics.usage();
        assert!(usage.bytes <= usage.limit, "{usage:?}");
    }
    let usage = metrics.usage();
    assert_eq!(usage.points as u64 + usage.evicted_points, 40_000);
    assert!(usage.bytes > usage.limit * 7 / 8, "{usage:?}");
    for labels in labels(&metrics) {
        assert_eq!(labels.points as u64 + labels.evicted, 20_000);
        assert_eq!(labels.first, (labels.evicted + 1) * SECOND);
        assert_eq!(labels.last.unwrap().time, 20_000 * SECOND);
        // The two share the room.
        assert!(labels.points > 7000);
    }
}

#[test]
fn a_live_series_keeps_its_last_point_and_a_stale_one_leaves() {
    let metrics = Metrics::new(1 << 20);
    let insert =
        |id, time| metrics.insert_at(&request(vec![gauge(vec![labelled(id, time)])]), time);
    insert(0, 1);
    for time in 2..=20_000 {
        insert(1, time);
    }
    assert_eq!(ids(&metrics).len(), 2);
    for time in STALE..STALE + 20_000 {
        insert(1, time);
    }
    assert_eq!(ids(&metrics).len(), 1);
    assert_eq!(metrics.usage().evicted_series, 1);
}

#[test]
fn series_leave_if_their_last_points_are_too_many() {
    let metrics = Metrics::new(1 << 20);
    let bounds: Vec<_> = (0..1000).map(f64::from).collect();
    for id in 0..200_u64 {
        let mut point = explicit_point(0, 10, &explicit_of(&[], &bounds));
        point.attributes = vec![attribute("id", &format!("{id:06}"))];
        let inserted = metrics.insert_at(&request(vec![histogram(DELTA, vec![point])]), id);
        assert_eq!(inserted, accepted());
        assert!(metrics.usage().bytes <= 1 << 20);
    }
    let kept = labels(&metrics);
    assert!(kept.len() > 40, "{}", kept.len());
    // The last ones are left.
    let first = attribute("id", &format!("{:06}", 200 - kept.len()));
    assert_eq!(kept[0].attributes, [first]);
}

#[test]
fn many_points_take_their_place_among_others_at_once() {
    const COUNT: u64 = 80_000;
    let metrics = Metrics::new(256 << 20);
    let send = |first: u64| {
        let points = (0..COUNT).map(|index| number(0, first + 2 * index, index as i64));
        assert_eq!(
            metrics.insert(&request(vec![gauge(points.collect())])),
            accepted()
        );
    };
    let began = Instant::now();
    let newest = 2 * COUNT + 2;
    // First, again, between these points, and before them.
    for first in [newest, newest, newest + 1, 2] {
        send(first);
    }
    // If each point moved the newer ones, they would take minutes.
    assert!(began.elapsed() < Duration::from_secs(6));
    let stored = metrics.points(ids(&metrics)[0], seconds(0, 1_000_000));
    assert_eq!(stored.len() as u64, 3 * COUNT);
    assert!(stored.is_sorted_by_key(|point| point.time));
}

#[test]
fn points_of_series_in_any_order_reach_their_series() {
    let metrics = store();
    let points = (1..=100).rev().flat_map(|time| {
        (0..3).map(move |id| NumberDataPoint {
            attributes: vec![attribute("id", &id.to_string())],
            ..number(0, time, 1000 * i64::from(id) + time as i64)
        })
    });
    assert_eq!(
        metrics.insert(&request(vec![gauge(points.collect())])),
        accepted()
    );
    for one in labels(&metrics) {
        let all = metrics.points(one.id, seconds(0, 1000));
        assert_eq!(all.len(), 100);
        let Value::Number(Number::Int(base)) = all[0].value else {
            panic!("no number");
        };
        for (point, time) in all.iter().zip(1..) {
            let value = Value::Number(Number::Int(base - 1 + time));
            assert_eq!((point.time, &point.value), (time as u64 * SECOND, &value));
        }
    }
}

#[test]
fn an_empty_store_counts_no_bytes_but_its_tables() {
    let metrics = Metrics::new(1 << 20);
    let empty = metrics.usage().bytes;
    assert_eq!(empty, 0);
    let state = RwLock::new(State::new(1 << 20));
    for id in 0..50 {
        insert(&state, &request(vec![gauge(vec![labelled(id, 10)])]), 0);
    }
    let mut state = state.into_inner().unwrap();
    let ids: Vec<_> = state.all().map(|(id, _)| id).collect();
    for id in ids {
        state.remove(id);
    }
    assert_eq!((state.identity_bytes, state.point_bytes), (0, 0));
    assert_eq!((state.metrics.len(), state.sources.len()), (0, 0));
}

#[test]
fn a_store_without_a_budget_keeps_nothing() {
    let metrics = Metrics::new(0);
    let inserted = metrics.insert(&request(vec![gauge(vec![labelled(0, 10)])]));
    assert_eq!((inserted.rejected, metrics.usage().bytes), (1, 0));
}

#[test]
fn empty_requests_are_accepted() {
    let metrics = store();
    assert_eq!(
        metrics.insert(&ExportMetricsServiceRequest::default()),
        accepted()
    );
    let mut without_data = gauge(Vec::new());
    without_data.data = None;
    assert_eq!(metrics.insert(&request(vec![without_data])), accepted());
}
