//! Records in the order in which they came: for exports, and for streams of what is new.
//!
//! A position is a number of records: those that came before it, evicted ones included. So a reader keeps nothing of
//! the store between two reads, and learns exactly how many records it missed.

use std::collections::HashSet;

use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};
use prost::Message as _;

use super::{
    LogFilter, Snapshot, Store, TraceCursor, TraceFilter,
    chains::Place,
    filter::Terms,
    insert::log_time,
    search::{Columns, Sink},
    segment::Segment,
    source::Sources,
    trace::{StoredLog, TraceSpan},
    traces::Summary,
};

/// Size of the records of one read after which it ends, in bytes.
const BYTES: usize = 1 << 20;

/// Records that came after a position.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrived<T> {
    /// Those that match, oldest arrival first.
    pub records: Vec<T>,
    /// The position after them.
    pub next: u64,
    /// Number of records that were evicted between the position and the first of these.
    pub missed: u64,
    /// Whether there may be more.
    pub more: bool,
}

/// The position after the newest record of each signal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Positions {
    /// The position after the newest span.
    pub spans: u64,
    /// The position after the newest log record.
    pub logs: u64,
}

impl Store {
    /// The positions after the newest records.
    pub fn positions(&self) -> Positions {
        let stats = self.stats();
        Positions {
            spans: stats.spans.evicted + stats.spans.records,
            logs: stats.logs.evicted + stats.logs.records,
        }
    }

    /// Spans that came after a position and match the terms on spans: at most `limit`, and about 1 MiB of them.
    pub fn spans_after(
        &self,
        filter: &TraceFilter,
        position: u64,
        limit: usize,
    ) -> Arrived<TraceSpan> {
        let (snapshot, evicted) =
            self.read(|writer| (writer.spans.snapshot(), writer.spans.stats().evicted));
        let terms = Terms::new(&filter.0);
        let found = Found::new(&terms, &snapshot, evicted, position, limit);
        let mut sources = Sources::default();
        found.decode(&snapshot, |segment, row, bytes| {
            let span = Span::decode(bytes).ok()?;
            let source = sources.get(segment, segment.rows[row].origin);
            Some(TraceSpan { source, span })
        })
    }

    /// The matching traces of spans that came after a position and match: those of at most `limit` spans, each once.
    pub fn traces_after(
        &self,
        filter: &TraceFilter,
        position: u64,
        limit: usize,
    ) -> Arrived<TraceCursor> {
        let (snapshot, evicted) =
            self.read(|writer| (writer.spans.snapshot(), writer.spans.stats().evicted));
        let terms = Terms::new(&filter.0);
        let found = Found::new(&terms, &snapshot, evicted, position, limit);
        let mut seen = HashSet::new();
        let traces = found.rows.iter().filter_map(|&(number, row)| {
            let segment = &snapshot.0[number];
            let slot = segment.rows[row].part;
            let trace = segment.parts.get(slot as usize)?.trace;
            if !seen.insert(trace) {
                return None;
            }
            let place = Place {
                segment: segment.number,
                slot,
            };
            let summary = Summary::new(&snapshot, place);
            let is_match = terms.match_trace_duration(summary.duration());
            is_match.then_some(TraceCursor {
                start: summary.start,
                trace,
            })
        });
        Arrived {
            records: traces.collect(),
            next: found.next,
            missed: found.missed,
            more: found.more,
        }
    }

    /// Log records that came after a position and match: at most `limit`, and about 1 MiB of them.
    pub fn logs_after(
        &self,
        filter: &LogFilter,
        position: u64,
        limit: usize,
    ) -> Arrived<StoredLog> {
        let (snapshot, evicted) =
            self.read(|writer| (writer.logs.snapshot(), writer.logs.stats().evicted));
        let terms = Terms::new(&filter.0);
        let found = Found::new(&terms, &snapshot, evicted, position, limit);
        let mut sources = Sources::default();
        found.decode(&snapshot, |segment, row, bytes| {
            let record = LogRecord::decode(bytes).ok()?;
            Some(StoredLog {
                source: sources.get(segment, segment.rows[row].origin),
                time: log_time(&record),
                record,
            })
        })
    }
}

/// The places of matching records.
struct Found {
    /// Number of the segment in the snapshot, and row.
    rows: Vec<(usize, usize)>,
    next: u64,
    missed: u64,
    more: bool,
}

/// Takes the matches from a row on.
struct After {
    first: usize,
    rows: Vec<usize>,
}

impl Sink for After {
    fn wants(&self, row: usize) -> bool {
        row >= self.first
    }

    fn found(&mut self, row: usize) {
        self.rows.push(row);
    }
}

impl Found {
    fn new<C: Columns>(
        terms: &Terms,
        snapshot: &Snapshot<C>,
        evicted: u64,
        position: u64,
        limit: usize,
    ) -> Self {
        let mut found = Self {
            rows: Vec::new(),
            next: position.max(evicted),
            missed: evicted.saturating_sub(position),
            more: false,
        };
        let mut size = 0;
        let mut begin = evicted;
        for (number, segment) in snapshot.0.iter().enumerate() {
            let end = begin + segment.rows.len() as u64;
            if end > found.next {
                let mut after = After {
                    first: (found.next - begin) as usize,
                    rows: Vec::new(),
                };
                terms.search(segment, &mut after);
                after.rows.sort_unstable();
                for row in after.rows {
                    if found.rows.len() >= limit.max(1) || size > BYTES {
                        found.more = true;
                        return found;
                    }
                    size += segment.place(row).len();
                    found.rows.push((number, row));
                    found.next = begin + row as u64 + 1;
                }
                found.next = end;
            }
            begin = end;
        }
        found
    }

    fn decode<'a, C, T>(
        self,
        snapshot: &'a Snapshot<C>,
        mut decode: impl FnMut(&'a Segment<C>, usize, &[u8]) -> Option<T>,
    ) -> Arrived<T> {
        let mut records = Vec::with_capacity(self.rows.len());
        let mut reader = None;
        let mut unpacked = None;
        for (number, row) in self.rows {
            let segment = &*snapshot.0[number];
            if unpacked != Some(number) {
                reader = Some(segment.reader());
                unpacked = Some(number);
            }
            if let Some(reader) = &mut reader {
                // Only values that are nested more deeply than OTLP allows are not decoded.
                records.extend(decode(segment, row, reader.read(segment.place(row))));
            }
        }
        Arrived {
            records,
            next: self.next,
            missed: self.missed,
            more: self.more,
        }
    }
}
