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
        ring.insert(number(time));
    }
    assert_eq!(times(&ring), [1, 2, 3, 4, 5]);
    ring.evict();
    assert_eq!((times(&ring), ring.evicted()), (vec![2, 3, 4, 5], 1));
}

#[test]
fn a_point_that_is_sent_again_replaces_the_first() {
    let mut ring = Ring::default();
    ring.insert(number(1));
    ring.insert(point(2, Value::Gap));
    ring.insert(number(2));
    assert_eq!(times(&ring), [1, 2]);
    assert_eq!(ring.points[1].value, number(2).value);
}

#[test]
fn late_points_leave_in_the_order_of_their_times() {
    let mut ring = Ring::default();
    ring.insert(number(5));
    ring.insert(Point {
        arrival: 9,
        ..number(1)
    });
    assert_eq!(ring.points[0].arrival, 5);
}

#[test]
fn equal_bounds_are_shared_and_counted_once() {
    let bounds: Vec<_> = (0..100).map(f64::from).collect();
    let histogram = || Value::Explicit(Box::new(explicit_of(&[1.0], &bounds)));
    let mut ring = Ring::default();
    ring.insert(point(1, histogram()));
    let first = ring.heap;
    ring.insert(point(3, histogram()));
    let second = ring.heap - first;
    assert_eq!(first - second, size::block(100 * 8 + 16));
    ring.evict();
    assert_eq!(ring.heap, first);
}

#[test]
fn the_bytes_are_those_of_the_points_after_any_changes() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut ring = Ring::default();
    for _ in 0..3000 {
        let time = random.u64(1..200);
        let value = match random.u8(..4) {
            0 => Value::Gap,
            1 => Value::Number(Number::Int(1)),
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
        ring.insert(Point {
            exemplars: exemplars.collect(),
            ..point(time, value)
        });
        for _ in 0..random.usize(..3) {
            ring.evict();
        }
        assert_eq!(ring.bytes(), recount(&ring));
    }
}

#[test]
fn little_room_is_spare() {
    let mut ring = Ring::default();
    for time in 1..=1000 {
        ring.insert(number(time));
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
