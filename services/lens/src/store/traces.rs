//! The list of traces.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use foldhash::fast::RandomState;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::{
    Snapshot, SpanColumns, Store,
    chains::Place,
    fields::{self, Texts},
    filter::{Deadline, List, Page, Terms},
    search::{Columns, Sink},
    segment::{NO_ROW, Part, Segment},
};
use crate::ids::TraceId;
use crate::query::TraceFilter;

/// A trace in a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TraceRow {
    /// The trace.
    pub id: TraceId,
    /// Service of the root, or else of the earliest span. Empty if it has no name.
    pub service: String,
    /// Name of the root, or else of the earliest span.
    pub name: String,
    /// Whether a span without a parent is stored.
    pub root: bool,
    /// Start of the earliest span, in nanoseconds since 1970. 0 if no span has a start.
    pub start: u64,
    /// Time between the start of the earliest span and the end of the latest, in nanoseconds.
    pub duration: u64,
    /// Duration of the root, in nanoseconds. `None` if it is not stored.
    pub root_duration: Option<u64>,
    /// Number of spans.
    pub spans: u32,
    /// Number of spans with an error.
    pub errors: u32,
    /// Names of all services, in alphabetical order.
    pub services: Vec<String>,
    /// Whether spans of the trace were evicted.
    pub evicted: bool,
}

/// A place between two traces of a list.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TraceCursor {
    /// Start of the trace before it, in nanoseconds since 1970.
    pub start: u64,
    /// The trace before it.
    pub trace: TraceId,
}

impl TraceRow {
    /// The place after it in a list.
    pub fn place(&self) -> TraceCursor {
        TraceCursor {
            start: self.start,
            trace: self.id,
        }
    }
}

impl TraceCursor {
    /// The place in a list after the traces that start later than this time.
    fn after(time: u64) -> Option<Self> {
        Some(Self {
            start: time.checked_add(1)?,
            trace: TraceId::LEAST,
        })
    }
}

/// What the columns tell of a trace.
pub(super) struct Summary {
    place: Place,
    pub(super) start: u64,
    end: u64,
    spans: u32,
    errors: u32,
    /// The root, or else the earliest span.
    top: Place,
    root: bool,
    evicted: bool,
}

impl Store {
    /// The traces that match a filter, newest first.
    pub fn traces(
        &self,
        filter: &TraceFilter,
        page: &Page<TraceCursor>,
    ) -> List<TraceRow, TraceCursor> {
        self.traces_until(filter, page, Deadline::NONE)
    }

    /// The same, by a search that ends early after the time `within`.
    pub fn traces_within(
        &self,
        filter: &TraceFilter,
        page: &Page<TraceCursor>,
        within: Duration,
    ) -> List<TraceRow, TraceCursor> {
        self.traces_until(filter, page, Deadline::after(within))
    }

    fn traces_until(
        &self,
        filter: &TraceFilter,
        page: &Page<TraceCursor>,
        deadline: Deadline,
    ) -> List<TraceRow, TraceCursor> {
        let terms = Terms::new(&filter.0);
        let (snapshot, part) = self.read(|writer| {
            let part = terms.trace().map(|trace| writer.spans.newest_part(trace));
            (writer.spans.snapshot(), part)
        });
        let limit = page.limit.max(1);
        let is_before = |key: TraceCursor| page.before.is_none_or(|before| key < before);
        // One more trace tells whether there is a next page.
        let mut newest: BTreeMap<TraceCursor, Summary> = BTreeMap::new();
        let mut seen: HashSet<TraceId, RandomState> = HashSet::default();
        let mut stopped = None;
        let segments = snapshot.newest_first(part);
        for (number, segment) in segments.into_iter().enumerate() {
            let mut least = least(&newest, limit);
            if least.is_some_and(|least| segment.newest < least) {
                break;
            }
            // The next page must begin after the begin of this one.
            let can_stop = TraceCursor::after(segment.newest).is_some_and(is_before);
            if number > 0 && can_stop && deadline.is_over() {
                stopped = Some(segment.newest);
                break;
            }
            let matching = (!terms.match_all()).then(|| {
                let mut slots = Slots::new(segment, least.unwrap_or(0));
                if page.before.is_some() {
                    slots.close(|slot, part| !is_before(key(&snapshot, segment, slot, part)));
                }
                terms.search(segment, &mut slots);
                slots.found
            });
            for (slot, part) in segment.parts.iter().enumerate() {
                // The trace may be older than this part of it.
                if matching.as_ref().is_some_and(|matching| !matching[slot])
                    || least.is_some_and(|least| part.start < least)
                {
                    continue;
                }
                // A long trace has a part in each segment, and one is enough to sum it up.
                if !part.is_alone() && !seen.insert(part.trace) {
                    continue;
                }
                let place = Place {
                    segment: segment.number,
                    slot: slot as u32,
                };
                let summary = Summary::new(&snapshot, place);
                let key = TraceCursor {
                    start: summary.start,
                    trace: part.trace,
                };
                if !is_before(key) || !terms.match_trace_duration(summary.duration()) {
                    continue;
                }
                newest.insert(key, summary);
                if newest.len() > limit + 1 {
                    newest.pop_first();
                }
                least = self::least(&newest, limit);
            }
        }
        if let Some(stopped) = stopped {
            // Others of this time may be missing.
            newest.retain(|key, _| key.start > stopped);
        }
        let more = newest.len() > limit;
        let stopped = stopped.filter(|_| !more);
        let rows: Vec<TraceRow> = newest
            .iter()
            .rev()
            .take(limit)
            .map(|(key, summary)| summary.row(&snapshot, key.trace))
            .collect();
        let next = match stopped {
            Some(stopped) => TraceCursor::after(stopped),
            None => rows.last().filter(|_| more).map(TraceRow::place),
        };
        List {
            rows,
            next,
            stopped,
        }
    }

