//! The list of log records.

use std::collections::BTreeSet;

use memchr::memmem::Finder;
use opentelemetry_proto::tonic::{common::v1::KeyValue, logs::v1::LogRecord};
use prost::Message as _;

use super::{
    LogColumns, Snapshot, Store,
    filter::{self, Attributes, List, LogFilter, Page, Text, Verdict},
    insert::log_time,
    segment::Segment,
    source::Sources,
    trace::StoredLog,
};

/// A place between two log records of a list.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LogCursor {
    /// Time of the log record before it, in nanoseconds since 1970.
    pub time: u64,
    /// Number of its segment.
    pub segment: u32,
    /// Number of it in the segment.
    pub row: u32,
}

/// The attributes of a log record. Decoding leaves out the rest.
#[derive(Clone, PartialEq, prost::Message)]
struct LogAttributes {
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
}

impl Store {
    /// The log records that match a filter, newest first.
    pub fn logs(&self, filter: &LogFilter, page: &Page<LogCursor>) -> List<StoredLog, LogCursor> {
        let (snapshot, part) = self.read(|writer| {
            let part = filter.trace.map(|trace| writer.logs.newest_part(trace));
            (writer.logs.snapshot(), part)
        });
        // The segments to search, and the part of the trace if only one trace is wanted.
        let mut segments: Vec<(&Segment<LogColumns>, Option<u32>)> = match part {
            None => snapshot
                .0
                .iter()
                .map(|segment| (&**segment, None))
                .collect(),
            Some(None) => Vec::new(),
            Some(Some(place)) => {
                let (parts, _) = snapshot.chain(place);
                let parts = parts.into_iter();
                parts.map(|(segment, slot)| (segment, Some(slot))).collect()
            }
        };
        segments.sort_by_key(|(segment, _)| std::cmp::Reverse(segment.newest));
        let limit = page.limit.max(1);
        let mut search = Search::new(filter, page.before, limit);
        for (segment, slot) in segments {
            if search.least().is_some_and(|least| segment.newest < least) {
                break;
            }
            search.segment(segment, slot);
        }
        let more = search.newest.len() > limit;
        let found: Vec<LogCursor> = search.newest.into_iter().rev().take(limit).collect();
        let next = found.last().copied().filter(|_| more);
        List {
            rows: decode(&snapshot, &found),
            next,
        }
    }
}

struct Search<'a> {
    filter: &'a LogFilter,
    before: Option<LogCursor>,
    limit: usize,
    text: Option<Text>,
    needle: Option<Finder<'static>>,
    /// The newest matches so far. One more than the limit tells whether there is a next page.
    newest: BTreeSet<LogCursor>,
}

impl<'a> Search<'a> {
    fn new(filter: &'a LogFilter, before: Option<LogCursor>, limit: usize) -> Self {
        let text = Text::new(filter.text.as_deref());
        Self {
            filter,
            before,
            limit,
            needle: filter::needle(text.as_ref(), &filter.attributes),
            text,
            newest: BTreeSet::new(),
        }
    }

    /// Time of the oldest record of a full page. Older records are not in the list.
    fn least(&self) -> Option<u64> {
        let first = self.newest.first()?;
        (self.newest.len() > self.limit).then_some(first.time)
    }

    fn found(&mut self, cursor: LogCursor) {
        self.newest.insert(cursor);
        if self.newest.len() > self.limit + 1 {
            self.newest.pop_first();
        }
    }

    fn segment(&mut self, segment: &Segment<LogColumns>, slot: Option<u32>) {
        let filter = self.filter;
        let mut service = None;
        if let Some(name) = &filter.service {
            service = segment.names.find(name.as_bytes());
            if service.is_none() {
                return;
            }
        }
        let mut attributes = Attributes::new(&filter.attributes, segment);
        let mut open = vec![false; segment.rows.len()];
        let mut unpack = false;
        let cursor = |number: usize| LogCursor {
            time: segment.rows[number].time,
            segment: segment.number,
            row: number as u32,
        };
        // The last records are mostly the newest, which makes the others too old early.
        for (number, row) in segment.rows.iter().enumerate().rev() {
            if self.least().is_some_and(|least| row.time < least)
                || self.before.is_some_and(|before| cursor(number) >= before)
                || slot.is_some_and(|slot| row.part != slot)
                || service.is_some_and(|service| row.origin.service != service)
                || filter
                    .min_severity
                    .is_some_and(|min| row.columns.severity < min)
            {
                continue;
            }
            match attributes.verdict(segment, row.origin.resource) {
                Verdict::NoMatch => {}
                Verdict::Match if self.text.is_none() => self.found(cursor(number)),
                Verdict::Match | Verdict::Open => {
                    open[number] = true;
                    unpack = true;
                }
            }
        }
        if !unpack {
            return;
        }
        let mut text = self.text.take();
        let needle = self.needle.take();
        segment.search(
            needle.as_ref(),
            |number| open[number],
            |number, bytes| {
                let row = &segment.rows[number];
                if self.least().is_none_or(|least| row.time >= least)
                    && attributes.test(segment, row.origin.resource, || attributes_of(bytes))
                    && text.as_mut().is_none_or(|text| is_in_log(text, bytes))
                {
                    self.found(cursor(number));
                }
            },
        );
        self.text = text;
        self.needle = needle;
    }
}

fn decode(snapshot: &Snapshot<LogColumns>, found: &[LogCursor]) -> Vec<StoredLog> {
    let mut sources = Sources::default();
    let mut rows = Vec::with_capacity(found.len());
    let mut reader = None;
    let mut unpacked = None;
    for cursor in found {
        let Some(segment) = snapshot.get(cursor.segment) else {
            continue;
        };
        // Neighbours in the list are often neighbours in the segment.
        if unpacked != Some(cursor.segment) {
            reader = Some(segment.reader());
            unpacked = Some(cursor.segment);
        }
        let Some(reader) = &mut reader else {
            continue;
        };
        let number = cursor.row as usize;
        let Ok(record) = LogRecord::decode(reader.read(segment.place(number))) else {
            continue;
        };
        rows.push(StoredLog {
            source: sources.get(segment, segment.rows[number].origin),
            time: log_time(&record),
            record,
        });
    }
    rows
}

fn attributes_of(bytes: &[u8]) -> Vec<KeyValue> {
    LogAttributes::decode(bytes).unwrap_or_default().attributes
}

/// Whether a text of a log record contains another.
fn is_in_log(text: &mut Text, bytes: &[u8]) -> bool {
    let record = LogRecord::decode(bytes).unwrap_or_default();
    text.is_in_value(record.body.as_ref())
        || text.is_in_attributes(&record.attributes)
        || text.is_in(&record.event_name)
        || text.is_in(&record.severity_text)
}
