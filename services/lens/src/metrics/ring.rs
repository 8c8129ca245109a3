//! The points of one series.

use std::{collections::VecDeque, mem, ops::Range, sync::Arc};

use crate::metrics::{
    point::{Point, Value},
    size,
};

/// Part of a ring that may be without points.
const SPARE: usize = 8;

/// Number of points for which a ring may always have spare room.
const MIN_SPARE: usize = 4;

/// Points of a series in the order of their times, with the bytes that they take.
#[derive(Debug, Default)]
pub(super) struct Ring {
    points: VecDeque<Point>,
    /// Bytes of the points' own allocations.
    heap: usize,
    /// Number of points that were evicted.
    evicted: u64,
}

impl Ring {
    pub(super) fn points(&self) -> &VecDeque<Point> {
        &self.points
    }

    /// Number of points that were evicted.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// All bytes of the points.
    pub(super) fn bytes(&self) -> usize {
        size::items::<Point>(self.points.capacity()) + self.heap
    }

    /// Takes points that are in the order of their times, and leaves the vector empty. A point replaces a stored
    /// one of the same time, because clients resend points after a failure.
    pub(super) fn insert(&mut self, points: &mut Vec<Point>) {
        points.dedup_by(|later, earlier| {
            let is_repeated = later.time == earlier.time;
            if is_repeated {
                mem::swap(later, earlier);
            }
            is_repeated
        });
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return;
        };
        let from = self.points.partition_point(|one| one.time < first.time);
        let is_retry = points.iter().all(|point| {
            let stored = self.stored(point);
            stored.is_some_and(|index| has_bounds_of(point, &self.points[index]))
        });
        let mut changed = from..self.points.len();
        if is_retry {
            // The point after the last one counts its bounds by it.
            let after = self.points.partition_point(|one| one.time <= last.time);
            changed.end = changed.end.min(after + 1);
        }
        self.heap -= self.heap_of(changed.clone());
        points.retain_mut(|point| {
            let stored = self.stored(point);
            if let Some(index) = stored {
                let stored = &mut self.points[index];
                keep_bounds(point, stored);
                mem::swap(stored, point);
            }
            stored.is_none()
        });
        changed.end += points.len();
        self.merge(points, from);
        self.order_arrivals(changed.clone());
        self.share_bounds(changed.clone());
        self.heap += self.heap_of(changed);
    }

    /// The place of a point with the same time.
    fn stored(&self, point: &Point) -> Option<usize> {
        let stored = self
            .points
            .binary_search_by_key(&point.time, |one| one.time);
        stored.ok()
    }

    /// Adds points whose times are not stored. The first one is at `from`, or after it.
    ///
    /// It begins at the end, so that each stored point moves once.
    fn merge(&mut self, points: &mut Vec<Point>, from: usize) {
        if points.is_empty() {
            return;
        }
        let mut stored = self.points.len();
        if stored + points.len() > self.points.capacity() {
            // Doubling would waste up to half of the budget.
            let spare = (stored / SPARE).max(MIN_SPARE);
            self.points.reserve_exact(points.len().max(spare));
        }
        self.points.extend(points.iter().map(|_| Point::empty()));
        let mut place = self.points.len();
        while let Some(point) = points.pop() {
            while stored > from && self.points[stored - 1].time > point.time {
                stored -= 1;
                place -= 1;
                self.points.swap(stored, place);
            }
            place -= 1;
            self.points[place] = point;
        }
    }

    /// Points of the past arrive late. The order of eviction still has to follow the order in time.
    fn order_arrivals(&mut self, changed: Range<usize>) {
        let next = self.points.get(changed.end);
        let mut next = next.map_or(u64::MAX, |next| next.arrival);
        for point in self.points.range_mut(changed).rev() {
            point.arrival = point.arrival.min(next);
            next = point.arrival;
        }
    }

    /// Removes the oldest point.
    pub(super) fn evict(&mut self) {
        if !self.points.is_empty() {
            self.remove_first();
            self.evicted += 1;
            let spare = self.points.capacity() - self.points.len();
            if spare > (self.points.capacity() / SPARE).max(MIN_SPARE) {
                self.points.shrink_to_fit();
            }
        }
    }

    fn remove_first(&mut self) {
        for changed in [0, 1] {
            let point = self.points.get(changed);
            self.heap -= point.map_or(0, |point| point.heap(self.before(changed)));
        }
        self.points.pop_front();
        self.heap += self.points.front().map_or(0, |point| point.heap(None));
    }

    /// The bytes of the allocations of some points.
    fn heap_of(&self, points: Range<usize>) -> usize {
        let mut before = self.before(points.start);
        let heaps = self.points.range(points).map(|point| {
            let heap = point.heap(before);
            before = Some(point);
            heap
        });
        heaps.sum()
    }

    fn before(&self, index: usize) -> Option<&Point> {
        self.points.get(index.checked_sub(1)?)
    }

    /// Lets points share the bounds of the point before them.
    fn share_bounds(&mut self, points: Range<usize>) {
        let mut before = match self.before(points.start).map(|before| &before.value) {
            Some(Value::Explicit(histogram)) => Some(Arc::clone(&histogram.bounds)),
            _ => None,
        };
        for point in self.points.range_mut(points) {
            let Value::Explicit(histogram) = &mut point.value else {
                before = None;
                continue;
            };
            match &before {
                Some(bounds) if Arc::ptr_eq(bounds, &histogram.bounds) => {}
                Some(bounds) if *bounds == histogram.bounds => {
                    histogram.bounds = Arc::clone(bounds);
                }
                _ => before = Some(Arc::clone(&histogram.bounds)),
            }
        }
    }
}

/// Whether two points have equal bounds, or none.
fn has_bounds_of(point: &Point, other: &Point) -> bool {
    match (&point.value, &other.value) {
        (Value::Explicit(point), Value::Explicit(other)) => point.bounds == other.bounds,
        (Value::Explicit(_), _) | (_, Value::Explicit(_)) => false,
        _ => true,
    }
}

/// Lets a point share the bounds of the one that it replaces, which its neighbours share.
fn keep_bounds(point: &mut Point, stored: &Point) {
    if let (Value::Explicit(point), Value::Explicit(stored)) = (&mut point.value, &stored.value)
        && point.bounds == stored.bounds
    {
        point.bounds = Arc::clone(&stored.bounds);
    }
}

#[cfg(test)]
mod tests;
