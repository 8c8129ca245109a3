use std::collections::BTreeMap;

use super::*;
use crate::metrics::{
    point::{Number, StoredExemplar},
    testing::explicit_of,
};

fn point(time: u64, value: Value) -> Point {
    Point {
        time,
        start: 0,
        value,
        arrival: time,
        exemplars: Box::default(),
    }
}

fn number(time: u64) -> Point {
    point(time, Value::Number(Number::Int(time as i64)))
}

/// The bytes of the points, counted anew.
fn recount(ring: &Ring) -> usize {
    let mut before = None;
    let mut bytes = size::items::<Point>(ring.points.capacity());
    for point in &ring.points {
        bytes += point.heap(before);
        before = Some(point);
    }
    bytes
}

fn times(ring: &Ring) -> Vec<u64> {
    ring.points.iter().map(|point| point.time).collect()
}

#[test]
fn points_are_in_the_order_of_their_times() {
    let mut ring = Ring::default();
    for time in [3, 1, 2, 5, 4] {
        ring.insert(&mut vec![number(time)]);
    }
    assert_eq!(times(&ring), [1, 2, 3, 4, 5]);
    ring.evict();
    assert_eq!((times(&ring), ring.evicted()), (vec![2, 3, 4, 5], 1));
}

#[test]
fn a_point_that_is_sent_again_replaces_the_first() {
    let mut ring = Ring::default();
    ring.insert(&mut vec![number(1)]);
    ring.insert(&mut vec![point(2, Value::Gap)]);
    ring.insert(&mut vec![number(2)]);
    assert_eq!(times(&ring), [1, 2]);
    assert_eq!(ring.points[1].value, number(2).value);
}

#[test]
fn late_points_leave_in_the_order_of_their_times() {
    let mut ring = Ring::default();
    ring.insert(&mut vec![number(5)]);
    ring.insert(&mut vec![Point {
        arrival: 9,
        ..number(1)
    }]);
    assert_eq!(ring.points[0].arrival, 5);
}

#[test]
fn equal_bounds_are_shared_and_counted_once() {
    let bounds: Vec<_> = (0..100).map(f64::from).collect();
    let histogram = || Value::Explicit(Box::new(explicit_of(&[1.0], &bounds)));
    let mut ring = Ring::default();
    ring.insert(&mut vec![point(1, histogram())]);
    let first = ring.heap;
    ring.insert(&mut vec![point(3, histogram())]);
    let second = ring.heap - first;
    assert_eq!(first - second, size::block(100 * 8 + 16));
    ring.evict();
    assert_eq!(ring.heap, first);
}

#[test]
fn rings_are_as_if_each_point_came_alone() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut ring = Ring::default();
    let mut values = BTreeMap::new();
    for arrival in 0..1000 {
        let some = (0..random.usize(1..9)).map(|_| {
            let time = random.u64(1..200);
            let value = match random.u8(..4) {
                0 => Value::Gap,
                1 => Value::Number(Number::Int(random.i64(..))),
                2 => Value::Explicit(Box::new(explicit_of(&[1.0], &[1.0, 2.0]))),
                _ => Value::Explicit(Box::new(explicit_of(&[1.0], &[1.0, 2.0, 3.0]))),
            };
            let exemplars = (0..random.usize(..3)).map(|_| StoredExemplar {
                time,
                value: Number::Double(1.0),
                trace_id: None,
                span_id: None,
                filtered: vec![0; random.usize(..100)].into(),
            });
            Point {
                exemplars: exemplars.collect(),
                arrival,
                ..point(time, value)
            }
        });
        let mut some: Vec<_> = some.collect();
        some.sort_by_key(|point| point.time);
        values.extend(some.iter().map(|point| (point.time, point.value.clone())));
        ring.insert(&mut some);
        assert!(some.is_empty());
        for _ in 0..random.usize(..6).min(ring.points.len()) {
            ring.evict();
            values.pop_first();
        }
        let points = ring.points.iter();
        assert!(
            points
                .map(|point| (point.time, &point.value))
                .eq(values.iter().map(|(time, value)| (*time, value)))
        );
        assert!(ring.points.iter().is_sorted_by_key(|point| point.arrival));
        assert_eq!(ring.bytes(), recount(&ring));
    }
}

#[test]
fn little_room_is_spare() {
    let mut ring = Ring::default();
    for time in 1..=1000 {
        ring.insert(&mut vec![number(time)]);
        let spare = ring.points.capacity() - ring.points.len();
        assert!(
            spare <= (ring.points.len() / SPARE).max(MIN_SPARE),
            "{spare} at {time}"
        );
    }
    for _ in 0..990 {
        ring.evict();
    }
    assert!(ring.points.capacity() <= 10 + MIN_SPARE);
}
