//! Series as OTLP.

use std::{collections::HashMap, sync::Arc};

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        self as otlp, AggregationTemporality, DataPointFlags, Gauge, Histogram, HistogramDataPoint,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, SummaryDataPoint,
        exponential_histogram_data_point, metric::Data, number_data_point,
        summary_data_point::ValueAtQuantile,
    },
};

use crate::metrics::{
    Range, SeriesId,
    exponential::Buckets,
    identity::{self, Kind, Metric, Source, Temporality},
    point::{Number, Point, StoredExemplar, Value},
    query::Labels,
    state::{Series, State},
};

/// The place of a reader of all series.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// Name and id of the series to read next.
    series: (String, u64),
    /// Time of its last point that was read, in nanoseconds since the Unix epoch.
    time: u64,
}

/// A part of some series.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The points, by resource, scope and metric.
    pub metrics: Vec<ResourceMetrics>,
    /// Where to read on. `None` at the end.
    pub next: Option<Place>,
}

/// The series of all metrics that the filter keeps, by name and id: at most `limit` after the given one.
pub(super) fn series(
    state: &State,
    after: Option<(&str, u64)>,
    limit: usize,
    filter: impl Fn(&Labels) -> bool,
) -> Vec<(String, SeriesId)> {
    let mut all: Vec<_> = sorted(state);
    if let Some(after) = after {
        all.retain(|(name, id, _)| (*name, *id) > after);
    }
    all.into_iter()
        .filter(|(_, id, series)| filter(&super::query::labels(*id, series)))
        .take(limit)
        .map(|(name, id, _)| (name.to_owned(), SeriesId(id)))
        .collect()
}

/// Reads points of all series: about `limit`.
pub(super) fn part(state: &State, place: &Place, limit: usize) -> Part {
    let mut groups = Groups::default();
    let mut left = limit;
    for (name, id, series) in sorted(state) {
        let (first_name, first_id) = &place.series;
        if (name, id) < (first_name, *first_id) {
            continue;
        }
        let is_first = (name, id) == (first_name, *first_id);
        let after = if is_first { place.time } else { 0 };
        let points = series.ring.points();
        let first = points.partition_point(|point| point.time <= after);
        let end = points.len().min(first + left);
        if first < end {
            groups.add(series, points.range(first..end));
            left -= end - first;
        }
        if left == 0 {
            let time = points
                .get(end.saturating_sub(1))
                .map_or(0, |point| point.time);
            let next = Place {
                series: (name.to_owned(), id),
                time,
            };
            return Part {
                metrics: groups.resources,
                next: Some(next),
            };
        }
    }
    Part {
        metrics: groups.resources,
        next: None,
    }
}

/// The points of series in a range.
pub(super) fn points<'a>(
    series: impl Iterator<Item = (u64, &'a Series)>,
    range: Range,
) -> Vec<ResourceMetrics> {
    let mut groups = Groups::default();
    for (_, series) in series {
        let points = series.ring.points();
        let first = points.partition_point(|point| point.time <= range.from);
        let end = points.partition_point(|point| point.time <= range.to);
        if first < end {
            groups.add(series, points.range(first..end));
        }
    }
    groups.resources
}

fn sorted(state: &State) -> Vec<(&str, u64, &Series)> {
    let all = state.all();
    let mut all: Vec<_> = all
        .map(|(id, series)| (&*series.metric.name, id, series))
        .collect();
    all.sort_unstable_by_key(|(name, id, _)| (*name, *id));
    all
}

/// Groups series by resource, scope and metric.
#[derive(Default)]
struct Groups {
    resources: Vec<ResourceMetrics>,
    /// Numbers in `resources`, by the address of the source.
    sources: HashMap<*const Source, usize>,
    /// Numbers of the metrics of a source, by the address of the metric.
    metrics: HashMap<*const Metric, usize>,
}

impl Groups {
    fn add<'a>(&mut self, series: &Series, points: impl Iterator<Item = &'a Point>) {
        let metric = &series.metric;
        let resources = &mut self.resources;
        let source = *self
            .sources
            .entry(Arc::as_ptr(&metric.source))
            .or_insert_with(|| {
                resources.push(ResourceMetrics {
                    resource: Some(metric.source.resource()),
                    scope_metrics: vec![ScopeMetrics {
                        scope: Some(metric.source.scope()),
                        metrics: Vec::new(),
                        schema_url: metric.source.scope_extra.schema_url.to_string(),
                    }],
                    schema_url: metric.source.resource_extra.schema_url.to_string(),
                });
                resources.len() - 1
            });
        let metrics = &mut resources[source].scope_metrics[0].metrics;
        let number = *self.metrics.entry(Arc::as_ptr(metric)).or_insert_with(|| {
            metrics.push(otlp::Metric {
                name: metric.name.to_string(),
                description: metric.description.to_string(),
                unit: metric.unit.to_string(),
                metadata: identity::decode(&metric.metadata),
                data: Some(empty(metric.kind, metric.temporality)),
            });
            metrics.len() - 1
        });
        if let Some(data) = &mut metrics[number].data {
            let attributes = identity::decode(&series.attributes);
            for point in points {
                push(data, point, &attributes);
            }
        }
    }
}

