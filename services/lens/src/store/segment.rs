//! A part of the records of one signal, in the order in which they came.

use std::{hash::BuildHasher as _, ops::Range};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use opentelemetry_proto::tonic::common::v1::KeyValue;

use super::{
    arena::{Arena, Reader},
    chains::{Next, Place},
    dictionary::Dictionary,
};
use crate::ids::{SpanId, TraceId};

/// Maximum number of records in a segment. With it, the hash table of 8,192 places is exactly full.
pub(super) const RECORDS: usize = 7168;

/// [`Row::part`] of a record without a trace.
pub(super) const NO_PART: u32 = u32::MAX;

/// Records of one signal. The open segment takes records, and a sealed one does not change.
///
/// `C` has the columns of the signal.
#[derive(Clone, Debug)]
pub(super) struct Segment<C> {
    pub(super) number: u32,
    pub(super) rows: Vec<Row<C>>,
    /// The traces of the records.
    pub(super) parts: Vec<Part>,
    pub(super) links: Vec<Link>,
    /// Names of services, spans and events.
    pub(super) names: Dictionary,
    /// Keys of the attributes of the records, without those of resources and scopes.
    pub(super) keys: Dictionary,
    /// Encoded resources and scopes.
    pub(super) messages: Dictionary,
    arena: Arena,
    /// Rows by trace and span.
    ids: HashTable<u16>,
    hasher: RandomState,
    /// Number of rows with an error.
    pub(super) errors: u32,
    /// Latest time of a record, in nanoseconds since 1970.
    pub(super) newest: u64,
    /// Earliest time of a record that has one, in nanoseconds since 1970.
    pub(super) oldest: u64,
    /// Number of the last insertion into this segment.
    pub(super) touched: u64,
    /// Earliest arrival of a record, in nanoseconds since 1970.
    pub(super) arrived: u64,
}

/// The columns of one record.
#[derive(Clone, Debug)]
pub(super) struct Row<C> {
    /// Time in nanoseconds since 1970. For a span, its start.
    pub(super) time: u64,
    /// Id of the span, or 0.
    pub(super) span: u64,
    /// Number in [`Segment::parts`], or [`NO_PART`].
    pub(super) part: u32,
    /// Name of the span or event in [`Segment::names`].
    pub(super) name: u32,
    pub(super) origin: Origin,
    /// Place of its end in the uncompressed arena.
    end: u32,
    pub(super) columns: C,
}

/// The source of a record.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Origin {
    /// Name of the service in [`Segment::names`].
    pub(super) service: u32,
    /// Number of the resource in [`Segment::messages`].
    pub(super) resource: u32,
    /// Number of the scope in [`Segment::messages`].
    pub(super) scope: u32,
}

/// What a segment has of one trace.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) trace: TraceId,
    /// The parts of the same trace in the segments before and after.
    pub(super) previous: Place,
    pub(super) next: Next,
    /// Earliest time, in nanoseconds since 1970. 0 if no record has a time.
    pub(super) start: u64,
    /// Latest end, in nanoseconds since 1970.
    pub(super) end: u64,
    pub(super) records: u32,
    pub(super) errors: u32,
    /// Row of the earliest span without a parent, or [`NO_ROW`].
    pub(super) root: u32,
    /// Row of the earliest record.
    pub(super) first: u32,
}

impl Part {
    /// Whether no other segment has something of the trace.
    pub(super) fn is_alone(&self) -> bool {
        self.previous == Place::NONE && self.next.get() == Place::NONE
    }
}

/// A [`Part::root`] that is not in the segment.
pub(super) const NO_ROW: u32 = u32::MAX;

/// A link from a span of a segment.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) row: u32,
    /// Id of the linked span.
    pub(super) span: u64,
    /// An earlier link to a span of the same trace.
    pub(super) previous: Place,
    pub(super) trace: TraceId,
}

/// A record to add.
pub(super) struct Record<'a, C> {
    pub(super) trace: Option<TraceId>,
    pub(super) span: Option<SpanId>,
    pub(super) time: u64,
    pub(super) end: u64,
    pub(super) name: &'a str,
    pub(super) error: bool,
    /// Whether it is a span without a parent.
    pub(super) root: bool,
    pub(super) attributes: &'a [KeyValue],
    pub(super) columns: C,
}

