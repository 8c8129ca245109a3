//! What queries return: metrics, series and exemplars.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use opentelemetry_proto::tonic::{
    common::v1::{InstrumentationScope, KeyValue},
    resource::v1::Resource,
};

use crate::{
    clock,
    ids::{SpanId, TraceId},
    metrics::{
        Range, SeriesId,
        identity::{self, Kind, Temporality},
        point::{Number, Point},
        state::{Series, State},
        window,
    },
};

/// Number of series of a metric that [`Name::some`] has.
const SOME: usize = 20;

/// A metric with all of its series.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// Its name.
    pub name: String,
    /// Its unit, in UCUM.
    pub unit: String,
    /// Its type.
    pub kind: Kind,
    /// The first nonempty description of its series.
    pub description: String,
    /// The values of `service.name` of its series, in alphabetical order. Empty for a series without one.
    pub services: Vec<String>,
    /// Number of its series.
    pub series: usize,
    /// Up to 20 of its series, in the order of their ids.
    pub some: Vec<SeriesId>,
    /// The time of the newest point that is not in the future, in nanoseconds since the Unix epoch. If there is none,
    /// that of the newest one.
    pub last: u64,
}

/// A series without its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// Its id. The same series has the same id after a restart.
    pub id: SeriesId,
    /// The name of the metric.
    pub name: String,
    /// Its resource. The attributes are sorted by key.
    pub resource: Resource,
    /// Its instrumentation scope. The attributes are sorted by key.
    pub scope: InstrumentationScope,
    /// Its `service.name`. Empty if it has none.
    pub service: String,
    /// The unit, in UCUM.
    pub unit: String,
    /// The description of the metric.
    pub description: String,
    /// The type of the metric.
    pub kind: Kind,
    /// The temporality.
    pub temporality: Temporality,
    /// Its attributes, sorted by key.
    pub attributes: Vec<KeyValue>,
    /// Number of points that are kept.
    pub points: usize,
    /// Number of older points that were evicted.
    pub evicted: u64,
    /// The time of the oldest point, in nanoseconds since the Unix epoch.
    pub first: u64,
    /// The start of the range that has everything of the series, in nanoseconds since the Unix epoch.
    pub since: u64,
    /// The newest point.
    pub last: Option<Point>,
    /// The time of the newest point that is not in the future, in nanoseconds since the Unix epoch.
    pub present: Option<u64>,
}

/// A measured value with the span that it was measured in.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The series that it belongs to.
    pub series: SeriesId,
    /// Time of the measurement, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// The value, in the unit of the metric.
    pub value: Number,
    /// The trace, if it is known.
    pub trace_id: Option<[u8; 16]>,
    /// The span, if it is known.
    pub span_id: Option<[u8; 8]>,
    /// Attributes of the measurement that the series does not have.
    pub filtered_attributes: Vec<KeyValue>,
}

/// A value that was measured in a trace: an exemplar with its metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// The trace.
    pub trace: TraceId,
    /// The span, if it is known.
    pub span: Option<SpanId>,
    /// The series.
    pub series: SeriesId,
    /// The name of the metric.
    pub name: String,
    /// The unit, in UCUM.
    pub unit: String,
    /// The type of the metric.
    pub kind: Kind,
    /// Time of the measurement, in nanoseconds since the Unix epoch.
    pub time: u64,
    /// The value, in the unit of the metric.
    pub value: Number,
}

/// What is known of a metric while its series are visited.
#[derive(Debug, Default)]
struct Names<'a> {
    description: &'a str,
    services: BTreeSet<&'a str>,
    series: usize,
    some: BTreeSet<SeriesId>,
    last: u64,
    present: Option<u64>,
}

/// The metrics with series that the filter keeps, by name. Without a filter, no attribute is decoded.
pub(super) fn names(state: &State, filter: Option<&dyn Fn(&Labels) -> bool>) -> Vec<Name> {
    let mut names = BTreeMap::<_, Names<'_>>::new();
    let all = state.all();
    for (id, series) in
        all.filter(|(id, series)| filter.is_none_or(|is_kept| is_kept(&labels(*id, series))))
    {
        let metric = &series.metric;
        let entry = names.entry((&*metric.name, &*metric.unit, metric.kind));
        let entry = entry.or_default();
        if entry.description.is_empty() {
            entry.description = &metric.description;
        }
        entry.services.insert(&metric.source.service);
        entry.series += 1;
        entry.some.insert(SeriesId(id));
        if entry.some.len() > SOME {
            entry.some.pop_last();
        }
        let newest = series.ring.points().back();
        entry.last = entry.last.max(newest.map_or(0, |point| point.time));
        entry.present = entry.present.max(present(series));
    }
    let names = names.into_iter().map(|((name, unit, kind), entry)| Name {
        name: name.to_owned(),
        unit: unit.to_owned(),
        kind,
        description: entry.description.to_owned(),
        services: entry.services.into_iter().map(str::to_owned).collect(),
        series: entry.series,
        some: entry.some.into_iter().collect(),
        last: entry.present.unwrap_or(entry.last),
    });
    names.collect()
}

