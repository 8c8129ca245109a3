//! Data points from OTLP messages.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{
        AggregationTemporality, DataPointFlags, Exemplar, ExponentialHistogramDataPoint,
        HistogramDataPoint, NumberDataPoint, SummaryDataPoint, exemplar,
        exponential_histogram_data_point, metric::Data, number_data_point,
    },
};

use crate::metrics::{
    explicit::Explicit,
    exponential::{Buckets, Exponential},
    identity::{self, Kind, Temporality},
    point::{Number, Point, StoredExemplar, Summary, Value},
};

/// The reason for which a data point is rejected.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Reason {
    /// The store has as many series as it may have.
    TooManySeries,
    /// The names and attributes of all series take as many bytes as they may.
    IdentitiesTooLarge,
    /// The data point takes too large a part of the budget.
    TooLarge,
    /// The id of the series is that of another series.
    Collision,
    /// The data point breaks a rule of OTLP.
    Invalid(&'static str),
}

/// Number of rejected data points by reason.
pub(super) type Rejections = BTreeMap<Reason, u64>;

/// The type and temporality of a metric.
pub(super) fn kind(data: &Data) -> (Kind, Temporality) {
    match data {
        Data::Gauge(_) => (Kind::Gauge, Temporality::Unspecified),
        Data::Sum(sum) => {
            let kind = if sum.is_monotonic {
                Kind::Counter
            } else {
                Kind::Sum
            };
            (kind, temporality(sum.aggregation_temporality))
        }
        Data::Histogram(histogram) => (
            Kind::Histogram,
            temporality(histogram.aggregation_temporality),
        ),
        Data::ExponentialHistogram(histogram) => (
            Kind::ExponentialHistogram,
            temporality(histogram.aggregation_temporality),
        ),
        // Their count and sum are cumulative by definition.
        Data::Summary(_) => (Kind::Summary, Temporality::Cumulative),
    }
}

/// The number of data points of a metric.
pub(super) fn count(data: &Data) -> u64 {
    let count = match data {
        Data::Gauge(gauge) => gauge.data_points.len(),
        Data::Sum(sum) => sum.data_points.len(),
        Data::Histogram(histogram) => histogram.data_points.len(),
        Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
        Data::Summary(summary) => summary.data_points.len(),
    };
    count as u64
}

fn temporality(value: i32) -> Temporality {
    match AggregationTemporality::try_from(value) {
        Ok(AggregationTemporality::Delta) => Temporality::Delta,
        Ok(AggregationTemporality::Cumulative) => Temporality::Cumulative,
        Ok(AggregationTemporality::Unspecified) | Err(_) => Temporality::Unspecified,
    }
}

/// A data point of any type.
pub(super) trait DataPoint {
    fn attributes(&self) -> &[KeyValue];

    /// The point without its time of arrival.
    fn decode(&self) -> Result<Point, Reason>;
}

impl DataPoint for NumberDataPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn decode(&self) -> Result<Point, Reason> {
        let times = (self.start_time_unix_nano, self.time_unix_nano);
        point(times, self.flags, &self.exemplars, || {
            Ok(Value::Number(match self.value {
                Some(number_data_point::Value::AsInt(value)) => Number::Int(value),
                Some(number_data_point::Value::AsDouble(value)) => Number::Double(value),
                None => return Err(Reason::Invalid("no value")),
            }))
        })
    }
}

