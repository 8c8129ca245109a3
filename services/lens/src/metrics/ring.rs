//! The points of one series.

use std::{collections::VecDeque, sync::Arc};

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

    /// Inserts a point by its time. It replaces a point of the same time, because clients resend points
    /// after a failure.
    pub(super) fn insert(&mut self, mut point: Point) {
        let index = self.points.partition_point(|other| other.time < point.time);
        if self
            .points
            .get(index)
            .is_some_and(|other| other.time == point.time)
        {
            self.remove(index);
        }
        // Points of the past arrive late. The order of eviction still has to follow the order in time.
        if let Some(next) = self.points.get(index) {
            point.arrival = point.arrival.min(next.arrival);
        }
        self.share_bounds(&mut point, index);

        if self.points.len() == self.points.capacity() {
            // Doubling would waste up to half of the budget.
            self.points
                .reserve_exact((self.points.len() / SPARE).max(MIN_SPARE));
        }
        let next = self.points.get(index);
        self.heap -= next.map_or(0, |next| next.heap(self.before(index)));
        self.points.insert(index, point);
        for changed in [index, index + 1] {
            let changed_point = self.points.get(changed);
            self.heap += changed_point.map_or(0, |point| point.heap(self.before(changed)));
        }
    }

    /// Removes the oldest point.
    pub(super) fn evict(&mut self) {
        if !self.points.is_empty() {
            self.remove(0);
            self.evicted += 1;
            let spare = self.points.capacity() - self.points.len();
            if spare > (self.points.capacity() / SPARE).max(MIN_SPARE) {
                self.points.shrink_to_fit();
            }
        }
    }

    fn remove(&mut self, index: usize) {
        for changed in [index, index + 1] {
            let point = self.points.get(changed);
            self.heap -= point.map_or(0, |point| point.heap(self.before(changed)));
        }
        self.points.remove(index);
        let next = self.points.get(index);
        self.heap += next.map_or(0, |next| next.heap(self.before(index)));
    }

    fn before(&self, index: usize) -> Option<&Point> {
        self.points.get(index.checked_sub(1)?)
    }

    /// Lets the point share the bounds of its future neighbours.
    fn share_bounds(&self, point: &mut Point, index: usize) {
        let Value::Explicit(histogram) = &mut point.value else {
            return;
        };
        for neighbour in [self.before(index), self.points.get(index)] {
            if let Some(Value::Explicit(other)) = neighbour.map(|neighbour| &neighbour.value)
                && other.bounds == histogram.bounds
            {
                histogram.bounds = Arc::clone(&other.bounds);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
