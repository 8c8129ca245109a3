//! Buckets of any histogram, and the estimates that they allow.

/// Largest ratio of the bounds of an explicit bucket that an estimate may come from. The default bounds of SDKs, and
/// those that the semantic conventions recommend, have ratios up to 2.5, except for the first and the last bucket.
const WIDEST: f64 = 3.0;

/// Values of a histogram within bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// The exclusive lower bound, in the unit of the metric. It may be negative infinity.
    pub lower: f64,
    /// The inclusive upper bound, in the unit of the metric. It may be infinity.
    pub upper: f64,
    /// Number of values.
    pub count: u64,
    pub(super) shape: Shape,
}

/// The assumption about the values within a bucket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// They are anywhere. The estimate is the value with the least relative error to both bounds.
    Exponential,
    /// They are near zero.
    Zero,
    /// They are spread evenly.
    Even,
}

/// An estimate of a quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The estimate, in the unit of the metric.
    pub value: f64,
    /// The true value is not below this bound.
    pub lower: f64,
    /// The true value is not above this bound.
    pub upper: f64,
    /// Whether the explicit bucket is too wide for `value` to mean anything: a bound is infinite or zero, the bounds
    /// have different signs, or one is more than 3 times the other. Exponential buckets are never too wide.
    pub is_rough: bool,
}

impl Bucket {
    /// The bucket without the values outside of a known minimum and maximum.
    pub(super) fn within(self, min: Option<f64>, max: Option<f64>) -> Self {
        let lower = min.map_or(self.lower, |min| self.lower.max(min));
        let upper = max.map_or(self.upper, |max| self.upper.min(max));
        // A minimum above the bucket contradicts it, so both are ignored.
        if lower <= upper {
            Self {
                lower,
                upper,
                ..self
            }
        } else {
            self
        }
    }

    /// Whether an estimate from this bucket is [rough](Estimate::is_rough).
    fn is_wide(&self) -> bool {
        if self.shape != Shape::Even || self.lower == self.upper {
            return false;
        }
        let ratio = self.upper / self.lower;
        !(1.0 / WIDEST..=WIDEST).contains(&ratio)
    }

    /// The estimate of the value after this share (0 to 1) of the bucket's values.
    fn value_at(&self, share: f64) -> f64 {
        match (self.lower.is_finite(), self.upper.is_finite()) {
            (true, true) => match self.shape {
                Shape::Exponential => midpoint(self.lower, self.upper),
                Shape::Zero => 0_f64.clamp(self.lower, self.upper),
                Shape::Even => self.lower + (self.upper - self.lower) * share,
            },
            (true, false) => self.lower,
            (false, true) if self.upper > 0.0 => self.upper * share,
            (false, true) => self.upper,
            (false, false) => f64::NAN,
        }
    }

    /// The share (0 to 1) of the bucket's values that are not above the given value.
    fn share_below(&self, value: f64) -> f64 {
        if value >= self.upper {
            return 1.0;
        }
        if value < self.lower || !(self.lower.is_finite() && self.upper.is_finite()) {
            return 0.0;
        }
        let share = match self.shape {
            Shape::Exponential if self.lower > 0.0 => {
                (value / self.lower).ln() / (self.upper / self.lower).ln()
            }
            Shape::Exponential if self.upper < 0.0 => {
                1.0 - (value / self.upper).ln() / (self.lower / self.upper).ln()
            }
            _ => (value - self.lower) / (self.upper - self.lower),
        };
        share.clamp(0.0, 1.0)
    }
}

/// What is known of the values of a histogram beside its buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Known {
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
}

impl Known {
    /// The same of the union. An empty histogram need not say its sum and its extremes.
    pub(super) fn with(self, more: Self) -> Self {
        if self.count == 0 {
            return more;
        }
        if more.count == 0 {
            return self;
        }
        Self {
            count: self.count.saturating_add(more.count),
            sum: self.sum.zip(more.sum).map(|(one, more)| one + more),
            min: self.min.zip(more.min).map(|(one, more)| one.min(more)),
            max: self.max.zip(more.max).map(|(one, more)| one.max(more)),
        }
    }

    /// The same of the values that came after an earlier histogram. Their extremes are known if nothing came before,
    /// or if there is one value: it is the difference of the sums. `None` if the count fell.
    pub(super) fn since(self, earlier: Self) -> Option<Self> {
        if earlier.count == 0 {
            return Some(self);
        }
        let count = self.count.checked_sub(earlier.count)?;
        let sum = self.sum.zip(earlier.sum).map(|(one, less)| one - less);
        let single = sum.filter(|_| count == 1);
        Some(Self {
            count,
            sum,
            min: single,
            max: single,
        })
    }
}

/// The value whose relative error is the same to both bounds, which have the same sign.
fn midpoint(lower: f64, upper: f64) -> f64 {
    let (near, far) = if lower.abs() < upper.abs() {
        (lower, upper)
    } else {
        (upper, lower)
    };
    if near == 0.0 {
        return far / 2.0;
    }
    // 2lu / (l + u), without an overflow.
    (near * (2.0 / (1.0 + near / far))).clamp(lower, upper)
}

