//! Finds the records of a segment that match a filter.

use std::{cmp::Reverse, collections::HashMap, ops::Range};

use foldhash::fast::RandomState;
use memchr::memmem::Finder;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;

use super::{
    fields::{Texts, any_text, any_value},
    filter::{Terms, Tests, all},
    segment::{Part, Row, Segment},
};
use crate::query::compare::{Attribute, Pattern, to_lowercase};

/// The columns of a signal, and what a search reads of its encoded records.
pub(super) trait Columns {
    /// The field of a record that has the attributes.
    const ATTRIBUTES: u32;

    /// The texts that a search for a text looks into.
    fn texts() -> &'static Texts;

    fn match_terms(&self, terms: &Terms) -> bool;

    /// Whether only errors match.
    fn need_errors(terms: &Terms) -> bool;
}

/// Takes the matches in one segment.
pub(super) trait Sink {
    /// Whether it is of use to look at a row.
    fn wants(&self, row: usize) -> bool;

    fn found(&mut self, row: usize);
}

impl Terms {
    /// Finds the matching records of a segment. Unpacks those that columns and resources do not decide.
    pub(super) fn search<C: Columns>(&self, segment: &Segment<C>, sink: &mut impl Sink) {
        if segment.errors == 0 && C::need_errors(self) {
            return;
        }
        let mut lower = Vec::new();
        let Some(mut local) = Local::new(self, segment, &mut lower) else {
            return;
        };
        // For each row that has to be unpacked, the attributes that its resource does not decide.
        let mut open = vec![None; segment.rows.len()];
        let mut unpack = false;
        // The last records are mostly the newest, and a full page makes the others too old.
        for (number, row) in segment.rows.iter().enumerate().rev() {
            if !row.columns.match_terms(self) || !local.match_row(row) || !sink.wants(number) {
                continue;
            }
            match local.undecided(row.origin.resource, &mut lower) {
                None => {}
                Some(0) if self.texts.is_empty() => sink.found(number),
                attributes => {
                    open[number] = attributes;
                    unpack = true;
                }
            }
        }
        if !unpack {
            return;
        }
        let mut unpacked = Unpacked::new(self);
        let mut reader = segment.reader();
        for (block, rows) in segment.blocks().rev() {
            let mut numbers = rows.clone();
            if !numbers.any(|row| open[row].is_some() && sink.wants(row)) {
                continue;
            }
            let bytes = reader.read(block.clone());
            unpacked.begin(bytes);
            for row in rows {
                let place = segment.place(row);
                let place =
                    (place.start - block.start) as usize..(place.end - block.start) as usize;
                if let Some(attributes) = open[row]
                    && sink.wants(row)
                    && unpacked.match_record::<C>(bytes, place, attributes)
                {
                    sink.found(row);
                }
            }
        }
    }
}

/// The terms on the bytes of records.
struct Unpacked<'a> {
    /// The attributes, and the text that a record needs for the attribute, if there is one.
    attributes: Vec<(bool, &'a Attribute, Option<Needle>)>,
    /// The texts, from the longest, which is mostly the rarest.
    texts: Vec<(bool, Needle)>,
    /// The bytes of the block in lower case.
    lower: Vec<u8>,
    buffer: Vec<u8>,
}

/// A text in a block. It is looked for in ascending order, so that it is found in all records together.
struct Needle {
    finder: Finder<'static>,
    /// Where it is next. `None` at the begin of a block.
    next: Option<usize>,
}

