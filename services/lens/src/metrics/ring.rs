//! The points of one series.

use std::{collections::VecDeque, mem, sync::Arc};

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
        let Some(first) = points.first() else { return };
        let from = self.points.partition_point(|one| one.time < first.time);
        self.heap -= self.heap_from(from);
        points.retain_mut(|point| {
            let stored = self
                .points
                .binary_search_by_key(&point.time, |one| one.time);
            if let Ok(index) = stored {
                mem::swap(&mut self.points[index], point);
            }
            stored.is_err()
        });
        self.merge(points, from);
        self.order_arrivals(from);
        self.share_bounds(from);
        self.heap += self.heap_from(from);
    }

    /// Adds points whose times are not stored. The first one is at `from`, or after it.
    ///
    /// It begins at the end, so that each stored point moves once.
    fn merge(&mut self, points: &mut Vec<Point>, from: usize) {
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
    fn order_arrivals(&mut self, from: usize) {
        let mut next = u64::MAX;
        for point in self.points.range_mut(from..).rev() {
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

    /// The bytes of the allocations of the points from an index on.
    fn heap_from(&self, from: usize) -> usize {
        let mut before = self.before(from);
        let heaps = self.points.range(from..).map(|point| {
            let heap = point.heap(before);
            before = Some(point);
            heap
        });
        heaps.sum()
    }

    fn before(&self, index: usize) -> Option<&Point> {
        self.points.get(index.checked_sub(1)?)
    }

    /// Lets the points from an index on share the bounds of the point before them.
    fn share_bounds(&mut self, from: usize) {
        let mut before = match self.before(from).map(|before| &before.value) {
            Some(Value::Explicit(histogram)) => Some(Arc::clone(&histogram.bounds)),
            _ => None,
        };
        for point in self.points.range_mut(from..) {
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

#[cfg(test)]
mod tests;
