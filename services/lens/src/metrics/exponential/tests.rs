use super::*;
use crate::metrics::testing::{
    assert_near, exponential_of, index_of, random_values, true_quantile,
};

const QUANTILES: [f64; 7] = [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0];

/// The values, each with a random sign, and some zeros.
fn with_signs(random: &mut fastrand::Rng, values: Vec<f64>) -> Vec<f64> {
    let mut values: Vec<_> = values
        .into_iter()
        .map(|value| if random.bool() { -value } else { value })
        .collect();
    values.extend([0.0; 3]);
    values
}

fn without_extremes(histogram: Exponential) -> Exponential {
    Exponential {
        min: None,
        max: None,
        ..histogram
    }
}

/// Fails unless the histograms are equal but for the rounding of sums.
#[track_caller]
fn assert_equal(one: &Exponential, other: Exponential) {
    assert_near(one.sum.unwrap(), other.sum.unwrap());
    let other = Exponential {
        sum: one.sum,
        ..other
    };
    assert_eq!(*one, other);
}

#[test]
fn bounds_are_powers_of_the_base() {
    assert_eq!(bound(0, 20), 1.0);
    assert_eq!(bound(1 << 20, 20), 2.0);
    assert_eq!(bound(-(1 << 20), 20), 0.5);
    assert_eq!(bound(3, 0), 8.0);
    assert_eq!(bound(1, 1), std::f64::consts::SQRT_2);
    assert_eq!(bound(-1, -2), 1.0 / 16.0);
    // The base 2^1024 is not finite.
    assert_eq!(bound(1, -10), f64::MAX);
    assert_eq!(bound(-2, -10), 0.0);
}

#[test]
fn a_bound_belongs_to_the_bucket_below() {
    let histogram = exponential_of(&[1.0, 2.0, 4.0, 4.1], 0, 0.0);
    let buckets: Vec<_> = histogram.positive.iter().collect();
    assert_eq!(buckets, [(-1, 1), (0, 1), (1, 1), (2, 1)]);
    assert_eq!(histogram.count_below(4.0), 3.0);
}

#[test]
fn estimates_of_quantiles_are_within_the_relative_error() {
    let mut random = fastrand::Rng::with_seed(1);
    for scale in [-3, -1, 0, 1, 3, 6, 10] {
        let values = random_values(&mut random, 997);
        let values = with_signs(&mut random, values);
        for histogram in [
            exponential_of(&values, scale, 0.0),
            without_extremes(exponential_of(&values, scale, 0.0)),
        ] {
            let error = histogram.relative_error() + 1e-9;
            for quantile in QUANTILES {
                let truth = true_quantile(&values, quantile);
                let estimate = histogram.quantile(quantile).unwrap();
                assert!(
                    (estimate.value - truth).abs() <= error * truth.abs(),
                    "scale {scale}, quantile {quantile}: {estimate:?}, not {truth}"
                );
                assert!(estimate.lower <= truth && truth <= estimate.upper);
            }
        }
    }
}

#[test]
fn the_relative_error_is_that_of_the_base() {
    let histogram = |scale| Exponential {
        scale,
        ..Exponential::default()
    };
    // (base - 1) / (base + 1)
    assert_near(histogram(0).relative_error(), 1.0 / 3.0);
    assert_near(histogram(-1).relative_error(), 3.0 / 5.0);
    assert_near(histogram(-10).relative_error(), 1.0);
    assert!(histogram(20).relative_error() < 4e-7);
}

#[test]
fn counts_below_bounds_are_exact() {
    let mut random = fastrand::Rng::with_seed(2);
    for scale in [-1, 0, 2, 5] {
        let values = random_values(&mut random, 500);
        let values = with_signs(&mut random, values);
        let histogram = without_extremes(exponential_of(&values, scale, 0.0));
        for bucket in histogram.buckets() {
            let below = values.iter().filter(|value| **value <= bucket.upper);
            // Negative buckets have their bound towards zero outside.
            let below = below.filter(|value| **value != bucket.upper || bucket.upper >= 0.0);
            assert_eq!(histogram.count_below(bucket.upper), below.count() as f64);
        }
    }
}

#[test]
fn a_lower_scale_has_the_histogram_recorded_at_that_scale() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..50 {
        let values = random_values(&mut random, 200);
        let values = with_signs(&mut random, values);
        let from = random.i32(-2..=8);
        let to = random.i32(-6..=from);
        let mut histogram = exponential_of(&values, from, 0.0);
        histogram.downscale(to);
        assert_eq!(histogram, exponential_of(&values, to, 0.0));
    }
}

