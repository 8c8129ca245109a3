//! Exponential histograms: the arithmetic of the OpenTelemetry data model.
//!
//! At scale `s`, the bucket with index `i` has the values in `(base^i, base^(i + 1)]`, where `base` is
//! `2^(2^-s)`. A bucket at scale `s` lies within one bucket at each lower scale, so lowering the scale
//! is exact. Negative values have buckets of their own, by their absolute value.

use crate::metrics::{
    bucket::{self, Bucket, Estimate, Known, Shape},
    size,
};

/// Lowest scale that is stored. Its two buckets have all finite numbers, and so have those of each lower scale.
const LOWEST: i32 = -11;

/// Highest scale that is stored. Indexes of its buckets fit into 64 bits.
const HIGHEST: i32 = 38;

/// Maximum number of buckets of each sign after a merge.
///
/// Buckets are kept in an array from the first to the last one. Two histograms of distant values would
/// need an array of gigabytes, so a merge lowers the scale until the array is short enough.
const MAX_MERGED: i64 = 4096;

/// An exponential histogram.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exponential {
    /// Number of values, as reported.
    pub count: u64,
    /// Sum of all values, in the unit of the metric.
    pub sum: Option<f64>,
    /// Smallest value, in the unit of the metric.
    pub min: Option<f64>,
    /// Largest value, in the unit of the metric.
    pub max: Option<f64>,
    /// Resolution: each power of two has `2^scale` buckets.
    pub scale: i32,
    /// Number of values in `[-zero_threshold, zero_threshold]`.
    pub zero_count: u64,
    /// Upper bound of the absolute values that count as zero, in the unit of the metric.
    pub zero_threshold: f64,
    /// Buckets of positive values.
    pub positive: Buckets,
    /// Buckets of negative values, by their absolute value.
    pub negative: Buckets,
}

/// Counts of consecutive buckets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Buckets {
    offset: i64,
    counts: Vec<u64>,
}

impl Exponential {
    /// The buckets with values, in ascending order. They lie within the minimum and maximum, if these
    /// are known.
    #[must_use]
    pub fn buckets(&self) -> Vec<Bucket> {
        let buckets = self.whole_buckets().into_iter();
        buckets.map(|one| one.within(self.min, self.max)).collect()
    }