impl<'a> Unpacked<'a> {
    fn new(terms: &'a Terms) -> Self {
        let attributes = terms.attributes.iter().map(|(negated, attribute)| {
            let needle = attribute.needle().filter(|_| !negated);
            (*negated, attribute, needle.map(Needle::new))
        });
        let texts = terms.texts.iter();
        let mut texts: Vec<_> = texts
            .map(|(negated, finder)| (*negated, Needle::new(finder.clone())))
            .collect();
        texts.sort_by_key(|(_, needle)| Reverse(needle.finder.needle().len()));
        Self {
            attributes: attributes.collect(),
            texts,
            lower: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Begins with a block.
    fn begin(&mut self, block: &[u8]) {
        let attributes = self.attributes.iter_mut();
        let needles = attributes.filter_map(|(.., needle)| needle.as_mut());
        let (mut is_needed, mut is_ascii) = (false, true);
        for needle in needles.chain(self.texts.iter_mut().map(|(_, needle)| needle)) {
            needle.next = None;
            is_needed = true;
            is_ascii &= needle.finder.needle().is_ascii();
        }
        self.lower.clear();
        if is_needed {
            self.lower.extend_from_slice(block);
            to_lowercase(&mut self.lower, !is_ascii);
        }
    }

    /// Whether a record of the block matches the texts, and these attributes: one bit for each.
    fn match_record<C: Columns>(
        &mut self,
        block: &[u8],
        place: Range<usize>,
        undecided: u32,
    ) -> bool {
        let Self {
            attributes,
            texts,
            lower,
            buffer,
        } = self;
        let lower = lower.as_slice();
        let has = |needle: &mut Needle| needle.find(lower, place.start) < place.end;
        let is_undecided = |number: usize| undecided & 1 << number != 0;

        // Most records lack a text that they need, and what they contain is known for the whole block.
        for (number, (.., needle)) in attributes.iter_mut().enumerate() {
            if is_undecided(number)
                && let Some(needle) = needle
                && !has(needle)
            {
                return false;
            }
        }
        for (negated, needle) in texts.iter_mut() {
            if !*negated && !has(needle) {
                return false;
            }
        }

        let record = &block[place.clone()];
        for (number, (negated, attribute, _)) in attributes.iter().enumerate() {
            if !is_undecided(number) {
                continue;
            }
            let is_met = any_value(record, C::ATTRIBUTES, attribute.key(), |value| {
                attribute.matches(value, buffer)
            });
            if is_met == *negated {
                return false;
            }
        }
        for (negated, needle) in texts {
            // The bytes also have keys and more.
            let is_met = has(needle)
                && any_text(record, C::texts(), |text| {
                    let found = needle.find(lower, place.start + text.start);
                    let end = found.saturating_add(needle.finder.needle().len());
                    end <= place.start + text.end
                });
            if is_met == *negated {
                return false;
            }
        }
        true
    }
}

impl Needle {
    fn new(finder: Finder<'static>) -> Self {
        Self { finder, next: None }
    }

    /// The first place from `start` on, or the greatest number. `start` must not be less than before in this block.
    fn find(&mut self, lower: &[u8], start: usize) -> usize {
        match self.next {
            Some(next) if next >= start => next,
            _ => {
                let found = self.finder.find(&lower[start..]);
                let next = found.map_or(usize::MAX, |found| start + found);
                self.next = Some(next);
                next
            }
        }
    }
}

/// The terms in one segment.
struct Local<'a, C> {
    terms: &'a Terms,
    segment: &'a Segment<C>,
    /// For each name of the segment whether it matches as that of a service. `None` if all match.
    services: Option<Vec<bool>>,
    /// The same as the name of a record.
    names: Option<Vec<bool>>,
    /// For each trace of the segment whether it matches. `None` if all match.
    parts: Option<Vec<bool>>,
    /// Whether records without a trace match.
    traceless: bool,
    /// The attributes that no record of the segment has: one bit for each.
    absent: u32,
    /// The attributes that a resource does not decide. `None` if no record of the resource matches.
    resources: HashMap<u32, Option<u32>, RandomState>,
}

impl<'a, C> Local<'a, C> {
    /// `None` if nothing in the segment matches. `lower` is a buffer.
    fn new(terms: &'a Terms, segment: &'a Segment<C>, lower: &mut Vec<u8>) -> Option<Self> {
        let mut names = |tests: &Tests<Pattern>| {
            let matching: Vec<bool> = (0..segment.names.len())
                .map(|id| {
                    let name = segment.names.text(id);
                    all(tests, |pattern| pattern.matches(name, lower))
                })
                .collect();
            matching.contains(&true).then_some(matching)
        };
        let services = match terms.services.is_empty() {
            true => None,
            false => Some(names(&terms.services)?),
        };
        let names = match terms.names.is_empty() {
            true => None,
            false => Some(names(&terms.names)?),
        };
        let matches = |part: &Part| all(&terms.traces, |trace| part.trace == *trace);
        let attributes = terms.attributes.iter().enumerate();
        Some(Self {
            terms,
            segment,
            services,
            names,
            parts: (!terms.traces.is_empty()).then(|| segment.parts.iter().map(matches).collect()),
            traceless: all(&terms.traces, |_| false),
            absent: attributes
                .filter(|(_, (_, attribute))| {
                    segment.keys.find(attribute.key().as_bytes()).is_none()
                })
                .fold(0, |bits, (number, _)| bits | 1 << number),
            resources: HashMap::default(),
        })
    }

    /// Whether a row matches the terms on columns of all signals.
    fn match_row(&self, row: &Row<C>) -> bool {
        let matches = |names: &Option<Vec<bool>>, name: u32| {
            names.as_ref().is_none_or(|names| names[name as usize])
        };
        matches(&self.services, row.origin.service)
            && matches(&self.names, row.name)
            && self.parts.as_ref().is_none_or(|parts| {
                let part = parts.get(row.part as usize);
                part.copied().unwrap_or(self.traceless)
            })
    }

    /// The attributes that only a record of a resource decides: one bit for each. `None` if none matches. `lower` is
    /// a buffer.
    fn undecided(&mut self, resource: u32, lower: &mut Vec<u8>) -> Option<u32> {
        let Self {
            terms,
            segment,
            absent,
            ..
        } = self;
        if terms.attributes.is_empty() {
            return Some(0);
        }
        *self.resources.entry(resource).or_insert_with(|| {
            let message = ResourceSpans::decode(segment.messages.get(resource)).unwrap_or_default();
            let values = message.resource.unwrap_or_default().attributes;
            let mut terms = terms.attributes.iter().enumerate();
            terms.try_fold(0, |undecided, (number, (negated, attribute))| {
                let bit = 1 << number;
                match attribute.is_in(&values, lower) {
                    false if *absent & bit == 0 => Some(undecided | bit),
                    is_met => (is_met != *negated).then_some(undecided),
                }
            })
        })
    }
}