#[test]
fn lowering_to_the_lowest_scale_keeps_all_counts() {
    let mut histogram = exponential_of(&[1e-300, 0.5, 1.0, 2.0, 1e300], 0, 0.0);
    histogram.downscale(-11);
    let buckets: Vec<_> = histogram.positive.iter().collect();
    assert_eq!(buckets, [(-1, 3), (0, 2)]);
    // A higher scale cannot be had back.
    histogram.downscale(3);
    assert_eq!(histogram.scale, -11);
}

#[test]
fn a_merge_is_the_histogram_of_the_union_at_the_common_scale() {
    let mut random = fastrand::Rng::with_seed(4);
    for _ in 0..100 {
        let counts = [random.usize(1..100), random.usize(1..100)];
        let [one, other] = counts.map(|count| {
            let values = random_values(&mut random, count);
            let values = with_signs(&mut random, values);
            (values, random.i32(-4..=6))
        });
        let mut merged = exponential_of(&one.0, one.1, 0.0);
        merged.merge(&exponential_of(&other.0, other.1, 0.0));

        let union = [one.0, other.0].concat();
        assert_equal(&merged, exponential_of(&union, one.1.min(other.1), 0.0));
    }
}

#[test]
fn the_order_of_merges_does_not_matter() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..50 {
        let histograms = [(); 3].map(|()| {
            let values = random_values(&mut random, 30);
            exponential_of(&values, random.i32(-1..=12), 0.0)
        });
        let [one, two, three] = &histograms;
        let mut forwards = one.clone();
        forwards.merge(two);
        forwards.merge(three);
        let mut backwards = three.clone();
        backwards.merge(two);
        backwards.merge(one);
        assert_equal(&forwards, backwards);
    }
}

#[test]
fn a_merge_takes_the_higher_zero_threshold() {
    // 0.5 lies within the bucket (0.25, 1], so all values up to 1 count as zero.
    let mut merged = exponential_of(&[0.1, 0.3, 0.7, 3.0], -1, 0.0);
    let other = exponential_of(&[0.2, 0.4, 5.0, -5.0], -1, 0.5);
    merged.merge(&other);
    assert_eq!(merged.zero_threshold, 1.0);
    assert_eq!(merged.zero_count, 5);
    assert_eq!(merged.positive, Buckets::new(0, &[1, 1]));
    assert_eq!(merged.negative, Buckets::new(1, &[1]));
    assert_eq!(merged.count, 8);
}

#[test]
fn merges_with_any_zero_threshold_are_the_union() {
    let mut random = fastrand::Rng::with_seed(6);
    for _ in 0..100 {
        let [one, other] = [(); 2].map(|()| {
            let values = random_values(&mut random, 40);
            with_signs(&mut random, values)
        });
        let thresholds = [random.f64(), random.f64()];
        let mut merged = exponential_of(&one, 2, thresholds[0]);
        merged.merge(&exponential_of(&other, 3, thresholds[1]));
        assert!(merged.zero_threshold >= thresholds[0].max(thresholds[1]));

        let union = [one, other].concat();
        assert_equal(&merged, exponential_of(&union, 2, merged.zero_threshold));
    }
}

#[test]
fn a_difference_is_the_histogram_of_the_later_values() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..100 {
        let [earlier, later] = [(); 2].map(|()| {
            let values = random_values(&mut random, 60);
            with_signs(&mut random, values)
        });
        // A run lowers its scale as its values spread.
        let from = random.i32(-1..=6);
        let to = random.i32(-3..=from);
        let all = [earlier.clone(), later.clone()].concat();
        let difference = exponential_of(&all, to, 0.0).since(&exponential_of(&earlier, from, 0.0));
        let expected = without_extremes(exponential_of(&later, to, 0.0));
        assert_eq!(difference.as_ref().unwrap().min, None);
        let difference = difference.unwrap();
        assert!((difference.sum.unwrap() - expected.sum.unwrap()).abs() < 1e-6);
        let sum = expected.sum;
        assert_eq!(Exponential { sum, ..difference }, expected);
    }
}

#[test]
fn a_fallen_bucket_has_no_difference() {
    let earlier = exponential_of(&[1.5, 1.5, 3.0], 0, 0.0);
    assert_eq!(
        exponential_of(&[1.5, 3.0, 3.0, 3.0], 0, 0.0).since(&earlier),
        None
    );
    assert_eq!(exponential_of(&[100.0; 9], 0, 0.0).since(&earlier), None);
    assert_eq!(exponential_of(&[0.0; 9], 0, 0.0).since(&earlier), None);
}

