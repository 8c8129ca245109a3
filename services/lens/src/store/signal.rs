//! The segments of one signal.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    SignalStats,
    chains::{Chains, Gone, Place},
    segment::{Link, Origin, Part, Record, Row, Segment},
};
use crate::ids::{SpanId, TraceId};

/// The segments of one signal, and the index of its traces. Only the writer uses it.
#[derive(Debug)]
pub(super) struct Signal<C> {
    /// Sealed segments, oldest first.
    sealed: VecDeque<Arc<Segment<C>>>,
    /// The segment that takes new records. It is copied if a reader has it.
    open: Arc<Segment<C>>,
    /// Traces by the newest part.
    traces: Chains,
    /// Linked traces by the newest link.
    links: Chains,
    gone: Gone,
    /// Size of a segment's records before compression, in bytes.
    segment_size: usize,
    /// Size of the sealed segments, in bytes.
    sealed_size: usize,
    /// Number of evicted records.
    evicted: u64,
    /// Number of stored records.
    records: u64,
    scratch: Vec<u8>,
}

/// A view of the segments at one moment, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Snapshot<C>(pub(super) Vec<Arc<Segment<C>>>);

/// The source of records that are inserted together.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub(super) service: &'a str,
    pub(super) resource: &'a [u8],
    pub(super) scope: &'a [u8],
    /// Time of the arrival, in nanoseconds since 1970.
    arrived: u64,
    /// The numbers of the three in the segment with this number.
    known: Option<(u32, Origin)>,
}

impl<'a> Group<'a> {
    pub(super) fn new(
        service: &'a str,
        resource: &'a [u8],
        scope: &'a [u8],
        arrived: SystemTime,
    ) -> Self {
        let arrived = arrived.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            service,
            resource,
            scope,
            arrived: arrived.as_nanos().try_into().unwrap_or(u64::MAX),
            known: None,
        }
    }

    fn origin<C>(&mut self, segment: &mut Segment<C>) -> Origin {
        match self.known {
            Some((number, origin)) if number == segment.number => origin,
            _ => {
                let origin = Origin {
                    service: segment.names.intern(self.service.as_bytes()),
                    resource: segment.messages.intern(self.resource),
                    scope: segment.messages.intern(self.scope),
                };
                self.known = Some((segment.number, origin));
                origin
            }
        }
    }
}

impl<C: Clone> Signal<C> {
    /// `segment_size` is the size of a segment's records before compression, and `gone_size` the size of the memory
    /// of evicted traces, both in bytes.
    pub(super) fn new(segment_size: usize, gone_size: usize) -> Self {
        Self {
            sealed: VecDeque::new(),
            open: Arc::new(Segment::new(1)),
            traces: Chains::new(),
            links: Chains::new(),
            gone: Gone::new(gone_size),
            segment_size,
            sealed_size: 0,
            evicted: 0,
            records: 0,
            scratch: Vec::new(),
        }
    }

    /// Adds a record. `insertion` is the number of the insertion.
    pub(super) fn append(
        &mut self,
        group: &mut Group<'_>,
        record: Record<'_, C>,
        message: &[u8],
        insertion: u64,
    ) {
        if self.open.is_full(self.segment_size) {
            self.seal();
        }
        let part = record.trace.map(|trace| self.part(trace));
        let open = Arc::make_mut(&mut self.open);
        let origin = group.origin(open);
        open.touched = insertion;
        open.arrived = open.arrived.min(group.arrived);
        open.push(part, origin, record, message, &mut self.scratch);
        self.records += 1;
    }

    /// The slot of a trace in the open segment.
    fn part(&mut self, trace: TraceId) -> u32 {
        let newest = self.traces.get(trace);
        if let Some(place) = newest
            && place.segment == self.open.number
        {
            return place.slot;
        }
        let previous = match newest {
            Some(place) => place,
            None if self.gone.contains(trace) => Place::EVICTED,
            None => Place::NONE,
        };
        let open = Arc::make_mut(&mut self.open);
        let place = Place {
            segment: open.number,
            slot: open.begin(trace, previous),
        };
        self.traces.insert(trace, place);
        if let Some(part) = newest.and_then(|place| self.at(place)) {
            part.next.set(place);
        }
        place.slot
    }

    /// Makes the last record known as a duplicate of its like, and adds its links.
    pub(super) fn index(&mut self, links: impl Iterator<Item = (TraceId, u64)>) {
        let open = Arc::make_mut(&mut self.open);
        open.remember();
        let row = open.rows.len() as u32 - 1;
        for (trace, span) in links {
            let place = Place {
                segment: open.number,
                slot: open.links.len() as u32,
            };
            let previous = self.links.insert(trace, place).unwrap_or(Place::NONE);
            open.links.push(Link {
                row,
                span,
                previous,
                trace,
            });
        }
    }

    /// A span that is stored.
    pub(super) fn find(&self, trace: TraceId, span: SpanId) -> Option<(&Segment<C>, &Row<C>)> {
        let mut place = self.traces.get(trace)?;
        while let Some(segment) = self.segment(place.segment) {
            if let Some(row) = segment.remembered(trace, span) {
                return Some((segment, row));
            }
            place = segment.parts[place.slot as usize].previous;
        }
        None
    }

