//! What leaves the store, and in which order.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, hash_map::Entry},
    sync::Arc,
};

use super::{SIXTEENTH, STALE, Series, State};
use crate::metrics::{identity::Metric, size};

impl State {
    /// Removes stale series if a new series needs their room. The longest without a new point leave first.
    pub(super) fn make_room(&mut self, cost: usize, now: u64) {
        if self.has_room(cost).is_ok() || now < self.none_stale_before {
            return;
        }
        let by_update = self.by_update();
        let is_stale = |updated: u64| now.saturating_sub(updated) >= STALE;
        let fresh = by_update.iter().find(|(updated, _)| !is_stale(*updated));
        self.none_stale_before = fresh.map_or(now, |(updated, _)| updated + STALE);

        // Several leave at once, because each search visits all series.
        let enough = self.series_limit() / SIXTEENTH + 1;
        let stale = by_update
            .iter()
            .take_while(|(updated, _)| is_stale(*updated));
        for (removed, (_, id)) in stale.enumerate() {
            if removed >= enough && self.has_room(cost).is_ok() {
                // More of them are left.
                self.none_stale_before = now;
                break;
            }
            self.remove(*id);
        }
    }

    /// Evicts until the counted bytes are within the budget.
    pub(super) fn evict(&mut self, now: u64) {
        if self.bytes() <= self.limit {
            return;
        }
        let target = self.limit - self.limit / SIXTEENTH;
        let oldest = self.series.iter().filter_map(|(id, series)| {
            let arrival = series.evictable(now)?;
            Some(Reverse((arrival, *id)))
        });
        let mut oldest: BinaryHeap<_> = oldest.collect();
        while self.bytes() > target
            && let Some(Reverse((_, id))) = oldest.pop()
        {
            let Entry::Occupied(mut series) = self.series.entry(id) else {
                continue;
            };
            let ring = &mut series.get_mut().ring;
            let before = ring.bytes();
            ring.evict();
            self.point_bytes = self.point_bytes - before + ring.bytes();
            self.evicted_points += 1;
            if ring.points().is_empty() {
                self.remove(id);
            } else if let Some(arrival) = series.get().evictable(now) {
                oldest.push(Reverse((arrival, id)));
            }
        }

        // Only last points are left. If little room were freed, each point would evict again.
        if self.bytes() > target {
            for (_, id) in self.by_update() {
                if self.bytes() <= target {
                    break;
                }
                self.remove(id);
            }
        }
    }

    /// Removes a series, and its metric and source if they have no other one.
    pub(super) fn remove(&mut self, id: u64) {
        let Some(series) = self.series.remove(&id) else {
            return;
        };
        self.evicted_series += 1;
        self.evicted_points += series.ring.points().len() as u64;
        self.point_bytes -= series.ring.bytes();
        self.identity_bytes -= size::block(series.attributes.len());

        // The map and `series` hold the metric.
        let metric = series.metric;
        if Arc::strong_count(&metric) > 2 {
            return;
        }
        let source_id = metric.source.id();
        self.metrics.remove(&metric.header().id(source_id));
        self.identity_bytes -=
            Metric::bytes(metric.header(), &metric.description, &metric.metadata);
        // The map and `metric` hold the source.
        if Arc::strong_count(&metric.source) == 2 {
            self.sources.remove(&source_id);
            self.identity_bytes -= metric.source.bytes();
        }
    }

    /// All series by the time of their last new point, as (time, id).
    fn by_update(&self) -> Vec<(u64, u64)> {
        let series = self.series.iter();
        let mut series: Vec<_> = series.map(|(id, one)| (one.updated, *id)).collect();
        series.sort_unstable();
        series
    }
}

impl Series {
    /// The time of arrival of the point that leaves first, if one may leave: a live series keeps one.
    fn evictable(&self, now: u64) -> Option<u64> {
        let points = self.ring.points();
        let is_stale = now.saturating_sub(self.updated) >= STALE;
        let first = points.front()?.arrival;
        (points.len() > 1 || is_stale).then_some(first)
    }
}