    /// One trace, as in a list. `None` if no span of it is stored.
    pub fn trace_row(&self, id: TraceId) -> Option<TraceRow> {
        let (snapshot, place) =
            self.read(|writer| (writer.spans.snapshot(), writer.spans.newest_part(id)));
        Some(Summary::new(&snapshot, place?).row(&snapshot, id))
    }
}

/// Start of the oldest trace of a full page. Older traces are not in the list.
fn least(newest: &BTreeMap<TraceCursor, Summary>, limit: usize) -> Option<u64> {
    let (key, _) = newest.first_key_value()?;
    (newest.len() > limit).then_some(key.start)
}

/// The place of a trace in a list, by a part of it.
fn key(
    snapshot: &Snapshot<SpanColumns>,
    segment: &Segment<SpanColumns>,
    slot: u32,
    part: &Part,
) -> TraceCursor {
    let place = Place {
        segment: segment.number,
        slot,
    };
    TraceCursor {
        start: match part.is_alone() {
            true => part.start,
            false => Summary::new(snapshot, place).start,
        },
        trace: part.trace,
    }
}

/// The parts of a segment that have a matching span.
struct Slots<'a> {
    segment: &'a Segment<SpanColumns>,
    /// The parts that are of use.
    open: Vec<bool>,
    found: Vec<bool>,
}

impl<'a> Slots<'a> {
    /// Parts that start before `least` are of no use.
    fn new(segment: &'a Segment<SpanColumns>, least: u64) -> Self {
        let parts = segment.parts.iter();
        Self {
            segment,
            open: parts.map(|part| part.start >= least).collect(),
            found: vec![false; segment.parts.len()],
        }
    }

    /// Leaves out parts.
    fn close(&mut self, mut is_of_no_use: impl FnMut(u32, &Part) -> bool) {
        for (slot, part) in self.segment.parts.iter().enumerate() {
            self.open[slot] &= !is_of_no_use(slot as u32, part);
        }
    }
}

impl Sink for Slots<'_> {
    fn wants(&self, row: usize) -> bool {
        let slot = self.segment.rows[row].part as usize;
        self.open[slot]
    }

    fn found(&mut self, row: usize) {
        let slot = self.segment.rows[row].part as usize;
        self.open[slot] = false;
        self.found[slot] = true;
    }
}

impl Columns for SpanColumns {
    const ATTRIBUTES: u32 = 9;

    fn texts() -> &'static Texts {
        &fields::SPAN
    }

    fn match_terms(&self, terms: &Terms) -> bool {
        terms.match_status(self.status)
            && terms.match_duration(self.duration)
            && terms.match_kind(self.kind)
    }

    fn need_errors(terms: &Terms) -> bool {
        !terms.match_status(StatusCode::Unset as u8) && !terms.match_status(StatusCode::Ok as u8)
    }
}

impl Summary {
    /// Sums up the trace that has a part at `place`.
    pub(super) fn new(snapshot: &Snapshot<SpanColumns>, place: Place) -> Self {
        let (parts, evicted) = snapshot.chain(place);
        let mut summary = Self {
            place,
            start: 0,
            end: 0,
            spans: 0,
            errors: 0,
            top: Place::NONE,
            root: false,
            evicted,
        };
        let mut top_start = u64::MAX;
        for (segment, slot) in parts {
            let part = &segment.parts[slot as usize];
            if part.start != 0 && (summary.start == 0 || part.start < summary.start) {
                summary.start = part.start;
            }
            summary.end = summary.end.max(part.end);
            summary.spans += part.records;
            summary.errors += part.errors;
            let root = part.root != NO_ROW;
            let row = if root { part.root } else { part.first };
            let start = segment.rows[row as usize].time;
            if (root && !summary.root)
                || root == summary.root && (start < top_start || summary.top == Place::NONE)
            {
                summary.top = Place {
                    segment: segment.number,
                    slot: row,
                };
                summary.root = root;
                top_start = start;
            }
        }
        summary
    }

    pub(super) fn duration(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    fn row(&self, snapshot: &Snapshot<SpanColumns>, id: TraceId) -> TraceRow {
        let mut services = BTreeSet::new();
        let (parts, _) = snapshot.chain(self.place);
        for (segment, slot) in parts {
            let mut last = None;
            for (_, row) in segment.rows_of(slot) {
                let service = row.origin.service;
                if last != Some(service) {
                    services.insert(segment.names.text(service));
                    last = Some(service);
                }
            }
        }
        let segment = snapshot.get(self.top.segment);
        let top = segment.map(|segment| (segment, &segment.rows[self.top.slot as usize]));
        let (service, name) = top.map_or(("", ""), |(segment, row)| {
            (
                segment.names.text(row.origin.service),
                segment.names.text(row.name),
            )
        });
        TraceRow {
            id,
            service: service.to_owned(),
            name: name.to_owned(),
            root: self.root,
            start: self.start,
            duration: self.duration(),
            root_duration: top
                .filter(|_| self.root)
                .map(|(_, row)| row.columns.duration),
            spans: self.spans,
            errors: self.errors,
            services: services.into_iter().map(str::to_owned).collect(),
            evicted: self.evicted,
        }
    }
}
