//! Data points.

use crate::metrics::{explicit::Explicit, exponential::Exponential, size};

/// A data point of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// End of the interval that it describes, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// Start of that interval, in nanoseconds since the Unix epoch. 0 if it is unknown.
    pub start: u64,
    /// Its value.
    pub value: Value,
    /// Time of its arrival, in milliseconds since the store was made. It never falls along a series.
    pub(super) arrival: u64,
    pub(super) exemplars: Box<[StoredExemplar]>,
}

/// The value of a data point.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value was recorded: the series has a gap here.
    Gap,
    /// The value of a gauge or sum.
    Number(Number),
    /// A histogram with explicit bounds.
    Explicit(Box<Explicit>),
    /// An exponential histogram.
    Exponential(Box<Exponential>),
    /// A summary.
    Summary(Box<Summary>),
}

/// An integer or a floating-point number. A series may have both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Double(f64),
}

/// Quantiles that a client has calculated.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Number of values since the start.
    pub count: u64,
    /// Sum of these values, in the unit of the metric.
    pub sum: f64,
    /// Quantiles (0 to 1) and their values, in the unit of the metric.
    pub quantiles: Box<[(f64, f64)]>,
}

/// An exemplar as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredExemplar {
    pub(super) time: u64,
    pub(super) value: Number,
    pub(super) trace_id: Option<[u8; 16]>,
    pub(super) span_id: Option<[u8; 8]>,
    /// Attributes as an encoded `KeyValueList`.
    pub(super) filtered: Box<[u8]>,
}

impl Number {
    /// The value as a floating-point number. Large integers are rounded.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Double(value) => value,
        }
    }

    /// The difference to an earlier value. Two integers are subtracted before they are rounded.
    pub(super) fn minus(self, earlier: Self) -> f64 {
        match (self, earlier) {
            (Self::Int(value), Self::Int(earlier)) => {
                (i128::from(value) - i128::from(earlier)) as f64
            }
            _ => self.as_f64() - earlier.as_f64(),
        }
    }
}

impl Point {
    /// Holds a place for another point. It has no allocations.
    pub(super) fn empty() -> Self {
        Self {
            time: 0,
            start: 0,
            value: Value::Gap,
            arrival: 0,
            exemplars: Box::default(),
        }
    }

    /// The bytes of its allocations, after the given predecessor in its series.
    ///
    /// Shared bounds count once for each run of points that share them.
    pub(super) fn heap(&self, before: Option<&Self>) -> usize {
        let filtered = self
            .exemplars
            .iter()
            .map(|one| size::block(one.filtered.len()));
        let exemplars = size::items::<StoredExemplar>(self.exemplars.len());
        let value = match &self.value {
            Value::Gap | Value::Number(_) => 0,
            Value::Explicit(histogram) => {
                let bounds = match before.map(|before| &before.value) {
                    Some(Value::Explicit(before))
                        if std::sync::Arc::ptr_eq(&before.bounds, &histogram.bounds) =>
                    {
                        0
                    }
                    _ => histogram.bounds_heap(),
                };
                size::items::<Explicit>(1) + histogram.heap() + bounds
            }
            Value::Exponential(histogram) => size::items::<Exponential>(1) + histogram.heap(),
            Value::Summary(summary) => {
                size::items::<Summary>(1) + size::items::<(f64, f64)>(summary.quantiles.len())
            }
        };
        value + exemplars + filtered.sum::<usize>()
    }
}