#[test]
fn distant_values_lower_the_scale_of_a_merge() {
    let mut merged = exponential_of(&[1e-300], 20, 0.0);
    merged.merge(&exponential_of(&[1e300], 20, 0.0));
    assert_eq!(merged.count, 2);
    let (first, last) = merged.positive.range_at(0).unwrap();
    assert!(last - first < MAX_MERGED, "{first} {last}");
    // 2^11 powers of two need at least one bucket each.
    assert_eq!(merged.scale, 1);
    assert!(
        merged
            .positive
            .iter()
            .eq([(index_of(1e-300, 1), 1), (index_of(1e300, 1), 1)])
    );
}

#[test]
fn values_in_the_zero_bucket_are_estimated_as_zero() {
    let histogram = exponential_of(&[0.0, 0.001, 5.0], 3, 0.01);
    let estimate = histogram.quantile(0.5).unwrap();
    assert_eq!((estimate.value, estimate.upper), (0.0, 0.01));
    assert_eq!(Exponential::default().quantile(0.5), None);
}

#[test]
fn buckets_beyond_all_numbers_are_found() {
    assert!(!is_above_all(1023, 0) && is_above_all(1024, 0));
    assert!(!is_below_all(-1075, 0) && is_below_all(-1076, 0));
    assert!(!is_above_all(0, -10) && is_above_all(1, -10));
    assert!(!is_below_all(-2, -10) && is_below_all(-3, -10));
    assert!(!is_above_all((1 << 30) - 1, 20) && is_above_all(1 << 30, 20));
}

/// A histogram with these positive and negative buckets, from the same index on.
fn from_index(scale: i32, offset: i64, counts: &[u64]) -> Exponential {
    Exponential {
        scale,
        zero_count: 1,
        positive: Buckets::new(offset, counts),
        negative: Buckets::new(offset, counts),
        ..Exponential::default()
    }
}

#[test]
fn values_below_the_smallest_number_are_zero() {
    // The value of index -1075 can be 2^-1074, the smallest number.
    let fit = from_index(0, -1077, &[1, 2, 4, 8]).fit().unwrap();
    assert_eq!((fit.zero_count, fit.zero_threshold), (7, 0.0));
    assert_eq!(fit.positive, Buckets::new(-1075, &[4, 8]));
    assert_eq!(fit.negative, fit.positive);
    for (scale, offset) in [(0, i64::from(i32::MIN)), (20, -(1 << 31)), (-12, -2)] {
        let fit = from_index(scale, offset, &[3]).fit().unwrap();
        assert_eq!(fit.zero_count, 7, "{scale} {offset}");
        assert_eq!(fit.positive.range_at(0), None);
        assert_eq!(fit.quantile(0.5).unwrap().value, 0.0);
    }
    // All of them can be merged.
    let mut merged = exponential_of(&[1.0, -1e300], 20, 0.0);
    merged.merge(&from_index(0, i64::from(i32::MIN), &[3]).fit().unwrap());
    assert_eq!(merged.zero_count, 7);
    assert!(merged.positive.iter().map(|(_, count)| count).eq([1]));
}

#[test]
fn any_scale_can_be_stored() {
    let fit = from_index(40, -5, &[1; 8]).fit().unwrap();
    assert_eq!(
        (fit.scale, fit.positive),
        (38, Buckets::new(-2, &[1, 4, 3]))
    );
    let fit = from_index(i32::MAX, i64::from(i32::MIN), &[1; 3]).fit();
    assert_eq!(fit.unwrap().positive, Buckets::new(-1, &[3]));
    for scale in [-12, -100, i32::MIN] {
        let fit = from_index(scale, -1, &[1, 2]).fit().unwrap();
        assert_eq!((fit.scale, fit.zero_count), (-11, 1));
        assert_eq!(fit.positive, Buckets::new(-1, &[1, 2]));
        assert_eq!(from_index(scale, 1, &[1]).fit(), None);
    }
    for (scale, offset) in [(0, 1024), (20, 1 << 30), (-11, 1)] {
        assert_eq!(from_index(scale, offset, &[1]).fit(), None, "{scale}");
    }
}

#[test]
fn empty_buckets_at_the_ends_take_no_memory() {
    let buckets = Buckets::new(-5, &[0, 0, 3, 0, 1, 0]);
    assert_eq!(buckets.range_at(0), Some((-3, -1)));
    assert!(buckets.iter().eq([(-3, 3), (-1, 1)]));
    assert_eq!(Buckets::new(7, &[0; 1000]), Buckets::default());
}
