//! The metrics of the last minutes or hours, in memory.
//!
//! A series is identified by its resource, scope, metric and attributes, and has a ring of points.
//! [`Metrics`] has a budget in bytes, which every allocation counts against:
//!
//! - Above the budget, the oldest points leave, of whatever series they are. If that is not enough, the
//!   series leave that are the longest without a new point.
//! - There is at most one series for each 4 KiB of the budget, and names and attributes take at most half
//!   of it. At the limit, series without a new point for 5 minutes make room. If there is none, data
//!   points of new series are rejected.
//! - A data point that takes more than 1/16 of the budget is rejected.
//!
//! Rejected data points are counted, and the answer says the reason.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock, RwLockReadGuard},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest, metrics::v1::ResourceMetrics,
};

mod bucket;
mod decode;
mod distribution;
mod explicit;
mod exponential;
mod export;
mod heatmap;
mod identity;
mod mean;
mod message;
mod point;
mod query;
mod rate;
mod ring;
mod rows;
mod size;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod window;

pub use crate::metrics::{
    bucket::{Bucket, Estimate},
    explicit::Explicit,
    exponential::{Buckets, Exponential},
    export::{Part, Place},
    heatmap::{Column, Heatmap, Quantiles},
    identity::{Kind, Temporality},
    mean::Mean,
    point::{Number, Point, Summary, Value},
    query::{Exemplar, Labels, Measurement, Name},
    rate::Rate,
    rows::Row,
    state::{Inserted, Usage},
};
use crate::{
    ids::TraceId,
    metrics::state::{Series, State},
};

/// A store of metrics.
#[derive(Debug)]
pub struct Metrics {
    state: RwLock<State>,
    created: Instant,
    /// The time of the system's clock at `created`, in milliseconds since the Unix epoch. Later steps of that clock
    /// must not change what is stale.
    started: u64,
}

/// The id of a series: a hash of its identity.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SeriesId(pub u64);

/// The interval `(from, to]`, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// The exclusive start.
    pub from: u64,
    /// The inclusive end.
    pub to: u64,
}

impl Metrics {
    /// An empty store with a budget in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            state: RwLock::new(State::new(limit)),
            created: Instant::now(),
            started: milliseconds(SystemTime::now()),
        }
    }

    /// Inserts the data points of a request. Points that break a rule are rejected, the others are kept.
    pub fn insert(&self, request: &ExportMetricsServiceRequest) -> Inserted {
        let elapsed = self.created.elapsed().as_millis() as u64;
        self.insert_at(request, self.started + elapsed)
    }

    /// Inserts the data points of a request that arrived at this time in an earlier run. Such points are evicted
    /// before those of this run.
    pub(crate) fn insert_earlier(
        &self,
        request: &ExportMetricsServiceRequest,
        arrived: SystemTime,
    ) -> Inserted {
        self.insert_at(request, milliseconds(arrived).min(self.started))
    }

    fn insert_at(&self, request: &ExportMetricsServiceRequest, now: u64) -> Inserted {
        state::insert(&self.state, request, now)
    }

    /// The memory in use, and what was evicted and rejected.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.read().usage()
    }

    /// All metrics, by name.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        query::names(&self.read(), None)
    }

    /// The metrics that have series that the filter keeps, by name. Other series do not count.
    #[must_use]
    pub fn names_of(&self, filter: impl Fn(&Labels) -> bool) -> Vec<Name> {
        query::names(&self.read(), Some(&filter))
    }

    /// The services with points in the future: the number of their points there, and the time of the newest one.
    #[must_use]
    pub(crate) fn ahead(&self) -> BTreeMap<String, (u64, u64)> {
        query::ahead(&self.read())
    }

    /// The series of a metric that the filter keeps, by service and attributes.
    #[must_use]
    pub fn series(&self, name: &str, filter: impl Fn(&Labels) -> bool) -> Vec<Labels> {
        query::series(&self.read(), name, filter)
    }

    /// The points of a series in the range, in order of time.
    #[must_use]
    pub fn points(&self, series: SeriesId, range: Range) -> Vec<Point> {
        let state = self.read();
        let series = state.get(series.0);
        series.map_or_else(Vec::new, |series| query::points(series, range))
    }

    /// The sum of the rates of series, in steps of this many nanoseconds, and at most 10,000 of them.
    ///
    /// Counters have rates, and the numbers of values of histograms and summaries. Rates are never
    /// negative: after a restart, they start anew. Other series, and those without a temporality, are
    /// left out.
    #[must_use]
    pub fn rate(&self, series: &[SeriesId], range: Range, step: u64) -> Vec<Rate> {
        let state = self.read();
        rate::rate(find(&state, series).map(|(_, one)| one), range, step)
    }

    /// The distribution of the values of histograms over time, in at most 64 rows and 1000 columns.
    #[must_use]
    pub fn heatmap(&self, series: &[SeriesId], range: Range, columns: usize) -> Heatmap {
        let state = self.read();
        heatmap::heatmap(find(&state, series).map(|(_, one)| one), range, columns)
    }

    /// Quantiles (0 to 1) of the values of histograms, in at most 1000 equal intervals of the range.
    #[must_use]
    pub fn quantiles(
        &self,
        series: &[SeriesId],
        range: Range,
        columns: usize,
        quantiles: &[f64],
    ) -> Vec<Quantiles> {
        let state = self.read();
        let series = find(&state, series).map(|(_, one)| one);
        heatmap::quantiles(series, range, columns, quantiles)
    }

    /// Means of the values of histograms and summaries, in at most 1000 equal intervals of the range.
    #[must_use]
    pub fn means(&self, series: &[SeriesId], range: Range, columns: usize) -> Vec<Mean> {
        let state = self.read();
        mean::means(find(&state, series).map(|(_, one)| one), range, columns)
    }

    /// The exemplars of series in the range, in order of time.
    #[must_use]
    pub fn exemplars(&self, series: &[SeriesId], range: Range) -> Vec<Exemplar> {
        let state = self.read();
        query::exemplars(find(&state, series), range)
    }

    /// What was measured in traces, by name of the metric: the newest exemplar of each series and span. It reads the
    /// exemplars of all series.
    #[must_use]
    pub fn measured(&self, is_wanted: impl Fn(TraceId) -> bool) -> Vec<Measurement> {
        query::measured(&self.read(), is_wanted)
    }

    /// Names and ids of the series that the filter keeps, in this order: at most `limit` after the given one.
    #[must_use]
    pub fn find_series(
        &self,
        after: Option<(&str, u64)>,
        limit: usize,
        filter: impl Fn(&Labels) -> bool,
    ) -> Vec<(String, SeriesId)> {
        export::series(&self.read(), after, limit, filter)
    }

    /// The points of series in the range as OTLP.
    #[must_use]
    pub fn otlp(&self, series: &[SeriesId], range: Range) -> Vec<ResourceMetrics> {
        let state = self.read();
        export::points(find(&state, series), range)
    }

    /// Points of all series as OTLP, from a place on: about `limit`. For a reader of everything that holds no lock
    /// between two reads.
    #[must_use]
    pub fn part(&self, place: &Place, limit: usize) -> Part {
        export::part(&self.read(), place, limit)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn milliseconds(time: SystemTime) -> u64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as u64
}

/// The series that still exist of these ids.
fn find<'a>(
    state: &'a State,
    series: &'a [SeriesId],
) -> impl Iterator<Item = (u64, &'a Series)> + Clone {
    let series = series.iter();
    series.filter_map(|id| Some((id.0, state.get(id.0)?)))
}
