//! Tests with many attribute sets and many threads.

use std::{collections::HashSet, thread};

use exemplars::Reservoir;
use opentelemetry::{KeyValue, trace::TraceFlags};
use opentelemetry_sdk::metrics::{Stream, Temporality};

use crate::harness::{Setup, span, texts, values};

/// The limit of sets with reservoirs of their own.
const SETS: i64 = 2000;

#[test]
fn further_sets_share_one_reservoir() {
    let harness = Setup {
        view: Some(|| {
            let stream = Stream::builder().with_cardinality_limit(10_000);
            stream.build().unwrap()
        }),
        temporality: Temporality::Delta,
        ..Setup::default()
    };
    let harness = harness.start();
    let histogram = harness.aligned();
    for id in 0..SETS + 1000 {
        histogram.record(0.5, &[KeyValue::new("id", id)]);
        histogram.record(1.5, &[KeyValue::new("id", id)]);
    }

    let points = harness.points();
    assert_eq!(points.len(), 3000);
    let exemplars: usize = points.iter().map(|point| point.exemplars.len()).sum();
    // Two buckets for each set, and two for all further sets together.
    assert_eq!(exemplars, 2 * (2000 + 1));

    // Sets that are no longer measured make room.
    for _ in 0..4 {
        histogram.record(0.5, &[]);
        harness.collect();
    }
    for id in 0..SETS {
        histogram.record(0.5, &[KeyValue::new("other", id)]);
    }
    let points = harness.points();
    let exemplars: usize = points.iter().map(|point| point.exemplars.len()).sum();
    assert_eq!(exemplars, 2000);
}

#[test]
fn threads_lose_nothing() {
    const THREADS: u32 = 8;
    const RECORDS: u32 = 20_000;
    let harness = Setup {
        temporality: Temporality::Delta,
        ..Setup::default()
    };
    let harness = harness.start();
    let histogram = harness.histogram(Reservoir::Fixed(7));
    let mut points = Vec::new();
    thread::scope(|scope| {
        for number in 1..=THREADS {
            let histogram = histogram.clone();
            scope.spawn(move || {
                let span = span(number.into(), number.into(), TraceFlags::SAMPLED);
                for index in 0..RECORDS {
                    let set = [
                        KeyValue::new("one", ["x", "y", "z"][(index % 3) as usize]),
                        KeyValue::new("all", "x"),
                    ];
                    let value = f64::from(number) + f64::from(index) / f64::from(RECORDS);
                    histogram.record_in(&span, value, &set);
                }
            });
        }
        // Collects while the threads record.
        for _ in 0..20 {
            points.extend(harness.points());
        }
    });
    points.extend(harness.points());

    let count: u64 = points.iter().map(|point| point.count).sum();
    assert_eq!(count, u64::from(THREADS * RECORDS));
    let mut threads = HashSet::new();
    let mut sets = HashSet::new();
    for point in &points {
        assert!(point.exemplars.len() <= 7);
        for (exemplar, value) in point.exemplars.iter().zip(values(&point.exemplars)) {
            // The exemplar has the span and the set of its value.
            let thread = u128::from_be_bytes(exemplar.trace_id.clone().try_into().unwrap());
            assert_eq!(thread, value as u128);
            let index = ((value - value.floor()) * f64::from(RECORDS)).round() as usize;
            let expected = format!("one={}", ["x", "y", "z"][index % 3]);
            assert!(texts(&point.attributes).contains(&expected));
            threads.insert(thread);
            sets.insert(expected);
        }
    }
    assert_eq!(sets.len(), 3);
    assert!(threads.len() > 1, "{threads:?}");
}