impl<C> Segment<C> {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            rows: Vec::new(),
            parts: Vec::new(),
            links: Vec::new(),
            names: Dictionary::default(),
            keys: Dictionary::default(),
            messages: Dictionary::default(),
            arena: Arena::default(),
            ids: HashTable::new(),
            hasher: RandomState::default(),
            errors: 0,
            newest: 0,
            oldest: u64::MAX,
            touched: 0,
            arrived: u64::MAX,
        }
    }

    pub(super) fn is_full(&self, size: usize) -> bool {
        self.rows.len() >= RECORDS || self.arena.len() >= size
    }

    /// Adds a part for a trace that has none here, and returns its slot.
    pub(super) fn begin(&mut self, trace: TraceId, previous: Place) -> u32 {
        self.parts.push(Part {
            trace,
            previous,
            next: Next::default(),
            start: 0,
            end: 0,
            records: 0,
            errors: 0,
            root: NO_ROW,
            first: self.rows.len() as u32,
        });
        self.parts.len() as u32 - 1
    }

    /// Adds a record to a part, or to none.
    pub(super) fn push(
        &mut self,
        part: Option<u32>,
        origin: Origin,
        record: Record<'_, C>,
        message: &[u8],
        scratch: &mut Vec<u8>,
    ) {
        let number = self.rows.len() as u32;
        let Record {
            time, end, error, ..
        } = record;
        for attribute in record.attributes {
            self.keys.intern(attribute.key.as_bytes());
        }
        self.newest = self.newest.max(time);
        if time != 0 {
            self.oldest = self.oldest.min(time);
        }
        self.errors += u32::from(error);
        if let Some(slot) = part {
            let part = &mut self.parts[slot as usize];
            if record.root && (part.root == NO_ROW || time < self.rows[part.root as usize].time) {
                part.root = number;
            }
            // Time 0 is unknown.
            if time != 0 && (part.start == 0 || time < part.start) {
                part.start = time;
                part.first = number;
            }
            part.end = part.end.max(end);
            part.records += 1;
            part.errors += u32::from(error);
        }
        self.rows.push(Row {
            time,
            span: record.span.map_or(0, SpanId::number),
            part: part.unwrap_or(NO_PART),
            name: self.names.intern(record.name.as_bytes()),
            origin,
            end: self.arena.push(message, scratch),
            columns: record.columns,
        });
    }

    /// Makes the last record known to [`Self::contains`].
    pub(super) fn remember(&mut self) {
        let row = self.rows.len() - 1;
        let Self {
            ids,
            hasher,
            rows,
            parts,
            ..
        } = self;
        let hash = |row: usize| {
            let row = &rows[row];
            hasher.hash_one((parts[row.part as usize].trace, row.span))
        };
        // A segment has fewer records than 2^16.
        ids.insert_unique(hash(row), row as u16, |&row| hash(row.into()));
    }

    /// A span that has been remembered.
    pub(super) fn remembered(&self, trace: TraceId, span: SpanId) -> Option<&Row<C>> {
        let hash = self.hasher.hash_one((trace, span.number()));
        let row = self.ids.find(hash, |&row| {
            let row = &self.rows[usize::from(row)];
            row.span == span.number() && self.parts[row.part as usize].trace == trace
        });
        row.map(|&row| &self.rows[usize::from(row)])
    }

    /// Compresses the rest, and frees what only new records need.
    pub(super) fn seal(&mut self, scratch: &mut Vec<u8>) {
        self.rows.shrink_to_fit();
        self.parts.shrink_to_fit();
        self.links.shrink_to_fit();
        self.names.seal();
        self.keys.seal();
        self.messages.seal();
        self.arena.seal(scratch);
    }

    /// Size of the segment and its allocations, in bytes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>()
            + size_of::<Row<C>>() * self.rows.capacity()
            + size_of::<Part>() * self.parts.capacity()
            + size_of::<Link>() * self.links.capacity()
            + self.names.size()
            + self.keys.size()
            + self.messages.size()
            + self.arena.size()
            + self.ids.allocation_size()
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        self.arena.reader()
    }

    /// Place of a record in the uncompressed arena.
    pub(super) fn place(&self, row: usize) -> Range<u32> {
        let start = if row == 0 { 0 } else { self.rows[row - 1].end };
        start..self.rows[row].end
    }

    /// Latest time of a record before a time, in nanoseconds since 1970.
    pub(super) fn newest_before(&self, before: u64) -> Option<u64> {
        if self.newest < before {
            return (self.newest != 0).then_some(self.newest);
        }
        let times = self.rows.iter().map(|row| row.time);
        times.filter(|&time| time != 0 && time < before).max()
    }

    /// The rows of one part.
    pub(super) fn rows_of(&self, slot: u32) -> impl Iterator<Item = (usize, &Row<C>)> {
        let records = self.parts[slot as usize].records as usize;
        self.rows
            .iter()
            .enumerate()
            .filter(move |(_, row)| row.part == slot)
            .take(records)
    }

    /// The blocks of the arena, oldest first: their places in it, and their rows.
    pub(super) fn blocks(&self) -> impl DoubleEndedIterator<Item = (Range<u32>, Range<usize>)> {
        self.arena.blocks().map(|block| {
            // A record without bytes is in the block that ends there.
            let first = match block.start {
                0 => 0,
                start => self.rows.partition_point(|row| row.end <= start),
            };
            let end = self.rows.partition_point(|row| row.end <= block.end);
            (block, first..end)
        })
    }

    /// Calls `test` with the number and the bytes of each wanted record.
    pub(super) fn read_each(
        &self,
        mut wanted: impl FnMut(usize) -> bool,
        mut test: impl FnMut(usize, &[u8]),
    ) {
        let mut reader = self.reader();
        for (_, rows) in self.blocks() {
            for row in rows.filter(|&row| wanted(row)) {
                test(row, reader.read(self.place(row)));
            }
        }
    }
}