fn empty(kind: Kind, temporality: Temporality) -> Data {
    let aggregation_temporality = match temporality {
        Temporality::Unspecified => AggregationTemporality::Unspecified,
        Temporality::Delta => AggregationTemporality::Delta,
        Temporality::Cumulative => AggregationTemporality::Cumulative,
    } as i32;
    match kind {
        Kind::Gauge => Data::Gauge(Gauge::default()),
        Kind::Sum | Kind::Counter => Data::Sum(Sum {
            is_monotonic: kind == Kind::Counter,
            aggregation_temporality,
            ..Sum::default()
        }),
        Kind::Histogram => Data::Histogram(Histogram {
            aggregation_temporality,
            ..Histogram::default()
        }),
        Kind::ExponentialHistogram => Data::ExponentialHistogram(otlp::ExponentialHistogram {
            aggregation_temporality,
            ..otlp::ExponentialHistogram::default()
        }),
        Kind::Summary => Data::Summary(otlp::Summary::default()),
    }
}

/// Adds a point. A series has only points of its type, and gaps.
fn push(data: &mut Data, point: &Point, attributes: &[KeyValue]) {
    let flags = match point.value {
        Value::Gap => DataPointFlags::NoRecordedValueMask as u32,
        _ => 0,
    };
    let (attributes, exemplars) = (attributes.to_vec(), point.exemplars.iter());
    let exemplars = exemplars.map(exemplar).collect();
    let (start_time_unix_nano, time_unix_nano) = (point.start, point.time);
    match data {
        Data::Gauge(Gauge { data_points }) | Data::Sum(Sum { data_points, .. }) => {
            data_points.push(NumberDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                exemplars,
                flags,
                value: match point.value {
                    Value::Number(Number::Int(value)) => {
                        Some(number_data_point::Value::AsInt(value))
                    }
                    Value::Number(Number::Double(value)) => {
                        Some(number_data_point::Value::AsDouble(value))
                    }
                    _ => None,
                },
            });
        }
        Data::Histogram(histogram) => {
            let mut to = HistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                exemplars,
                flags,
                ..HistogramDataPoint::default()
            };
            if let Value::Explicit(value) = &point.value {
                to.count = value.count;
                to.sum = value.sum;
                to.min = value.min;
                to.max = value.max;
                to.explicit_bounds = value.bounds.to_vec();
                to.bucket_counts = value.counts.to_vec();
            }
            histogram.data_points.push(to);
        }
        Data::ExponentialHistogram(histogram) => {
            let mut to = otlp::ExponentialHistogramDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                exemplars,
                flags,
                ..otlp::ExponentialHistogramDataPoint::default()
            };
            if let Value::Exponential(value) = &point.value {
                to.count = value.count;
                to.sum = value.sum;
                to.min = value.min;
                to.max = value.max;
                to.scale = value.scale;
                to.zero_count = value.zero_count;
                to.zero_threshold = value.zero_threshold;
                to.positive = buckets(&value.positive);
                to.negative = buckets(&value.negative);
            }
            histogram.data_points.push(to);
        }
        Data::Summary(summary) => {
            let mut to = SummaryDataPoint {
                attributes,
                start_time_unix_nano,
                time_unix_nano,
                flags,
                ..SummaryDataPoint::default()
            };
            if let Value::Summary(value) = &point.value {
                to.count = value.count;
                to.sum = value.sum;
                let quantiles = value.quantiles.iter();
                let quantiles =
                    quantiles.map(|&(quantile, value)| ValueAtQuantile { quantile, value });
                to.quantile_values = quantiles.collect();
            }
            summary.data_points.push(to);
        }
    }
}

fn buckets(buckets: &Buckets) -> Option<exponential_histogram_data_point::Buckets> {
    let (first, last) = buckets.range_at(0)?;
    let mut counts = vec![0; usize::try_from(last - first).ok()? + 1];
    for (index, count) in buckets.iter() {
        counts[(index - first) as usize] = count;
    }
    Some(exponential_histogram_data_point::Buckets {
        offset: i32::try_from(first).ok()?,
        bucket_counts: counts,
    })
}

fn exemplar(from: &StoredExemplar) -> otlp::Exemplar {
    otlp::Exemplar {
        filtered_attributes: identity::decode(&from.filtered),
        time_unix_nano: from.time,
        span_id: from.span_id.map(Vec::from).unwrap_or_default(),
        trace_id: from.trace_id.map(Vec::from).unwrap_or_default(),
        value: Some(match from.value {
            Number::Int(value) => otlp::exemplar::Value::AsInt(value),
            Number::Double(value) => otlp::exemplar::Value::AsDouble(value),
        }),
    }
}