/// The estimate of a quantile (0 to 1) of the values in these buckets, which are in ascending order.
///
/// The quantile of `n` values is the smallest value that is not exceeded by `quantile * n` of them.
/// `None` without values.
pub(super) fn quantile(buckets: &[Bucket], quantile: f64) -> Option<Estimate> {
    let total = total(buckets);
    if total == 0 || quantile.is_nan() {
        return None;
    }
    // The rank of the value in ascending order, from 1.
    let rank = (quantile.clamp(0.0, 1.0) * total as f64).ceil() as u64;
    let rank = rank.clamp(1, total);
    let mut below = 0_u64;
    for bucket in buckets {
        let with = below.saturating_add(bucket.count);
        if with >= rank {
            let share = (rank - below) as f64 / bucket.count as f64;
            return Some(Estimate {
                value: bucket.value_at(share),
                lower: bucket.lower,
                upper: bucket.upper,
                is_rough: bucket.is_wide(),
            });
        }
        below = with;
    }
    None
}

/// The estimated number of values that are not above the given value. It is exact at bounds.
pub(super) fn count_below(buckets: &[Bucket], value: f64) -> f64 {
    let counts = buckets
        .iter()
        .map(|bucket| bucket.count as f64 * bucket.share_below(value));
    counts.sum()
}

/// The number of values.
pub(super) fn total(buckets: &[Bucket]) -> u64 {
    sum(buckets.iter().map(|bucket| bucket.count))
}

/// The sum of counts, which come from clients and may overflow.
pub(super) fn sum(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(lower: f64, upper: f64, count: u64, shape: Shape) -> Bucket {
        Bucket {
            lower,
            upper,
            count,
            shape,
        }
    }

    #[test]
    fn the_midpoint_has_the_same_relative_error_to_both_bounds() {
        for (lower, upper) in [(1.0, 2.0), (-2.0, -1.0), (1e-300, 1e300), (1.0, f64::MAX)] {
            let value = midpoint(lower, upper);
            let errors = [lower, upper].map(|bound| ((value - bound) / bound).abs());
            assert!((errors[0] - errors[1]).abs() < 1e-9, "{value} {errors:?}");
        }
        assert_eq!(midpoint(0.0, 4.0), 2.0);
    }

    #[test]
    fn open_buckets_give_their_finite_bound() {
        let open = bucket(10.0, f64::INFINITY, 4, Shape::Even);
        assert_eq!(quantile(&[open], 0.5).unwrap().value, 10.0);
        let below_zero = bucket(f64::NEG_INFINITY, -1.0, 4, Shape::Even);
        assert_eq!(quantile(&[below_zero], 0.5).unwrap().value, -1.0);
        // A first bucket up to a positive bound starts at 0, as in Prometheus.
        let first = bucket(f64::NEG_INFINITY, 8.0, 4, Shape::Even);
        assert_eq!(quantile(&[first], 0.5).unwrap().value, 4.0);
    }

    #[test]
    fn estimates_from_wide_buckets_are_rough() {
        let open = f64::INFINITY;
        for (lower, upper, is_rough) in [
            (0.0, 5.0, true),
            (5.0, 10.0, false),
            (10.0, 25.0, false),
            (10.0, 31.0, true),
            (10.0, open, true),
            (-open, 0.005, true),
            (-open, open, true),
            (-1.0, 1.0, true),
            (-2.0, -1.0, false),
            (-5.0, -1.0, true),
            (-5.0, 0.0, true),
            (0.0, 0.0, false),
            (7.0, 7.0, false),
        ] {
            let of = |shape| {
                quantile(&[bucket(lower, upper, 4, shape)], 0.5)
                    .unwrap()
                    .is_rough
            };
            assert_eq!(of(Shape::Even), is_rough, "{lower} {upper}");
            assert!(!of(Shape::Exponential) && !of(Shape::Zero));
        }
    }

    #[test]
    fn counts_that_overflow_are_saturated() {
        let buckets = [
            bucket(0.0, 1.0, u64::MAX, Shape::Even),
            bucket(1.0, 2.0, 7, Shape::Even),
        ];
        assert_eq!(total(&buckets), u64::MAX);
        assert!(quantile(&buckets, 1.0).unwrap().value <= 2.0);
    }

    #[test]
    fn counts_within_a_bucket_are_interpolated() {
        let even = [bucket(0.0, 10.0, 10, Shape::Even)];
        assert_eq!(count_below(&even, 2.5), 2.5);
        let exponential = [bucket(1.0, 16.0, 8, Shape::Exponential)];
        assert!((count_below(&exponential, 4.0) - 4.0).abs() < 1e-9);
        let negative = [bucket(-16.0, -1.0, 8, Shape::Exponential)];
        assert!((count_below(&negative, -8.0) - 2.0).abs() < 1e-9);
    }
}