impl DataPoint for HistogramDataPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn decode(&self) -> Result<Point, Reason> {
        let times = (self.start_time_unix_nano, self.time_unix_nano);
        point(times, self.flags, &self.exemplars, || {
            let counts = match (self.bucket_counts.len(), self.explicit_bounds.len()) {
                (0, 0) => [self.count].into(),
                (counts, bounds) if counts == bounds + 1 => self.bucket_counts.as_slice().into(),
                _ => return Err(Reason::Invalid("bucket counts do not match the bounds")),
            };
            let bounds = &self.explicit_bounds;
            if bounds.iter().any(|bound| bound.is_nan()) || !bounds.is_sorted_by(|a, b| a < b) {
                return Err(Reason::Invalid("bounds do not ascend"));
            }
            Ok(Value::Explicit(Box::new(Explicit {
                count: self.count,
                sum: self.sum,
                min: self.min.filter(|min| !min.is_nan()),
                max: self.max.filter(|max| !max.is_nan()),
                bounds: bounds.as_slice().into(),
                counts,
            })))
        })
    }
}

impl DataPoint for ExponentialHistogramDataPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn decode(&self) -> Result<Point, Reason> {
        let times = (self.start_time_unix_nano, self.time_unix_nano);
        point(times, self.flags, &self.exemplars, || {
            if !(self.zero_threshold >= 0.0 && self.zero_threshold.is_finite()) {
                return Err(Reason::Invalid(
                    "a zero threshold that is no positive number",
                ));
            }
            let histogram = Exponential {
                count: self.count,
                sum: self.sum,
                min: self.min.filter(|min| !min.is_nan()),
                max: self.max.filter(|max| !max.is_nan()),
                scale: self.scale,
                zero_count: self.zero_count,
                zero_threshold: self.zero_threshold,
                positive: buckets(self.positive.as_ref()),
                negative: buckets(self.negative.as_ref()),
            };
            let beyond = Reason::Invalid("a bucket beyond all finite numbers");
            let histogram = histogram.fit().ok_or(beyond)?;
            Ok(Value::Exponential(Box::new(histogram)))
        })
    }
}

impl DataPoint for SummaryDataPoint {
    fn attributes(&self) -> &[KeyValue] {
        &self.attributes
    }

    fn decode(&self) -> Result<Point, Reason> {
        let times = (self.start_time_unix_nano, self.time_unix_nano);
        point(times, self.flags, &[], || {
            let quantiles = self.quantile_values.iter();
            Ok(Value::Summary(Box::new(Summary {
                count: self.count,
                sum: self.sum,
                quantiles: quantiles.map(|one| (one.quantile, one.value)).collect(),
            })))
        })
    }
}

fn point(
    (start, time): (u64, u64),
    flags: u32,
    exemplars: &[Exemplar],
    value: impl FnOnce() -> Result<Value, Reason>,
) -> Result<Point, Reason> {
    if time == 0 {
        return Err(Reason::Invalid("no time"));
    }
    let value = if flags & DataPointFlags::NoRecordedValueMask as u32 == 0 {
        value()?
    } else {
        Value::Gap
    };
    Ok(Point {
        time,
        start,
        value,
        arrival: 0,
        exemplars: exemplars.iter().filter_map(exemplar).collect(),
    })
}

fn buckets(buckets: Option<&exponential_histogram_data_point::Buckets>) -> Buckets {
    buckets.map_or_else(Buckets::default, |buckets| {
        Buckets::new(buckets.offset.into(), &buckets.bucket_counts)
    })
}

/// An exemplar without a value is invalid, and left out.
fn exemplar(exemplar: &Exemplar) -> Option<StoredExemplar> {
    let value = match exemplar.value? {
        exemplar::Value::AsInt(value) => Number::Int(value),
        exemplar::Value::AsDouble(value) => Number::Double(value),
    };
    let mut filtered = Vec::new();
    identity::encode(&exemplar.filtered_attributes, &mut filtered);
    Some(StoredExemplar {
        time: exemplar.time_unix_nano,
        value,
        trace_id: id(&exemplar.trace_id),
        span_id: id(&exemplar.span_id),
        filtered: filtered.into(),
    })
}

/// A valid id: neither of another length nor all zeros.
fn id<const LENGTH: usize>(bytes: &[u8]) -> Option<[u8; LENGTH]> {
    let id = bytes.try_into().ok()?;
    (id != [0; LENGTH]).then_some(id)
}
