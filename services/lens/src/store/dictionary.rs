//! Values of one segment that many of its records share.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// Distinct byte strings, numbered in the order in which they came.
#[derive(Clone, Debug, Default)]
pub(super) struct Dictionary {
    bytes: Vec<u8>,
    /// End of each value in `bytes`.
    ends: Vec<u32>,
    /// Numbers by value. Empty after [`Self::seal`].
    index: HashTable<u32>,
    hasher: RandomState,
}

impl Dictionary {
    /// The number of a value, which is added if it is new.
    pub(super) fn intern(&mut self, value: &[u8]) -> u32 {
        let Self {
            bytes,
            ends,
            index,
            hasher,
        } = self;
        let hash = hasher.hash_one(value);
        if let Some(id) = index.find(hash, |&id| get(bytes, ends, id) == value) {
            return *id;
        }
        let id = ends.len() as u32;
        bytes.extend_from_slice(value);
        ends.push(bytes.len() as u32);
        index.insert_unique(hash, id, |&id| hasher.hash_one(get(bytes, ends, id)));
        id
    }

    pub(super) fn get(&self, id: u32) -> &[u8] {
        get(&self.bytes, &self.ends, id)
    }

    /// A value that was a string when it was added.
    pub(super) fn text(&self, id: u32) -> &str {
        std::str::from_utf8(self.get(id)).unwrap_or_default()
    }

    pub(super) fn find(&self, value: &[u8]) -> Option<u32> {
        (0..self.len()).find(|&id| self.get(id) == value)
    }

    pub(super) fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Frees what only [`Self::intern`] needs.
    pub(super) fn seal(&mut self) {
        self.bytes.shrink_to_fit();
        self.ends.shrink_to_fit();
        self.index = HashTable::new();
    }

    /// Size of the allocations, in bytes.
    pub(super) fn size(&self) -> usize {
        self.bytes.capacity()
            + size_of::<u32>() * self.ends.capacity()
            + self.index.allocation_size()
    }
}

fn get<'a>(bytes: &'a [u8], ends: &[u32], id: u32) -> &'a [u8] {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &bytes[start as usize..ends[id] as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_number() {
        let mut dictionary = Dictionary::default();
        let ids: Vec<u32> = ["auth", "", "user", "auth", ""]
            .iter()
            .map(|value| dictionary.intern(value.as_bytes()))
            .collect();
        assert_eq!(ids, [0, 1, 2, 0, 1]);
        dictionary.seal();
        assert_eq!(dictionary.text(2), "user");
        assert_eq!(dictionary.find(b"user"), Some(2));
        assert_eq!(dictionary.find(b"use"), None);
    }
}
