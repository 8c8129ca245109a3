//! Test of the memory of the metrics. It has a process of its own, so that nothing else takes memory.
#![cfg(target_os = "linux")]

use lens::metrics::Metrics;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint,
        Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
        ScopeMetrics, exemplar, exponential_histogram_data_point::Buckets, metric::Data,
        number_data_point,
    },
};
use procfs::{WithCurrentSystemInfo as _, process::Process};

const LIMIT: usize = 32 << 20;
const SERIES: u64 = 300;
/// Nanoseconds between the points of a series.
const INTERVAL: u64 = 1_000_000_000;

#[test]
fn the_store_stays_within_its_budget_and_so_does_the_process() {
    let before = resident();
    let metrics = Metrics::new(LIMIT);
    let mut inserted = 0;
    let mut highest = 0;
    // Enough for several times the budget.
    for time in 1..=400 {
        let request = request(time);
        assert_eq!(metrics.insert(&request).rejected, 0);
        inserted += 3 * SERIES;
        let usage = metrics.usage();
        assert!(usage.bytes <= LIMIT, "{usage:?}");
        highest = highest.max(usage.bytes);
    }
    let usage = metrics.usage();
    assert_eq!(usage.points as u64 + usage.evicted_points, inserted);
    // The budget was full several times, and is well used.
    assert!(usage.evicted_points > 2 * usage.points as u64, "{usage:?}");
    assert!(highest > LIMIT / 100 * 95, "{highest}");

    let taken = resident() - before;
    // The allocator keeps some freed memory. Less than the counted bytes would mean that they are
    // counted twice.
    let tolerated = usage.bytes / 100 * 90..usage.bytes / 100 * 120;
    assert!(tolerated.contains(&taken), "{taken} bytes for {usage:?}");
}

/// Resident memory in bytes.
fn resident() -> usize {
    let stat = Process::myself().and_then(|process| process.stat());
    let bytes = stat.expect("/proc/self is readable").rss_bytes().get();
    usize::try_from(bytes).expect("a size of memory")
}

/// A point for each series at this time.
fn request(time: u64) -> ExportMetricsServiceRequest {
    let temporality = AggregationTemporality::Cumulative as i32;
    let gauge = Gauge {
        data_points: (0..SERIES)
            .map(|id| NumberDataPoint {
                attributes: attributes(id),
                time_unix_nano: time * INTERVAL,
                value: Some(number_data_point::Value::AsInt(time as i64)),
                ..NumberDataPoint::default()
            })
            .collect(),
    };
    let histogram = Histogram {
        aggregation_temporality: temporality,
        data_points: (0..SERIES)
            .map(|id| HistogramDataPoint {
                attributes: attributes(id),
                start_time_unix_nano: INTERVAL,
                time_unix_nano: time * INTERVAL,
                count: 15 * time,
                bucket_counts: vec![time; 15],
                explicit_bounds: (0..14).map(f64::from).collect(),
                exemplars: vec![Exemplar {
                    filtered_attributes: attributes(time),
                    time_unix_nano: time * INTERVAL,
                    span_id: vec![1; 8],
                    trace_id: vec![1; 16],
                    value: Some(exemplar::Value::AsDouble(0.5)),
                }],
                ..HistogramDataPoint::default()
            })
            .collect(),
    };
    let exponential = ExponentialHistogram {
        aggregation_temporality: temporality,
        data_points: (0..SERIES)
            .map(|id| ExponentialHistogramDataPoint {
                attributes: attributes(id),
                start_time_unix_nano: INTERVAL,
                time_unix_nano: time * INTERVAL,
                count: 160 * time,
                scale: 3,
                positive: Some(Buckets {
                    offset: -80,
                    bucket_counts: vec![time; 160],
                }),
                ..ExponentialHistogramDataPoint::default()
            })
            .collect(),
    };
    let metrics = [
        ("gauge", Data::Gauge(gauge)),
        ("histogram", Data::Histogram(histogram)),
        ("exponential", Data::ExponentialHistogram(exponential)),
    ];
    let metrics = metrics.map(|(name, data)| Metric {
        name: name.to_owned(),
        data: Some(data),
        ..Metric::default()
    });
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: metrics.into(),
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

fn attributes(id: u64) -> Vec<KeyValue> {
    vec![KeyValue {
        key: "id".to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(format!("number {id}"))),
        }),
        ..KeyValue::default()
    }]
}
