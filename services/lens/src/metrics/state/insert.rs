//! Takes the data points of requests.

use std::{
    collections::HashMap,
    mem,
    ops::Range,
    sync::{Arc, PoisonError, RwLock, RwLockWriteGuard},
};

use foldhash::fast::RandomState;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest, metrics::v1::metric::Data,
};

use super::{Inserted, SIXTEENTH, State};
use crate::metrics::{
    decode::{self, DataPoint, Reason, Rejections},
    identity::{self, Header, Metric, Source},
    message,
    point::Point,
};

/// Number of points after which the lock is released, so that readers and other requests get their turn.
const BATCH: usize = 8192;

/// Bytes of decoded points after which they are inserted. Until then, they are in memory twice.
const BATCH_BYTES: usize = 1 << 20;

/// The origin of points of one metric in a request.
pub(super) struct Origin<'a> {
    pub(super) source: &'a Source,
    pub(super) source_id: u64,
    pub(super) header: Header<'a>,
    pub(super) metric_id: u64,
    pub(super) description: &'a str,
    /// Encoded as a `KeyValueList`.
    pub(super) metadata: &'a [u8],
}

impl Origin<'_> {
    pub(super) fn is(&self, metric: &Metric) -> bool {
        metric.has(self.header) && metric.source.is(self.source)
    }

    pub(super) fn metric(&self, source: Arc<Source>) -> Metric {
        Metric {
            source,
            name: self.header.name.into(),
            unit: self.header.unit.into(),
            description: self.description.into(),
            metadata: self.metadata.into(),
            kind: self.header.kind,
            temporality: self.header.temporality,
        }
    }
}

/// Inserts the points of a request that arrives at this time, in milliseconds since the Unix epoch.
pub(in crate::metrics) fn insert(
    state: &RwLock<State>,
    request: &ExportMetricsServiceRequest,
    now: u64,
) -> Inserted {
    let mut insertion = Insertion {
        lock: state,
        state: None,
        held: 0,
        now,
        rejections: Rejections::new(),
        batch: Batch::default(),
    };
    let mut metadata = Vec::new();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            let source = Source::new(resource, scope);
            let source_id = source.id();
            for metric in &scope.metrics {
                let Some(data) = &metric.data else { continue };
                if metric.name.is_empty() {
                    let nameless = Reason::Invalid("a metric without a name");
                    insertion.reject(nameless, decode::count(data));
                    continue;
                }
                let (kind, temporality) = decode::kind(data);
                identity::encode(&metric.metadata, &mut metadata);
                let header = Header {
                    name: &metric.name,
                    unit: &metric.unit,
                    kind,
                    temporality,
                };
                let origin = Origin {
                    source: &source,
                    source_id,
                    header,
                    metric_id: header.id(source_id),
                    description: &metric.description,
                    metadata: &metadata,
                };
                match data {
                    Data::Gauge(data) => insertion.take(&origin, &data.data_points),
                    Data::Sum(data) => insertion.take(&origin, &data.data_points),
                    Data::Histogram(data) => insertion.take(&origin, &data.data_points),
                    Data::ExponentialHistogram(data) => insertion.take(&origin, &data.data_points),
                    Data::Summary(data) => insertion.take(&origin, &data.data_points),
                }
            }
        }
    }
    insertion.finish()
}

/// The insertion of a request.
struct Insertion<'a> {
    lock: &'a RwLock<State>,
    /// The locked state. Many small metrics share one lock.
    state: Option<RwLockWriteGuard<'a, State>>,
    /// Number of points that were inserted under this lock.
    held: usize,
    now: u64,
    rejections: Rejections,
    batch: Batch,
}

/// Decoded points of one metric.
#[derive(Default)]
struct Batch {
    /// The points, with the number of their series in `series`.
    points: Vec<(usize, Point)>,
    /// The id of each series, and the place of its attributes in `attributes`.
    series: Vec<(u64, Range<usize>)>,
    /// Numbers of the series by id.
    numbers: HashMap<u64, usize, RandomState>,
    /// Encoded attributes of all series.
    attributes: Vec<u8>,
    /// Encoded attributes of the current point.
    current: Vec<u8>,
    /// Points of the current series.
    run: Vec<Point>,
}

