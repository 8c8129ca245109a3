//! The list of log records.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;

use super::{
    LogColumns, Snapshot, Store,
    filter::{List, Page, Terms},
    insert::{ERROR, log_time},
    search::{Columns, Sink, any_text_in, any_text_of},
    segment::Segment,
    source::Sources,
    trace::StoredLog,
};
use crate::query::LogFilter;

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

impl Store {
    /// The log records that match a filter, newest first.
    pub fn logs(&self, filter: &LogFilter, page: &Page<LogCursor>) -> List<StoredLog, LogCursor> {
        self.logs_since(filter, page, 0)
    }

    /// The log records that match a filter and are not before a time in nanoseconds since 1970, newest first.
    pub fn logs_since(
        &self,
        filter: &LogFilter,
        page: &Page<LogCursor>,
        since: u64,
    ) -> List<StoredLog, LogCursor> {
        let terms = Terms::new(&filter.0);
        let (snapshot, part) = self.read(|writer| {
            let part = terms.trace().map(|trace| writer.logs.newest_part(trace));
            (writer.logs.snapshot(), part)
        });
        let limit = page.limit.max(1);
        let mut newest = Newest {
            before: page.before,
            since,
            limit,
            found: BTreeSet::new(),
        };
        for segment in snapshot.newest_first(part) {
            if segment.newest < newest.least() {
                break;
            }
            let mut sink = (&mut newest, segment);
            terms.search(segment, &mut sink);
        }
        let more = newest.found.len() > limit;
        let found: Vec<LogCursor> = newest.found.into_iter().rev().take(limit).collect();
        let next = found.last().copied().filter(|_| more);
        List {
            rows: decode(&snapshot, &found),
            next,
        }
    }
}

/// The newest matches so far.
struct Newest {
    before: Option<LogCursor>,
    /// Least time, in nanoseconds since 1970.
    since: u64,
    limit: usize,
    /// One more than the limit tells whether there is a next page.
    found: BTreeSet<LogCursor>,
}

impl Newest {
    /// Time of the oldest record of a full page, or else the least time. Older records are not in the list.
    fn least(&self) -> u64 {
        let first = self.found.first();
        let first = first.filter(|_| self.found.len() > self.limit);
        first.map_or(self.since, |first| first.time)
    }
}

impl Sink for (&mut Newest, &Segment<LogColumns>) {
    fn wants(&self, row: usize) -> bool {
        let (newest, segment) = self;
        segment.rows[row].time >= newest.least()
            && newest
                .before
                .is_none_or(|before| cursor(segment, row) < before)
    }

    fn found(&mut self, row: usize) {
        let (newest, segment) = self;
        newest.found.insert(cursor(segment, row));
        if newest.found.len() > newest.limit + 1 {
            newest.found.pop_first();
        }
    }
}

fn cursor(segment: &Segment<LogColumns>, row: usize) -> LogCursor {
    LogCursor {
        time: segment.rows[row].time,
        segment: segment.number,
        row: row as u32,
    }
}

impl Columns for LogColumns {
    type Message = LogRecord;

    const ATTRIBUTES: u32 = 6;

    fn match_terms(&self, terms: &Terms) -> bool {
        terms.match_severity(self.severity)
    }

    fn need_errors(terms: &Terms) -> bool {
        (0..ERROR).all(|severity| !terms.match_severity(severity))
    }

    fn any_text(record: &LogRecord, test: &mut dyn FnMut(&str) -> bool) -> bool {
        any_text_of(record.body.as_ref(), test)
            || any_text_in(&record.attributes, test)
            || test(&record.event_name)
            || test(&record.severity_text)
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