    /// The buckets with values with their own bounds.
    pub(super) fn whole_buckets(&self) -> Vec<Bucket> {
        let bound = |index| bound(index, self.scale);
        let negative = self.negative.iter().rev().map(|(index, count)| Bucket {
            lower: -bound(index + 1),
            upper: -bound(index),
            count,
            shape: Shape::Exponential,
        });
        let zero = (self.zero_count > 0).then_some(Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            count: self.zero_count,
            shape: Shape::Zero,
        });
        let positive = self.positive.iter().map(|(index, count)| Bucket {
            lower: bound(index),
            upper: bound(index + 1),
            count,
            shape: Shape::Exponential,
        });
        negative.chain(zero).chain(positive).collect()
    }

    /// The estimate of a quantile (0 to 1), or `None` without values.
    ///
    /// The value at the quantile lies in the same bucket, so the relative error of the estimate is at
    /// most [`relative_error`](Self::relative_error).
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Estimate> {
        bucket::quantile(&self.buckets(), quantile)
    }

    /// The estimated number of values that are not above the given value. It is exact at bounds of
    /// buckets.
    #[must_use]
    pub fn count_below(&self, value: f64) -> f64 {
        bucket::count_below(&self.buckets(), value)
    }

    /// The maximum relative error of an estimate, except for values that count as zero.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        // (base - 1) / (base + 1), without an overflow at low scales.
        (f64::from(-self.scale).exp2() * std::f64::consts::LN_2 / 2.0).tanh()
    }

    /// The histogram at a scale that can be stored. `None` if a bucket has no finite number.
    ///
    /// A bucket of which all values are nearer to zero than the smallest number is a part of the zero bucket.
    pub(super) fn fit(mut self) -> Option<Self> {
        self.downscale(HIGHEST);
        self.scale = self.scale.max(LOWEST);
        for buckets in [&mut self.positive, &mut self.negative] {
            let Some((first, last)) = buckets.range_at(0) else {
                continue;
            };
            if is_above_all(last, self.scale) {
                return None;
            }
            if is_below_all(first, self.scale) {
                let below = buckets.take_while(|index| is_below_all(index, self.scale));
                self.zero_count = self.zero_count.saturating_add(below);
            }
        }
        Some(self)
    }

    /// Lowers the resolution to a scale. This is exact, because each bucket lies within one wider
    /// bucket. A higher scale is ignored.
    pub fn downscale(&mut self, scale: i32) {
        let steps = self.scale.saturating_sub(scale);
        if steps > 0 {
            self.positive.downscale(steps);
            self.negative.downscale(steps);
            self.scale = scale;
        }
    }

    /// Lowers the scale, and raises the zero threshold to this one or to the next that does not lie
    /// within a bucket with values.
    pub(super) fn reduce(&mut self, scale: i32, zero_threshold: f64) {
        self.downscale(scale);
        if zero_threshold > 0.0 {
            self.widen_zero(self.free_threshold(zero_threshold));
        }
    }

    /// Adds the values of another histogram.
    ///
    /// The result has the lower scale and the higher zero threshold. If the threshold lies within a
    /// bucket with values, the threshold rises to the bucket's upper bound.
    pub fn merge(&mut self, other: &Self) {
        let other = self.align(other);
        let known = self.known().with(other.known());
        (self.count, self.sum, self.min, self.max) = (known.count, known.sum, known.min, known.max);
        self.zero_count = self.zero_count.saturating_add(other.zero_count);
        self.positive.add(&other.positive);
        self.negative.add(&other.negative);
    }

    fn known(&self) -> Known {
        Known {
            count: self.count,
            sum: self.sum,
            min: self.min,
            max: self.max,
        }
    }

    /// The values that this cumulative histogram has and an earlier one of the same run has not.
    ///
    /// `None` if a count fell, so that the two are not of the same run. The minimum and maximum of the
    /// difference are unknown, unless it has one value or everything.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let mut later = self.clone();
        let earlier = later.align(earlier);
        let known = later.known().since(earlier.known())?;
        Some(Self {
            count: known.count,
            sum: known.sum,
            min: known.min,
            max: known.max,
            scale: later.scale,
            zero_count: later.zero_count.checked_sub(earlier.zero_count)?,
            zero_threshold: later.zero_threshold,
            positive: later.positive.subtract(&earlier.positive)?,
            negative: later.negative.subtract(&earlier.negative)?,
        })
    }

    /// Lowers the scale, and raises the zero threshold, to what both histograms can have. Returns the
    /// other one so changed.
    fn align(&mut self, other: &Self) -> Self {
        let mut other = other.clone();
        let mut scale = self.scale.min(other.scale);
        let fits = |scale| {
            let span = |one: &Buckets, more: &Buckets| {
                let ranges = [(one, self.scale), (more, other.scale)]
                    .map(|(buckets, from)| buckets.range_at(from - scale));
                let ranges = ranges.iter().flatten();
                let first = ranges.clone().map(|range| range.0).min();
                let last = ranges.map(|range| range.1).max();
                last.zip(first).map_or(0, |(last, first)| last - first)
            };
            span(&self.positive, &other.positive) < MAX_MERGED
                && span(&self.negative, &other.negative) < MAX_MERGED
        };
        while !fits(scale) {
            scale -= 1;
        }
        self.downscale(scale);
        other.downscale(scale);

        if self.zero_threshold != other.zero_threshold {
            let mut threshold = self.zero_threshold.max(other.zero_threshold);
            loop {
                let raised = other.free_threshold(self.free_threshold(threshold));
                if raised == threshold {
                    break;
                }
                threshold = raised;
            }
            self.widen_zero(threshold);
            other.widen_zero(threshold);
        }
        other
    }

    /// The lowest value from a threshold on that does not lie within a bucket with values.
    fn free_threshold(&self, threshold: f64) -> f64 {
        let buckets = self.positive.iter().chain(self.negative.iter());
        let uppers = buckets
            .filter(|(index, _)| bound(*index, self.scale) < threshold)
            .map(|(index, _)| bound(index + 1, self.scale));
        uppers.fold(threshold, f64::max)
    }

    /// Counts the values of buckets up to the threshold as zero.
    fn widen_zero(&mut self, threshold: f64) {
        self.zero_threshold = threshold;
        for buckets in [&mut self.positive, &mut self.negative] {
            let offset = buckets.offset;
            for (index, count) in (offset..).zip(&mut buckets.counts) {
                if bound(index + 1, self.scale) <= threshold {
                    self.zero_count = self.zero_count.saturating_add(std::mem::take(count));
                }
            }
            buckets.trim();
        }
    }

    /// The bytes of the allocations.
    pub(super) fn heap(&self) -> usize {
        size::items::<u64>(self.positive.counts.capacity())
            + size::items::<u64>(self.negative.counts.capacity())
    }
}