impl Insertion<'_> {
    fn take(&mut self, origin: &Origin<'_>, mut points: &[impl DataPoint]) {
        while !points.is_empty() {
            let mut bytes = 0;
            let mut taken = 0;
            while taken < BATCH
                && bytes < BATCH_BYTES
                && let Some(point) = points.get(taken)
            {
                taken += 1;
                match self.batch.decode(origin, point) {
                    Ok(size) => bytes += size,
                    Err(reason) => self.reject(reason, 1),
                }
            }
            self.insert(origin);
            points = &points[taken..];
        }
    }

    /// Inserts the points of the batch by series, each of them once and in the order of times. One by one, each late
    /// point would move all newer ones.
    fn insert(&mut self, origin: &Origin<'_>) {
        let lock = self.lock;
        let state = self
            .state
            // A panic under the lock may leave wrong sums of bytes, but complete points.
            .get_or_insert_with(|| lock.write().unwrap_or_else(PoisonError::into_inner));
        let batch = &mut self.batch;
        self.held += batch.points.len();
        // Of points of one time, the last one counts, so the order has to be stable.
        batch
            .points
            .sort_by_key(|(number, point)| (*number, point.time));
        let mut points = mem::take(&mut batch.points);
        let mut all = points.drain(..).peekable();
        while let Some(&(number, _)) = all.peek() {
            let (id, place) = &batch.series[number];
            let attributes = &batch.attributes[place.clone()];
            let most = state.limit / SIXTEENTH;
            let mut too_large = 0;
            while let Some((_, mut point)) = all.next_if(|(next, _)| *next == number) {
                if point.heap(None) + attributes.len() > most {
                    too_large += 1;
                } else {
                    point.arrival = self.now;
                    batch.run.push(point);
                }
            }
            if !batch.run.is_empty() {
                let series = (*id, attributes);
                let inserted = state.insert_points(origin, series, &mut batch.run, self.now);
                if let Err(reason) = inserted {
                    *self.rejections.entry(reason).or_default() += batch.run.len() as u64;
                    batch.run.clear();
                }
            }
            if too_large > 0 {
                *self.rejections.entry(Reason::TooLarge).or_default() += too_large;
            }
        }
        drop(all);
        batch.points = points;
        batch.series.clear();
        batch.numbers.clear();
        batch.attributes.clear();
        if self.held >= BATCH {
            self.held = 0;
            self.state = None;
        }
    }

    fn reject(&mut self, reason: Reason, points: u64) {
        *self.rejections.entry(reason).or_default() += points;
    }

    fn finish(mut self) -> Inserted {
        let lock = self.lock;
        let mut state = self
            .state
            .take()
            .unwrap_or_else(|| lock.write().unwrap_or_else(PoisonError::into_inner));
        let rejected = self.rejections.values().sum();
        state.rejected_points += rejected;
        Inserted {
            rejected,
            message: message::write(&self.rejections, &state),
        }
    }
}

impl Batch {
    /// Adds a point. Returns its bytes.
    fn decode(&mut self, origin: &Origin<'_>, point: &impl DataPoint) -> Result<usize, Reason> {
        identity::encode(point.attributes(), &mut self.current);
        let point = point.decode()?;
        let id = identity::series_id(origin.metric_id, &self.current);
        let next = self.series.len();
        let number = *self.numbers.entry(id).or_insert(next);
        let mut bytes = size_of::<Point>() + point.heap(None);
        if number == next {
            let start = self.attributes.len();
            self.attributes.extend_from_slice(&self.current);
            self.series.push((id, start..self.attributes.len()));
            bytes += self.current.len();
        } else if self.attributes[self.series[number].1.clone()] != self.current {
            return Err(Reason::Collision);
        }
        self.points.push((number, point));
        Ok(bytes)
    }
}
