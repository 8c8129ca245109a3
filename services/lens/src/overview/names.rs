//! Numbers for names.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Numbers for the names of spans, up to a limit.
///
/// A segment has each name once, so its address is enough to know it again. That spares hashing long names.
#[derive(Debug)]
pub(super) struct Names<'a> {
    places: HashMap<(usize, usize), Option<usize>, RandomState>,
    numbers: HashMap<&'a str, usize, RandomState>,
    names: Vec<&'a str>,
    limit: usize,
}

impl<'a> Names<'a> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            places: HashMap::default(),
            numbers: HashMap::default(),
            names: Vec::new(),
            limit,
        }
    }

    /// The number of a name. `None` for a new one at the limit.
    pub(super) fn number(&mut self, name: &'a str) -> Option<usize> {
        let place = (name.as_ptr().addr(), name.len());
        if let Some(&known) = self.places.get(&place) {
            return known;
        }
        let mut number = self.numbers.get(name).copied();
        if number.is_none() && self.names.len() < self.limit {
            number = Some(self.names.len());
            self.numbers.insert(name, self.names.len());
            self.names.push(name);
        }
        self.places.insert(place, number);
        number
    }

    /// The names by their numbers.
    pub(super) fn all(&self) -> &[&'a str] {
        &self.names
    }
}
