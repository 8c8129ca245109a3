use super::*;
use crate::metrics::testing::{explicit_of, random_values, true_quantile};

const BOUNDS: [f64; 6] = [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0];

#[test]
fn quantiles_lie_within_their_bucket() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..20 {
        let values = random_values(&mut random, 300);
        let histogram = explicit_of(&values, &BOUNDS);
        for quantile in [0.0, 0.1, 0.5, 0.99, 1.0] {
            let truth = true_quantile(&values, quantile);
            let estimate = histogram.quantile(quantile).unwrap();
            assert!(estimate.lower <= truth && truth <= estimate.upper);
            assert!(estimate.lower <= estimate.value && estimate.value <= estimate.upper);
        }
    }
}

#[test]
fn values_are_spread_evenly_within_a_bucket() {
    let histogram = Explicit {
        min: None,
        max: None,
        ..explicit_of(&[15.0; 100], &[10.0, 20.0])
    };
    assert_eq!(histogram.quantile(0.5).unwrap().value, 15.0);
    assert_eq!(histogram.quantile(0.9).unwrap().value, 19.0);
    assert_eq!(histogram.count_below(12.0), 20.0);
    assert_eq!(histogram.count_below(10.0), 0.0);
    assert_eq!(histogram.count_below(20.0), 100.0);
}

#[test]
fn the_extremes_narrow_the_open_buckets() {
    let histogram = explicit_of(&[-7.0, 500.0], &[0.0, 10.0]);
    assert_eq!(histogram.quantile(0.0).unwrap().lower, -7.0);
    assert_eq!(histogram.quantile(1.0).unwrap().value, 500.0);
}

#[test]
fn a_merge_is_the_histogram_of_the_union() {
    let mut random = fastrand::Rng::with_seed(2);
    let [one, other] = [(); 2].map(|()| random_values(&mut random, 100));
    let union = explicit_of(&[one.clone(), other.clone()].concat(), &BOUNDS);
    let mut merged = explicit_of(&one, &BOUNDS);
    assert!(merged.merge(&explicit_of(&other, &BOUNDS)));
    assert_eq!(merged.counts, union.counts);
    assert_eq!((merged.min, merged.max), (union.min, union.max));

    let difference = union.since(&explicit_of(&one, &BOUNDS)).unwrap();
    assert_eq!(difference.counts, explicit_of(&other, &BOUNDS).counts);
    assert_eq!((difference.count, difference.min), (100, None));
}

#[test]
fn other_bounds_are_not_merged() {
    let mut histogram = explicit_of(&[1.0], &[1.0, 2.0]);
    let other = explicit_of(&[1.0], &[1.0, 3.0]);
    assert!(!histogram.merge(&other));
    assert_eq!(histogram.count, 1);
    assert_eq!(histogram.since(&other), None);
    // A count fell.
    assert_eq!(histogram.since(&explicit_of(&[1.5], &[1.0, 2.0])), None);
}

#[test]
fn a_single_value_is_known() {
    let empty = explicit_of(&[], &[75.0, 100.0]);
    let one = explicit_of(&[90.4], &[75.0, 100.0]);
    let two = explicit_of(&[90.4, 80.25], &[75.0, 100.0]);
    let exactly = |histogram: &Explicit, value: f64| {
        let estimate = histogram.quantile(0.5).unwrap();
        assert!((estimate.value - value).abs() < 1e-9, "{estimate:?}");
        assert_eq!(estimate.lower, estimate.upper);
    };
    exactly(&one.since(&empty).unwrap(), 90.4);
    exactly(&two.since(&one).unwrap(), 80.25);
    // Points without values come before and after.
    let mut merged = empty;
    assert!(merged.merge(&one) && merged.merge(&one.since(&one).unwrap()));
    exactly(&merged, 90.4);
    // A sum that contradicts the bucket.
    let wrong = Explicit {
        sum: Some(500.0),
        ..two
    };
    assert_eq!(
        wrong.since(&one).unwrap().quantile(0.5).unwrap().lower,
        75.0
    );
}