/// The time of the newest point that is not in the future.
fn present(series: &Series) -> Option<u64> {
    let future = clock::future();
    let points = series.ring.points();
    let count = points.partition_point(|point| point.time <= future);
    Some(points.get(count.checked_sub(1)?)?.time)
}

/// The services with points in the future: the number of their points there, and the time of the newest one.
pub(super) fn ahead(state: &State) -> BTreeMap<String, (u64, u64)> {
    let future = clock::future();
    let mut services = BTreeMap::new();
    for (_, series) in state.all() {
        let points = series.ring.points();
        let Some(last) = points.back().filter(|last| last.time > future) else {
            continue;
        };
        let count = points.len() - points.partition_point(|point| point.time <= future);
        let service = series.metric.source.service.to_string();
        let found: &mut (u64, u64) = services.entry(service).or_default();
        *found = (found.0 + count as u64, found.1.max(last.time));
    }
    services
}

/// The series of a metric that the filter keeps, by service and attributes.
pub(super) fn series(state: &State, name: &str, filter: impl Fn(&Labels) -> bool) -> Vec<Labels> {
    let named = state
        .all()
        .filter(|(_, series)| *series.metric.name == *name);
    let mut named: Vec<_> = named.collect();
    named.sort_by_key(|(id, series)| (&series.metric.source.service, &series.attributes, *id));
    let labels = named.into_iter().map(|(id, series)| labels(id, series));
    labels.filter(filter).collect()
}

pub(super) fn labels(id: u64, series: &Series) -> Labels {
    let metric = &series.metric;
    let points = series.ring.points();
    Labels {
        id: SeriesId(id),
        name: metric.name.to_string(),
        resource: metric.source.resource(),
        scope: metric.source.scope(),
        service: metric.source.service.to_string(),
        unit: metric.unit.to_string(),
        description: metric.description.to_string(),
        kind: metric.kind,
        temporality: metric.temporality,
        attributes: identity::decode(&series.attributes),
        points: points.len(),
        evicted: series.ring.evicted(),
        first: points.front().map_or(0, |point| point.time),
        since: points
            .front()
            .map_or(0, |first| window::since(first, metric.temporality)),
        last: points.back().cloned(),
        present: present(series),
    }
}

/// The points of a series in the range.
pub(super) fn points(series: &Series, range: Range) -> Vec<Point> {
    let points = series.ring.points();
    let first = points.partition_point(|point| point.time <= range.from);
    let end = points.partition_point(|point| point.time <= range.to);
    points.range(first..end.max(first)).cloned().collect()
}

/// The exemplars in the range, in order of time. An exemplar that several points repeat is returned once.
pub(super) fn exemplars<'a>(
    series: impl Iterator<Item = (u64, &'a Series)>,
    range: Range,
) -> Vec<Exemplar> {
    let mut exemplars = Vec::new();
    for (id, series) in series {
        let mut seen = HashSet::new();
        let points = series.ring.points().iter();
        for kept in points.flat_map(|point| &point.exemplars) {
            let bits = kept.value.as_f64().to_bits();
            if kept.time > range.from
                && kept.time <= range.to
                && seen.insert((kept.time, kept.trace_id, kept.span_id, bits))
            {
                exemplars.push(Exemplar {
                    series: SeriesId(id),
                    time: kept.time,
                    value: kept.value,
                    trace_id: kept.trace_id,
                    span_id: kept.span_id,
                    filtered_attributes: identity::decode(&kept.filtered),
                });
            }
        }
    }
    exemplars.sort_by_key(|exemplar| exemplar.time);
    exemplars
}

/// What was measured in traces, by name of the metric: the newest value of each series and span.
pub(super) fn measured(state: &State, is_wanted: impl Fn(TraceId) -> bool) -> Vec<Measurement> {
    let mut found = BTreeMap::new();
    for (id, series) in state.all() {
        let points = series.ring.points().iter();
        for kept in points.flat_map(|point| &point.exemplars) {
            let trace = kept.trace_id.and_then(|id| TraceId::from_bytes(&id));
            let Some(trace) = trace.filter(|trace| is_wanted(*trace)) else {
                continue;
            };
            let span = kept.span_id.and_then(|id| SpanId::from_bytes(&id));
            let key = (&*series.metric.name, trace, span, SeriesId(id));
            let newest = found.entry(key).or_insert((series, kept));
            if kept.time > newest.1.time {
                newest.1 = kept;
            }
        }
    }
    let found = found.into_iter();
    let measured = found.map(|((name, trace, span, series), (of, kept))| Measurement {
        trace,
        span,
        series,
        name: name.to_owned(),
        unit: of.metric.unit.to_string(),
        kind: of.metric.kind,
        time: kept.time,
        value: kept.value,
    });
    measured.collect()
}
