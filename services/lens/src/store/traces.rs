//! The list of traces.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use foldhash::fast::RandomState;
use memchr::memmem::Finder;
use opentelemetry_proto::tonic::{common::v1::KeyValue, trace::v1::Span};
use prost::Message as _;

use super::{
    Snapshot, SpanColumns, Store,
    chains::Place,
    filter::{self, Attributes, List, Page, Text, TraceFilter, Verdict},
    ids::TraceId,
    segment::{NO_PART, NO_ROW, Row, Segment},
};

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

/// What the columns tell of a trace.
struct Summary {
    place: Place,
    start: u64,
    end: u64,
    spans: u32,
    errors: u32,
    /// The root, or else the earliest span.
    top: Place,
    root: bool,
    evicted: bool,
}

/// The attributes of a span. Decoding leaves out the rest.
#[derive(Clone, PartialEq, prost::Message)]
struct SpanAttributes {
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

impl Store {
    /// The traces that match a filter, newest first.
    pub fn traces(
        &self,
        filter: &TraceFilter,
        page: &Page<TraceCursor>,
    ) -> List<TraceRow, TraceCursor> {
        let snapshot = self.read(|writer| writer.spans.snapshot());
        let mut search = Search::new(filter);
        let limit = page.limit.max(1);
        // One more trace tells whether there is a next page.
        let mut newest: BTreeMap<TraceCursor, Summary> = BTreeMap::new();
        let mut seen: HashSet<TraceId, RandomState> = HashSet::default();
        let mut segments: Vec<_> = snapshot.0.iter().collect();
        segments.sort_by_key(|segment| std::cmp::Reverse(segment.newest));
        for segment in segments {
            let mut least = least(&newest, limit);
            if least.is_some_and(|least| segment.newest < least) {
                break;
            }
            let matching = search.slots(segment, least.unwrap_or(0));
            for (slot, part) in segment.parts.iter().enumerate() {
                // The trace may be older than this part of it.
                if matching.as_ref().is_some_and(|matching| !matching[slot])
                    || least.is_some_and(|least| part.start < least)
                {
                    continue;
                }
                // A long trace has a part in each segment, and one is enough to sum it up.
                let parts = part.previous != Place::NONE || part.next.get() != Place::NONE;
                if parts && !seen.insert(part.trace) {
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
                if page.before.is_some_and(|before| key >= before)
                    || !search.duration(summary.duration())
                {
                    continue;
                }
                newest.insert(key, summary);
                if newest.len() > limit + 1 {
                    newest.pop_first();
                }
                least = self::least(&newest, limit);
            }
        }
        let more = newest.len() > limit;
        let rows: Vec<TraceRow> = newest
            .iter()
            .rev()
            .take(limit)
            .map(|(key, summary)| summary.row(&snapshot, key.trace))
            .collect();
        let next = rows.last().filter(|_| more).map(|row| TraceCursor {
            start: row.start,
            trace: row.id,
        });
        List { rows, next }
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

/// A filter that is ready to be used.
struct Search<'a> {
    filter: &'a TraceFilter,
    text: Option<Text>,
    needle: Option<Finder<'static>>,
    /// Whether all traces match, as far as spans are concerned.
    all: bool,
}

impl<'a> Search<'a> {
    fn new(filter: &'a TraceFilter) -> Self {
        let text = Text::new(filter.text.as_deref());
        let all = filter.service.is_none()
            && filter.name.is_none()
            && !filter.error
            && filter.min_duration.is_none()
            && filter.max_duration.is_none()
            && filter.attributes.is_empty()
            && text.is_none();
        Self {
            filter,
            needle: filter::needle(text.as_ref(), &filter.attributes),
            text,
            all,
        }
    }

    fn duration(&self, duration: u64) -> bool {
        self.filter
            .min_trace_duration
            .is_none_or(|min| duration >= min)
            && self
                .filter
                .max_trace_duration
                .is_none_or(|max| duration <= max)
    }

    /// Which parts of a segment match, without those that start before `least`. `None` if all match.
    fn slots(&mut self, segment: &Segment<SpanColumns>, least: u64) -> Option<Vec<bool>> {
        if self.all {
            return None;
        }
        let mut slots = vec![false; segment.parts.len()];
        if let Some(mut columns) = Columns::new(self.filter, segment) {
            self.mark(segment, &mut columns, least, &mut slots);
        }
        Some(slots)
    }

    fn mark(
        &mut self,
        segment: &Segment<SpanColumns>,
        columns: &mut Columns<'_>,
        least: u64,
        slots: &mut [bool],
    ) {
        let mut open = vec![false; segment.rows.len()];
        let mut unpack = false;
        for (number, row) in segment.rows.iter().enumerate() {
            let slot = row.part as usize;
            if row.part == NO_PART || slots[slot] || segment.parts[slot].start < least {
                continue;
            }
            match columns.verdict(segment, row) {
                Verdict::NoMatch => {}
                Verdict::Match if self.text.is_none() => slots[slot] = true,
                Verdict::Match | Verdict::Open => {
                    open[number] = true;
                    unpack = true;
                }
            }
        }
        if !unpack {
            return;
        }
        let Self { text, needle, .. } = self;
        segment.search(
            needle.as_ref(),
            |number| open[number],
            |number, bytes| {
                let row = &segment.rows[number];
                let slot = row.part as usize;
                slots[slot] = slots[slot]
                    || columns
                        .attributes
                        .test(segment, row.origin.resource, || attributes(bytes))
                        && text.as_mut().is_none_or(|text| is_in_span(text, bytes));
            },
        );
    }
}

/// The conditions on columns in one segment.
struct Columns<'a> {
    filter: &'a TraceFilter,
    service: Option<u32>,
    /// For each name whether it matches.
    names: Option<Vec<bool>>,
    attributes: Attributes<'a>,
}

impl<'a> Columns<'a> {
    /// `None` if no span of the segment matches.
    fn new(filter: &'a TraceFilter, segment: &Segment<SpanColumns>) -> Option<Self> {
        if filter.error && segment.errors == 0 {
            return None;
        }
        let service = match &filter.service {
            Some(service) => Some(segment.names.find(service.as_bytes())?),
            None => None,
        };
        let names = Text::new(filter.name.as_deref()).map(|mut name| {
            (0..segment.names.len())
                .map(|id| name.is_in(segment.names.text(id)))
                .collect()
        });
        Some(Self {
            filter,
            service,
            names,
            attributes: Attributes::new(&filter.attributes, segment),
        })
    }

