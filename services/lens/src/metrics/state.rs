//! The series, and the rules that bound their memory.
//!
//! - Above the budget, the oldest points leave, of whatever series they are. A series keeps its last
//!   point unless the series is stale.
//! - If that is not enough, whole series leave. The longest without a new point leave first.
//! - The number of series is limited to one for each [`BYTES_PER_SERIES`] of the budget, and their names
//!   and attributes to half of it. At the limit, stale series make room. If there is none, points of new
//!   series are rejected.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use crate::metrics::{
    decode::Reason,
    identity::{Metric, Source},
    point::Point,
    ring::Ring,
    size,
};

mod evict;
mod insert;

use insert::Origin;
pub(super) use insert::insert;

/// Bytes of the budget for each series that may exist.
const BYTES_PER_SERIES: usize = 4096;

/// Milliseconds without a new point after which a series is stale: five times the default export
/// interval of SDKs.
const STALE: u64 = 5 * 60 * 1000;

/// Part of the budget that an eviction frees beyond what is needed, so that not each point evicts, and
/// the largest part that a single point may have.
const SIXTEENTH: usize = 16;

/// The answer to a request: the partial success of OTLP.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Inserted {
    /// Number of data points that were rejected for good.
    pub rejected: u64,
    /// The reasons for the rejections, and warnings. Empty if there are neither.
    pub message: String,
}

/// The memory that the metrics take, and what they have lost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Counted bytes of all allocations.
    pub bytes: usize,
    /// The budget in bytes.
    pub limit: usize,
    /// Number of series.
    pub series: usize,
    /// Maximum number of series.
    pub series_limit: usize,
    /// Number of points.
    pub points: usize,
    /// Number of points that were evicted.
    pub evicted_points: u64,
    /// Number of series that were evicted.
    pub evicted_series: u64,
    /// Number of data points that were rejected.
    pub rejected_points: u64,
}

/// A series with its points.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) metric: Arc<Metric>,
    /// Attributes as an encoded `KeyValueList`.
    pub(super) attributes: Box<[u8]>,
    pub(super) ring: Ring,
    /// Time of the last arrival of a point, in milliseconds since the Unix epoch.
    updated: u64,
}

type Map<T> = HashMap<u64, T, RandomState>;

#[derive(Debug)]
pub(super) struct State {
    limit: usize,
    series: Map<Series>,
    metrics: Map<Arc<Metric>>,
    sources: Map<Arc<Source>>,
    /// Bytes of names and attributes.
    identity_bytes: usize,
    /// Bytes of points.
    point_bytes: usize,
    evicted_points: u64,
    evicted_series: u64,
    rejected_points: u64,
    /// No series is stale before this time.
    none_stale_before: u64,
}

impl State {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            series: Map::default(),
            metrics: Map::default(),
            sources: Map::default(),
            identity_bytes: 0,
            point_bytes: 0,
            evicted_points: 0,
            evicted_series: 0,
            rejected_points: 0,
            none_stale_before: 0,
        }
    }

    /// Inserts points of one series, which are in the order of their times, and leaves the vector empty unless they
    /// are rejected.
    fn insert_points(
        &mut self,
        origin: &Origin<'_>,
        (id, attributes): (u64, &[u8]),
        points: &mut Vec<Point>,
        now: u64,
    ) -> Result<(), Reason> {
        let series = match self.series.get_mut(&id) {
            Some(series) if series.is(origin, attributes) => series,
            Some(_) => return Err(Reason::Collision),
            None => self.add_series(id, origin, attributes, now)?,
        };
        let before = series.ring.bytes();
        series.ring.insert(points);
        series.updated = now;
        let after = series.ring.bytes();
        self.point_bytes = self.point_bytes - before + after;
        self.evict(now);
        Ok(())
    }

    fn add_series(
        &mut self,
        id: u64,
        origin: &Origin<'_>,
        attributes: &[u8],
        now: u64,
    ) -> Result<&mut Series, Reason> {
        self.make_room(self.cost(origin, attributes)?, now);
        // Another look: a stale series that left may have been the last one of this metric.
        let cost = self.cost(origin, attributes)?;
        self.has_room(cost)?;
        self.identity_bytes += cost;

        let source = self.sources.entry(origin.source_id);
        let source = source.or_insert_with(|| Arc::new(origin.source.clone()));
        let metric = self.metrics.entry(origin.metric_id);
        let metric = metric.or_insert_with(|| Arc::new(origin.metric(Arc::clone(source))));
        Ok(self.series.entry(id).or_insert_with(|| Series {
            metric: Arc::clone(metric),
            attributes: attributes.into(),
            ring: Ring::default(),
            updated: now,
        }))
    }

    /// The bytes of the names and attributes that a new series adds.
    fn cost(&self, origin: &Origin<'_>, attributes: &[u8]) -> Result<usize, Reason> {
        let mut cost = size::block(attributes.len());
        match self.metrics.get(&origin.metric_id) {
            Some(metric) if origin.is(metric) => return Ok(cost),
            Some(_) => return Err(Reason::Collision),
            None => cost += Metric::bytes(origin.header, origin.description, origin.metadata),
        }
        match self.sources.get(&origin.source_id) {
            Some(source) if source.is(origin.source) => {}
            Some(_) => return Err(Reason::Collision),
            None => cost += origin.source.bytes(),
        }
        Ok(cost)
    }

    fn has_room(&self, cost: usize) -> Result<(), Reason> {
        if self.series.len() >= self.series_limit() {
            Err(Reason::TooManySeries)
        } else if self.identity_bytes + cost > self.limit / 2 {
            Err(Reason::IdentitiesTooLarge)
        } else {
            Ok(())
        }
    }

    /// The counted bytes of all allocations.
    pub(super) fn bytes(&self) -> usize {
        self.identity_bytes
            + self.point_bytes
            + size::table::<u64, Series>(self.series.capacity())
            + size::table::<u64, Arc<Metric>>(self.metrics.capacity())
            + size::table::<u64, Arc<Source>>(self.sources.capacity())
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn series_limit(&self) -> usize {
        self.limit / BYTES_PER_SERIES
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, &Series)> {
        self.series.iter().map(|(id, series)| (*id, series))
    }

    pub(super) fn get(&self, id: u64) -> Option<&Series> {
        self.series.get(&id)
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            bytes: self.bytes(),
            limit: self.limit,
            series: self.series.len(),
            series_limit: self.series_limit(),
            points: self
                .series
                .values()
                .map(|one| one.ring.points().len())
                .sum(),
            evicted_points: self.evicted_points,
            evicted_series: self.evicted_series,
            rejected_points: self.rejected_points,
        }
    }
}

impl Series {
    fn is(&self, origin: &Origin<'_>, attributes: &[u8]) -> bool {
        *self.attributes == *attributes && origin.is(&self.metric)
    }
}

#[cfg(test)]
mod tests;
