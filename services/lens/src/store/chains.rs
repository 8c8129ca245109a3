//! Finds the segments that have something about a trace.
//!
//! An index holds the newest place for each trace. The entry at that place names the place before it, and so on. An
//! evicted segment thus needs no change to other segments: a chain that leads into it has lost something.

use std::{
    collections::VecDeque,
    hash::BuildHasher as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use foldhash::fast::RandomState;
use hashbrown::{HashTable, hash_table::Entry};

use crate::ids::TraceId;

/// Number of tables of an index. A table that grows is copied as a whole, so many small ones keep the pause and the
/// additional memory short.
const TABLES: usize = 64;

/// A place in a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    /// Number of the segment. Segments are numbered from 1.
    pub(super) segment: u32,
    pub(super) slot: u32,
}

impl Place {
    /// The end of a chain.
    pub(super) const NONE: Self = Self {
        segment: u32::MAX,
        slot: 0,
    };
    /// The end of a chain that had places in evicted segments.
    pub(super) const EVICTED: Self = Self {
        segment: 0,
        slot: 0,
    };
}

/// The next place of a chain. It is set when its own segment may already be sealed.
#[derive(Debug)]
pub(super) struct Next(AtomicU64);

impl Next {
    pub(super) fn get(&self) -> Place {
        let bits = self.0.load(Relaxed);
        Place {
            segment: (bits >> 32) as u32,
            slot: bits as u32,
        }
    }

    pub(super) fn set(&self, place: Place) {
        let bits = u64::from(place.segment) << 32 | u64::from(place.slot);
        self.0.store(bits, Relaxed);
    }
}

impl Default for Next {
    fn default() -> Self {
        let next = Self(AtomicU64::new(0));
        next.set(Place::NONE);
        next
    }
}

impl Clone for Next {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Relaxed)))
    }
}

/// The newest place for each trace.
#[derive(Debug)]
pub(super) struct Chains {
    tables: Vec<HashTable<(TraceId, Place)>>,
    hasher: RandomState,
    size: usize,
}

impl Chains {
    pub(super) fn new() -> Self {
        Self {
            tables: vec![HashTable::new(); TABLES],
            hasher: RandomState::default(),
            size: 0,
        }
    }

    pub(super) fn get(&self, trace: TraceId) -> Option<Place> {
        let (hash, table) = self.locate(trace);
        let (_, place) = self.tables[table].find(hash, |entry| entry.0 == trace)?;
        Some(*place)
    }

    /// Sets the newest place for a trace and returns the one before.
    pub(super) fn insert(&mut self, trace: TraceId, place: Place) -> Option<Place> {
        let (hash, table) = self.locate(trace);
        let Self {
            tables,
            hasher,
            size,
        } = self;
        let table = &mut tables[table];
        let before = table.allocation_size();
        let entry = table.entry(
            hash,
            |entry| entry.0 == trace,
            |entry| hasher.hash_one(entry.0),
        );
        let previous = match entry {
            Entry::Occupied(mut entry) => Some(std::mem::replace(&mut entry.get_mut().1, place)),
            Entry::Vacant(entry) => {
                entry.insert((trace, place));
                None
            }
        };
        // The table may have grown in both cases.
        *size = *size + table.allocation_size() - before;
        previous
    }

    /// Removes a trace whose newest place is in a segment that leaves. Returns whether it was removed.
    pub(super) fn remove(&mut self, trace: TraceId, segment: u32) -> bool {
        let (hash, table) = self.locate(trace);
        self.tables[table]
            .find_entry(hash, |(id, place)| *id == trace && place.segment == segment)
            .map(|entry| entry.remove())
            .is_ok()
    }

    /// Size of the allocations, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(HashTable::len).sum()
    }

    fn locate(&self, trace: TraceId) -> (u64, usize) {
        let hash = self.hasher.hash_one(trace);
        // The tables use the other bits.
        (hash, (hash >> 40) as usize % TABLES)
    }
}

/// Traces that have left altogether. If one of them comes again, its spans are not all it had. Remembers a limited
/// number of traces and forgets the oldest.
#[derive(Debug)]
pub(super) struct Gone {
    /// Hashes of the ids, oldest first.
    order: VecDeque<u64>,
    known: HashTable<u64>,
    capacity: usize,
    hasher: RandomState,
}

impl Gone {
    /// Remembers traces in up to `size` bytes.
    pub(super) fn new(size: usize) -> Self {
        // A hash is in the queue, which may have twice the capacity it needs. It is also in the table, with a control
        // byte, and the table grows to nearly five times its entries because removals leave marks in it.
        const EACH: usize = 2 * size_of::<u64>() + 5 * (size_of::<u64>() + 1);
        Self {
            order: VecDeque::new(),
            known: HashTable::new(),
            capacity: size / EACH,
            hasher: RandomState::default(),
        }
    }

    pub(super) fn insert(&mut self, trace: TraceId) {
        let hash = self.hasher.hash_one(trace);
        let Entry::Vacant(entry) = self
            .known
            .entry(hash, |&known| known == hash, |&known| known)
        else {
            return;
        };
        entry.insert(hash);
        self.order.push_back(hash);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
            && let Ok(entry) = self.known.find_entry(oldest, |&known| known == oldest)
        {
            entry.remove();
        }
    }

    pub(super) fn contains(&self, trace: TraceId) -> bool {
        let hash = self.hasher.hash_one(trace);
        self.known.find(hash, |&known| known == hash).is_some()
    }

    /// Size of the allocations, in bytes.
    pub(super) fn size(&self) -> usize {
        size_of::<u64>() * self.order.capacity() + self.known.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> TraceId {
        let mut bytes = [1; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        TraceId::from_bytes(&bytes).unwrap()
    }

    fn place(segment: u32) -> Place {
        Place { segment, slot: 7 }
    }

    #[test]
    fn an_index_has_the_newest_place() {
        let mut chains = Chains::new();
        for number in 0..1000 {
            assert_eq!(chains.insert(id(number), place(1)), None);
        }
        assert_eq!(chains.insert(id(5), place(2)), Some(place(1)));
        assert_eq!(chains.get(id(5)), Some(place(2)));
        assert!(!chains.remove(id(5), 1));
        assert!(chains.remove(id(6), 1));
        assert_eq!(chains.get(id(6)), None);
        let size: usize = chains.tables.iter().map(HashTable::allocation_size).sum();
        assert_eq!(chains.size(), size);
    }

    #[test]
    fn a_limited_number_of_traces_is_remembered() {
        let size = 16 * 1024;
        let mut gone = Gone::new(size);
        for number in 0..10_000 {
            gone.insert(id(number));
            assert!(gone.size() <= size, "{} after {number}", gone.size());
        }
        assert!(gone.contains(id(9999)));
        assert!(gone.contains(id(9800)));
        assert!(!gone.contains(id(0)));
    }
}
