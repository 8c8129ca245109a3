//! Histograms with explicit bounds.

use std::sync::Arc;

use crate::metrics::{
    bucket::{self, Bucket, Estimate, Known, Shape},
    size,
};

/// A histogram with explicit bounds. Without bounds, it has one bucket for all values.
#[derive(Clone, Debug, PartialEq)]
pub struct Explicit {
    /// Number of values, as reported.
    pub count: u64,
    /// Sum of all values, in the unit of the metric.
    pub sum: Option<f64>,
    /// Smallest value, in the unit of the metric.
    pub min: Option<f64>,
    /// Largest value, in the unit of the metric.
    pub max: Option<f64>,
    /// Inclusive upper bounds of all buckets but the last, ascending, in the unit of the metric. Points
    /// of a series share them.
    pub bounds: Arc<[f64]>,
    /// Number of values in each bucket: one more than bounds.
    pub counts: Box<[u64]>,
}

impl Explicit {
    /// The buckets with values, in ascending order. They lie within the minimum and maximum, if these
    /// are known.
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        let buckets = self.whole_buckets().into_iter();
        buckets.map(|one| one.within(self.min, self.max)).collect()
    }

    /// The buckets with values with their own bounds.
    pub(super) fn whole_buckets(&self) -> Vec<Bucket> {
        let bound = |index: Option<usize>| index.and_then(|index| self.bounds.get(index)).copied();
        let buckets = self.counts.iter().enumerate().map(|(index, count)| Bucket {
            lower: bound(index.checked_sub(1)).unwrap_or(f64::NEG_INFINITY),
            upper: bound(Some(index)).unwrap_or(f64::INFINITY),
            count: *count,
            shape: Shape::Even,
        });
        buckets.filter(|bucket| bucket.count > 0).collect()
    }

    /// The estimate of a quantile (0 to 1), or `None` without values.
    ///
    /// The value at the quantile lies between the estimate's bounds. Values are assumed to be spread
    /// evenly within a bucket. A last bucket without a known maximum gives its lower bound.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Estimate> {
        bucket::quantile(&self.buckets(), quantile)
    }

    /// The estimated number of values that are not above the given value. It is exact at bounds.
    #[must_use]
    pub fn count_below(&self, value: f64) -> f64 {
        bucket::count_below(&self.buckets(), value)
    }

    /// Adds the values of another histogram. `false` if it has other bounds, so that nothing is added.
    #[must_use]
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.bounds != other.bounds {
            return false;
        }
        self.set(self.known().with(other.known()));
        for (own, more) in self.counts.iter_mut().zip(&other.counts) {
            *own = own.saturating_add(*more);
        }
        true
    }

    fn known(&self) -> Known {
        Known {
            count: self.count,
            sum: self.sum,
            min: self.min,
            max: self.max,
        }
    }

    fn set(&mut self, known: Known) {
        (self.count, self.sum, self.min, self.max) = (known.count, known.sum, known.min, known.max);
    }

    /// The values that this cumulative histogram has and an earlier one of the same run has not.
    ///
    /// `None` if the bounds differ or a count fell, so that the two are not of the same run. The minimum
    /// and maximum of the difference are unknown, unless it has one value or everything.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.bounds != earlier.bounds {
            return None;
        }
        let counts = self.counts.iter().zip(&earlier.counts);
        let known = self.known().since(earlier.known())?;
        Some(Self {
            count: known.count,
            sum: known.sum,
            min: known.min,
            max: known.max,
            bounds: Arc::clone(&self.bounds),
            counts: counts
                .map(|(one, less)| one.checked_sub(*less))
                .collect::<Option<_>>()?,
        })
    }

    /// The bytes of the allocations, except for the bounds.
    pub(super) fn heap(&self) -> usize {
        size::items::<u64>(self.counts.len())
    }

    /// The bytes of the bounds, with the two counters of their `Arc`.
    pub(super) fn bounds_heap(&self) -> usize {
        if self.bounds.is_empty() {
            return 0;
        }
        size::block(size_of_val::<[f64]>(&self.bounds) + 16)
    }
}

#[cfg(test)]
mod tests;