    /// Number of the last insertion into the oldest sealed segment.
    pub(super) fn oldest(&self) -> Option<u64> {
        Some(self.sealed.front()?.touched)
    }

    /// Evicts the oldest sealed segment.
    pub(super) fn evict(&mut self) {
        let Some(segment) = self.sealed.pop_front() else {
            return;
        };
        self.sealed_size -= segment.size();
        self.evicted += segment.rows.len() as u64;
        self.records -= segment.rows.len() as u64;
        for part in &segment.parts {
            if self.traces.remove(part.trace, segment.number) {
                self.gone.insert(part.trace);
            }
        }
        for link in &segment.links {
            self.links.remove(link.trace, segment.number);
        }
    }

    /// Size of all allocations, in bytes.
    pub(super) fn size(&self) -> usize {
        self.sealed_size
            + self.open.size()
            + self.traces.size()
            + self.links.size()
            + self.gone.size()
            + self.scratch.capacity()
            + size_of::<usize>() * self.sealed.capacity()
    }

    pub(super) fn stats(&self) -> SignalStats {
        let oldest = self.all().map(|segment| segment.oldest).min();
        let arrived = self.all().map(|segment| segment.arrived).min();
        SignalStats {
            records: self.records,
            evicted: self.evicted,
            oldest: oldest.filter(|&time| time != u64::MAX),
            since: arrived.filter(|&time| time != u64::MAX),
            segments: self.sealed.len() + 1,
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot<C> {
        Snapshot(self.all().cloned().collect())
    }

    /// The newest part of a trace.
    pub(super) fn newest_part(&self, trace: TraceId) -> Option<Place> {
        self.traces.get(trace)
    }

    /// The newest links to spans of a trace, at most `limit`.
    pub(super) fn links_to(&self, trace: TraceId, limit: usize) -> Vec<(Arc<Segment<C>>, u32)> {
        let mut found = Vec::new();
        let mut place = self.links.get(trace).unwrap_or(Place::NONE);
        while found.len() < limit
            && let Some(segment) = self.segment(place.segment)
        {
            found.push((segment.clone(), place.slot));
            place = segment.links[place.slot as usize].previous;
        }
        found
    }

    /// Number of traces in the indexes of traces and of links.
    #[cfg(test)]
    pub(super) fn indexed(&self) -> (usize, usize) {
        (self.traces.len(), self.links.len())
    }

    fn seal(&mut self) {
        let next = Segment::new(self.open.number + 1);
        let mut segment = std::mem::replace(&mut self.open, Arc::new(next));
        Arc::make_mut(&mut segment).seal(&mut self.scratch);
        self.sealed_size += segment.size();
        self.sealed.push_back(segment);
    }

    fn at(&self, place: Place) -> Option<&Part> {
        self.segment(place.segment)?.parts.get(place.slot as usize)
    }

    fn segment(&self, number: u32) -> Option<&Arc<Segment<C>>> {
        if number == self.open.number {
            return Some(&self.open);
        }
        let first = self.sealed.front()?.number;
        self.sealed.get(number.checked_sub(first)? as usize)
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Segment<C>>> {
        self.sealed.iter().chain([&self.open])
    }
}

impl<C> Snapshot<C> {
    pub(super) fn get(&self, number: u32) -> Option<&Arc<Segment<C>>> {
        let first = self.0.first()?.number;
        self.0.get(number.checked_sub(first)? as usize)
    }

    /// The segments with the newest records first: all of them, or those of the trace with this newest part.
    pub(super) fn newest_first(&self, part: Option<Option<Place>>) -> Vec<&Segment<C>> {
        let mut segments: Vec<&Segment<C>> = match part {
            None => self.0.iter().map(|segment| &**segment).collect(),
            Some(None) => Vec::new(),
            Some(Some(place)) => {
                let (parts, _) = self.chain(place);
                parts.into_iter().map(|(segment, _)| segment).collect()
            }
        };
        segments.sort_by_key(|segment| std::cmp::Reverse(segment.newest));
        segments
    }

    /// All parts of a trace, oldest first, and whether earlier ones were evicted. `place` is any of them.
    pub(super) fn chain(&self, place: Place) -> (Vec<(&Segment<C>, u32)>, bool) {
        let mut parts = Vec::new();
        let mut at = place;
        while let Some(segment) = self.get(at.segment) {
            parts.push((&**segment, at.slot));
            at = segment.parts[at.slot as usize].previous;
        }
        parts.reverse();
        let evicted = at != Place::NONE;
        let mut at = match parts.last() {
            Some((segment, slot)) => segment.parts[*slot as usize].next.get(),
            None => Place::NONE,
        };
        // A part that began after the snapshot is not in it.
        while let Some(segment) = self.get(at.segment)
            && let Some(part) = segment.parts.get(at.slot as usize)
        {
            parts.push((segment, at.slot));
            at = part.next.get();
        }
        (parts, evicted)
    }
}