impl Buckets {
    /// Buckets from the given index on. Empty buckets at both ends are left out.
    #[must_use]
    pub fn new(offset: i64, counts: &[u64]) -> Self {
        let first = counts.iter().position(|count| *count > 0);
        let last = counts.iter().rposition(|count| *count > 0);
        let Some((first, last)) = first.zip(last) else {
            return Self::default();
        };
        Self {
            offset: offset.saturating_add(first as i64),
            counts: counts[first..=last].to_vec(),
        }
    }

    /// The buckets with values: their index and count, in ascending order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, u64)> + Clone {
        self.counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(place, count)| (self.offset + place as i64, *count))
    }

    /// The index of the first and of the last bucket, after the scale is lowered by some steps.
    pub(super) fn range_at(&self, steps: i32) -> Option<(i64, i64)> {
        let last = i64::try_from(self.counts.len()).ok()?.checked_sub(1)?;
        (last >= 0).then(|| {
            let last = self.offset + last;
            (shift(self.offset, steps), shift(last, steps))
        })
    }

    /// Removes the first buckets, and returns the number of their values.
    fn take_while(&mut self, is_taken: impl Fn(i64) -> bool) -> u64 {
        let taken = bucket::sum(
            (self.offset..)
                .zip(&mut self.counts)
                .take_while(|(index, _)| is_taken(*index))
                .map(|(_, count)| std::mem::take(count)),
        );
        self.trim();
        taken
    }

    fn downscale(&mut self, steps: i32) {
        let Some((first, last)) = self.range_at(steps) else {
            return;
        };
        let mut counts = vec![0_u64; (last - first) as usize + 1];
        for (index, count) in self.iter() {
            let place = (shift(index, steps) - first) as usize;
            counts[place] = counts[place].saturating_add(count);
        }
        self.offset = first;
        self.counts = counts;
    }

    fn add(&mut self, other: &Self) {
        let Some((first, last)) = other.range_at(0) else {
            return;
        };
        if let Some((own_first, own_last)) = self.range_at(0) {
            self.extend(own_first.min(first), own_last.max(last));
        } else {
            self.extend(first, last);
        }
        for (index, count) in other.iter() {
            let own = &mut self.counts[(index - self.offset) as usize];
            *own = own.saturating_add(count);
        }
    }

    /// Makes room for these indexes, which include the present ones.
    fn extend(&mut self, first: i64, last: i64) {
        if self.range_at(0) == Some((first, last)) {
            return;
        }
        let mut counts = vec![0; (last - first) as usize + 1];
        if !self.counts.is_empty() {
            let start = (self.offset - first) as usize;
            counts[start..start + self.counts.len()].copy_from_slice(&self.counts);
        }
        self.offset = first;
        self.counts = counts;
    }

    /// `None` if a count would be negative.
    fn subtract(mut self, other: &Self) -> Option<Self> {
        for (index, count) in other.iter() {
            let place = usize::try_from(index - self.offset).ok()?;
            let own = self.counts.get_mut(place)?;
            *own = own.checked_sub(count)?;
        }
        self.trim();
        Some(self)
    }

    fn trim(&mut self) {
        *self = Self::new(self.offset, &self.counts);
    }
}

/// The index of the bucket that an index belongs to, after the scale is lowered by some steps.
fn shift(index: i64, steps: i32) -> i64 {
    index >> steps.clamp(0, 63)
}

/// The lower bound of the bucket with this index, in the unit of the metric.
///
/// A bound that no finite number has is rounded to the nearest finite one.
pub(super) fn bound(index: i64, scale: i32) -> f64 {
    let exponent = index as f64 * f64::from(-scale).exp2();
    exponent.exp2().min(f64::MAX)
}

/// Whether the values of the bucket with this index are larger than all finite numbers, which are below 2^1024.
fn is_above_all(index: i64, scale: i32) -> bool {
    index as f64 * f64::from(-scale).exp2() >= 1024.0
}

/// Whether the values of the bucket with this index are smaller than all positive numbers, which are from 2^-1074 on.
fn is_below_all(index: i64, scale: i32) -> bool {
    (index as f64 + 1.0) * f64::from(-scale).exp2() < -1074.0
}

#[cfg(test)]
mod tests;