    fn verdict(&mut self, segment: &Segment<SpanColumns>, row: &Row<SpanColumns>) -> Verdict {
        let filter = self.filter;
        let duration = row.columns.duration;
        if self
            .service
            .is_some_and(|service| row.origin.service != service)
            || self
                .names
                .as_ref()
                .is_some_and(|names| !names[row.name as usize])
            || filter.error && !row.columns.error
            || filter.min_duration.is_some_and(|min| duration < min)
            || filter.max_duration.is_some_and(|max| duration > max)
        {
            return Verdict::NoMatch;
        }
        self.attributes.verdict(segment, row.origin.resource)
    }
}

impl Summary {
    /// Sums up the trace that has a part at `place`.
    fn new(snapshot: &Snapshot<SpanColumns>, place: Place) -> Self {
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

    fn duration(&self) -> u64 {
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
        let (service, name) = match snapshot.get(self.top.segment) {
            Some(segment) => {
                let row = &segment.rows[self.top.slot as usize];
                (
                    segment.names.text(row.origin.service),
                    segment.names.text(row.name),
                )
            }
            None => ("", ""),
        };
        TraceRow {
            id,
            service: service.to_owned(),
            name: name.to_owned(),
            root: self.root,
            start: self.start,
            duration: self.duration(),
            spans: self.spans,
            errors: self.errors,
            services: services.into_iter().map(str::to_owned).collect(),
            evicted: self.evicted,
        }
    }
}

fn attributes(bytes: &[u8]) -> Vec<KeyValue> {
    SpanAttributes::decode(bytes).unwrap_or_default().attributes
}

/// Whether a text of a span contains another.
fn is_in_span(text: &mut Text, bytes: &[u8]) -> bool {
    let span = Span::decode(bytes).unwrap_or_default();
    text.is_in(&span.name)
        || text.is_in_attributes(&span.attributes)
        || span
            .events
            .iter()
            .any(|event| text.is_in(&event.name) || text.is_in_attributes(&event.attributes))
        || span
            .status
            .is_some_and(|status| text.is_in(&status.message))
}
