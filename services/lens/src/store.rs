//! Spans and log records in memory, bounded in bytes.
//!
//! Records are kept in segments of about 4 MiB, each of one signal and in the order of arrival. A segment has columns
//! for what lists and filters read, and the records as OTLP in compressed blocks. One writer adds records to the open
//! segment of a signal. Readers take the current segments and hold no lock while they read. If the store exceeds its
//! limit, the oldest segment is evicted.

mod arena;
mod arrivals;
mod chains;
mod columns;
mod cursor;
mod dictionary;
mod fields;
mod filter;
mod insert;
mod logs;
mod outline;
mod peers;
mod search;
mod segment;
mod signal;
mod source;
#[cfg(test)]
mod tests;
mod timeline;
mod trace;
mod traces;

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use self::signal::{Signal, Snapshot};
pub(crate) use self::timeline::Cuts;
pub use self::{
    arrivals::{Arrived, Positions},
    columns::{LogView, Logs, SpanView, Spans},
    cursor::InvalidCursor,
    filter::{List, Page},
    insert::Inserted,
    logs::LogCursor,
    outline::{LinkTo, LogOutline, LogPlace, Outline},
    source::Source,
    timeline::{Outside, Timeline},
    trace::{LinkedFrom, StoredLog, Trace, TraceSpan},
    traces::{TraceCursor, TraceRow},
};
pub use crate::ids::{InvalidId, SpanId, TraceId};

pub use crate::query::{LogFilter, TraceFilter};

/// Size of a segment's records before compression, in bytes. Segments of a small store are smaller.
const SEGMENT: usize = 4 * 1024 * 1024;

/// Spans and log records in memory, bounded in bytes.
#[derive(Debug)]
pub struct Store {
    writer: Mutex<Writer>,
    /// Maximum size, in bytes.
    limit: usize,
    /// Number of insertions that stored something.
    version: watch::Sender<u64>,
}

#[derive(Debug)]
struct Writer {
    spans: Signal<SpanColumns>,
    logs: Signal<LogColumns>,
    /// Number of insertions so far.
    insertions: u64,
    /// The current record, encoded.
    encoded: Vec<u8>,
}

/// The columns that only spans have.
#[derive(Clone, Debug, Eq, PartialEq)]
struct SpanColumns {
    /// Duration, in nanoseconds.
    duration: u64,
    /// Id of the parent, or 0.
    parent: u64,
    /// A hash of the whole encoded span.
    digest: u32,
    /// A `SpanKind`.
    kind: u8,
    /// A `StatusCode`.
    status: u8,
}

/// The columns that only log records have.
#[derive(Clone, Debug)]
struct LogColumns {
    /// 1 to 24, or 0 if it is unspecified.
    severity: u8,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stats {
    /// Size of all allocations, in bytes.
    pub bytes: usize,
    /// Maximum size, in bytes.
    pub limit: usize,
    /// The spans.
    pub spans: SignalStats,
    /// The log records.
    pub logs: SignalStats,
}

/// How much a store has of one signal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SignalStats {
    /// Number of stored records.
    pub records: u64,
    /// Number of records that were evicted since the start.
    pub evicted: u64,
    /// Time of the oldest stored record that has one, in nanoseconds since 1970.
    pub oldest: Option<u64>,
    /// Arrival of the oldest segment's first record, in nanoseconds since 1970. Senders may have wrong clocks, and
    /// records may have no time.
    pub since: Option<u64>,
    /// Number of segments.
    pub segments: usize,
}

impl Store {
    /// A store of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        // A segment leaves as a whole, so it must be a small part of the store.
        let segment = SEGMENT.min(limit / 16);
        let gone = limit / 128;
        Self {
            writer: Mutex::new(Writer {
                spans: Signal::new(segment, gone),
                logs: Signal::new(segment, gone),
                insertions: 0,
                encoded: Vec::new(),
            }),
            limit,
            version: watch::Sender::new(0),
        }
    }

    /// Tells of insertions: the value changes after each one that stored something.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// How full the store is.
    pub fn stats(&self) -> Stats {
        self.read(|writer| Stats {
            bytes: writer.size(),
            limit: self.limit,
            spans: writer.spans.stats(),
            logs: writer.logs.stats(),
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Writer) -> T) -> T {
        read(&self.writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a part of an insertion, and evicts what is then above the limit.
    fn write(&self, part: impl FnOnce(&mut Writer)) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.insertions += 1;
        part(&mut writer);
        while writer.size() > self.limit && writer.evict() {}
    }
}

impl Writer {
    /// Size of all allocations, in bytes.
    fn size(&self) -> usize {
        self.spans.size() + self.logs.size() + self.encoded.capacity()
    }

    /// Evicts the oldest sealed segment of both signals. Returns whether there was one.
    fn evict(&mut self) -> bool {
        match (self.spans.oldest(), self.logs.oldest()) {
            (None, None) => return false,
            (Some(spans), Some(logs)) if spans <= logs => self.spans.evict(),
            (Some(_), None) => self.spans.evict(),
            (_, Some(_)) => self.logs.evict(),
        }
        true
    }
}
