//! Requests for tests, and histograms of known values.

use std::sync::Arc;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    metrics::v1::{
        AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge,
        Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
        metric::Data, number_data_point,
    },
    resource::v1::Resource,
};

use crate::metrics::{
    Buckets, Explicit, Exponential, Labels, Metrics, Range, SeriesId, exponential,
};

/// Nanoseconds of a second.
pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) const DELTA: i32 = AggregationTemporality::Delta as i32;
pub(crate) const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
pub(crate) const UNSPECIFIED: i32 = AggregationTemporality::Unspecified as i32;

/// The range between two times, in seconds.
pub(crate) fn seconds(from: u64, to: u64) -> Range {
    Range {
        from: from * SECOND,
        to: to * SECOND,
    }
}

pub(crate) fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}

/// A request with metrics of the service `shop`.
pub(crate) fn request(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    attribute("service.name", "shop"),
                    attribute("host.name", "a"),
                ],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope {
                    name: "scope".to_owned(),
                    ..InstrumentationScope::default()
                }),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

pub(crate) fn metric(data: Data) -> Metric {
    Metric {
        name: "m".to_owned(),
        description: "a metric".to_owned(),
        unit: "s".to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// A point at a time, with a start, in seconds.
pub(crate) fn number(start: u64, time: u64, value: i64) -> NumberDataPoint {
    NumberDataPoint {
        start_time_unix_nano: start * SECOND,
        time_unix_nano: time * SECOND,
        value: Some(number_data_point::Value::AsInt(value)),
        ..NumberDataPoint::default()
    }
}

pub(crate) fn gauge(data_points: Vec<NumberDataPoint>) -> Metric {
    metric(Data::Gauge(Gauge { data_points }))
}

pub(crate) fn counter(aggregation_temporality: i32, data_points: Vec<NumberDataPoint>) -> Metric {
    metric(Data::Sum(Sum {
        data_points,
        aggregation_temporality,
        is_monotonic: true,
    }))
}

pub(crate) fn histogram(
    aggregation_temporality: i32,
    data_points: Vec<HistogramDataPoint>,
) -> Metric {
    metric(Data::Histogram(Histogram {
        data_points,
        aggregation_temporality,
    }))
}

pub(crate) fn exponential_histogram(
    aggregation_temporality: i32,
    data_points: Vec<ExponentialHistogramDataPoint>,
) -> Metric {
    metric(Data::ExponentialHistogram(ExponentialHistogram {
        data_points,
        aggregation_temporality,
    }))
}

/// A message of a histogram, between a start and a time in seconds.
pub(crate) fn exponential_point(
    start: u64,
    time: u64,
    histogram: &Exponential,
) -> ExponentialHistogramDataPoint {
    let buckets = |buckets: &Buckets| {
        let (first, last) = buckets.range_at(0)?;
        let mut bucket_counts = vec![0; (last - first) as usize + 1];
        for (index, count) in buckets.iter() {
            bucket_counts[(index - first) as usize] = count;
        }
        Some(
            opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets {
                offset: first as i32,
                bucket_counts,
            },
        )
    };
    ExponentialHistogramDataPoint {
        start_time_unix_nano: start * SECOND,
        time_unix_nano: time * SECOND,
        count: histogram.count,
        sum: histogram.sum,
        scale: histogram.scale,
        zero_count: histogram.zero_count,
        positive: buckets(&histogram.positive),
        negative: buckets(&histogram.negative),
        min: histogram.min,
        max: histogram.max,
        zero_threshold: histogram.zero_threshold,
        ..ExponentialHistogramDataPoint::default()
    }
}

/// A message of a histogram, between a start and a time in seconds.
pub(crate) fn explicit_point(start: u64, time: u64, histogram: &Explicit) -> HistogramDataPoint {
    HistogramDataPoint {
        start_time_unix_nano: start * SECOND,
        time_unix_nano: time * SECOND,
        count: histogram.count,
        sum: histogram.sum,
        bucket_counts: histogram.counts.to_vec(),
        explicit_bounds: histogram.bounds.to_vec(),
        min: histogram.min,
        max: histogram.max,
        ..HistogramDataPoint::default()
    }
}

/// A store with room for everything that a test inserts.
pub(crate) fn store() -> Metrics {
    Metrics::new(16 << 20)
}

/// All series of the metric `m`.
pub(crate) fn labels(metrics: &Metrics) -> Vec<Labels> {
    metrics.series("m", |_| true)
}

/// The ids of all series of the metric `m`.
pub(crate) fn ids(metrics: &Metrics) -> Vec<SeriesId> {
    labels(metrics).into_iter().map(|one| one.id).collect()
}

/// The index of the bucket for a positive value.
pub(crate) fn index_of(value: f64, scale: i32) -> i64 {
    let mut index = (value.log2() * f64::from(scale).exp2()).ceil() as i64 - 1;
    // The logarithm is rounded, so that values at bounds may be off by one.
    while exponential::bound(index, scale) >= value {
        index -= 1;
    }
    while exponential::bound(index + 1, scale) < value {
        index += 1;
    }
    index
}

/// The exponential histogram of these values.
pub(crate) fn exponential_of(values: &[f64], scale: i32, zero_threshold: f64) -> Exponential {
    let mut histogram = Exponential {
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        min: values.iter().copied().reduce(f64::min),
        max: values.iter().copied().reduce(f64::max),
        scale,
        zero_threshold,
        ..Exponential::default()
    };
    let mut signs = [Vec::new(), Vec::new()];
    for value in values {
        if value.abs() <= zero_threshold {
            histogram.zero_count += 1;
        } else {
            signs[usize::from(*value < 0.0)].push(index_of(value.abs(), scale));
        }
    }
    let [positive, negative] = signs.map(|indexes| {
        let first = indexes.iter().min().copied().unwrap_or_default();
        let last = indexes.iter().max().copied().unwrap_or_default();
        let mut counts = vec![0; (last - first) as usize + 1];
        for index in indexes {
            counts[(index - first) as usize] += 1;
        }
        Buckets::new(first, &counts)
    });
    Exponential {
        positive,
        negative,
        ..histogram
    }
}

/// The explicit histogram of these values.
pub(crate) fn explicit_of(values: &[f64], bounds: &[f64]) -> Explicit {
    let mut counts = vec![0; bounds.len() + 1];
    for value in values {
        counts[bounds.partition_point(|bound| bound < value)] += 1;
    }
    Explicit {
        count: values.len() as u64,
        sum: Some(values.iter().sum()),
        min: values.iter().copied().reduce(f64::min),
        max: values.iter().copied().reduce(f64::max),
        bounds: Arc::from(bounds),
        counts: counts.into(),
    }
}

/// The value at a quantile, from the sorted values.
pub(crate) fn true_quantile(values: &[f64], quantile: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (quantile * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// Values over several orders of magnitude.
pub(crate) fn random_values(random: &mut fastrand::Rng, count: usize) -> Vec<f64> {
    let values = (0..count).map(|_| (random.f64() * 30.0 - 15.0).exp2());
    values.collect()
}

/// Fails unless the two are equal but for rounding.
#[track_caller]
pub(crate) fn assert_near(one: f64, other: f64) {
    let difference = (one - other).abs();
    assert!(difference <= 1e-9 * one.abs().max(1.0), "{one} {other}");
}
