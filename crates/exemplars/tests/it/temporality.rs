//! Tests of collections, which each begin with empty reservoirs.

use opentelemetry::KeyValue;
use opentelemetry_sdk::metrics::Temporality;

use crate::harness::{Setup, values};

#[test]
fn delta_points_have_the_exemplars_of_their_interval() {
    let harness = Setup {
        temporality: Temporality::Delta,
        ..Setup::default()
    };
    let harness = harness.start();
    let histogram = harness.aligned();
    histogram.record(0.5, &[]);
    histogram.record(1.5, &[]);
    assert_eq!(values(&harness.point().exemplars), [0.5, 1.5]);

    histogram.record(1.7, &[]);
    let point = harness.point();
    assert_eq!(point.count, 1);
    assert_eq!(values(&point.exemplars), [1.7]);
    assert!(point.start_time_unix_nano <= point.exemplars[0].time_unix_nano);

    assert!(harness.points().is_empty());
}

#[test]
fn cumulative_points_have_the_exemplars_since_the_last_collection() {
    let harness = Setup::default().start();
    let histogram = harness.aligned();
    histogram.record(0.5, &[]);
    histogram.record(1.5, &[]);
    assert_eq!(values(&harness.point().exemplars), [0.5, 1.5]);

    histogram.record(1.7, &[]);
    let point = harness.point();
    assert_eq!(point.count, 3);
    assert_eq!(values(&point.exemplars), [1.7]);

    assert_eq!(harness.point().exemplars, []);
}

/// After a pause, a set that was forgotten is sampled like a new one.
#[test]
fn a_set_is_sampled_again_after_a_pause() {
    let harness = Setup::default().start();
    let histogram = harness.aligned();
    let set = [KeyValue::new("b", "x"), KeyValue::new("a", "x")];
    for pause in 0..8 {
        histogram.record(0.5, &set);
        assert_eq!(harness.point().exemplars.len(), 1, "after {pause}");
        for _ in 0..pause {
            assert_eq!(harness.point().exemplars, []);
        }
    }
}
