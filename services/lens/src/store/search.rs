//! Finds the records of a segment that match a filter.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use memchr::memmem::Finder;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::ResourceSpans,
};
use prost::Message;

use super::{
    fields::values_of,
    filter::{Terms, Tests, all},
    segment::{Part, Row, Segment},
};
use crate::query::compare::{self, Pattern};

/// The columns of a signal, and how its records are decoded.
pub(super) trait Columns {
    type Message: Message + Default;

    /// The field of a record that has the attributes.
    const ATTRIBUTES: u32;

    fn match_terms(&self, terms: &Terms) -> bool;

    /// Whether only errors match.
    fn need_errors(terms: &Terms) -> bool;

    /// Whether one of the texts that a search looks into passes a test.
    fn any_text(message: &Self::Message, test: &mut dyn FnMut(&str) -> bool) -> bool;
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
        let mut open = vec![false; segment.rows.len()];
        let mut unpack = false;
        // The attributes that no resource of an open record decides.
        let mut undecided = u32::MAX;
        // The last records are mostly the newest, and a full page makes the others too old.
        for (number, row) in segment.rows.iter().enumerate().rev() {
            if !row.columns.match_terms(self) || !local.match_row(row) || !sink.wants(number) {
                continue;
            }
            match local.undecided(row.origin.resource, &mut lower) {
                None => {}
                Some(0) if self.texts.is_empty() => sink.found(number),
                Some(attributes) => {
                    open[number] = true;
                    unpack = true;
                    undecided &= attributes;
                }
            }
        }
        if !unpack {
            return;
        }
        segment.search(
            self.needle(undecided).as_ref(),
            |number| open[number],
            |number, bytes| {
                let resource = segment.rows[number].origin.resource;
                if sink.wants(number)
                    && let Some(attributes) = local.undecided(resource, &mut lower)
                    && self.match_attributes::<C>(attributes, bytes, &mut lower)
                    && self.match_texts::<C>(bytes, &mut lower)
                {
                    sink.found(number);
                }
            },
        );
    }

    /// A text that all matching records contain, if these attributes are not of their resources: one bit for each.
    /// It is the longest of them, which is mostly the rarest.
    fn needle(&self, attributes: u32) -> Option<Finder<'static>> {
        let texts = self.texts.iter().filter(|(negated, _)| !negated);
        let numbered = self.attributes.iter().enumerate();
        numbered
            .filter(|(number, (negated, _))| !negated && attributes & 1 << number != 0)
            .filter_map(|(_, (_, attribute))| attribute.needle())
            .chain(texts.map(|(_, text)| text.clone()))
            .max_by_key(|needle| needle.needle().len())
    }

    /// Whether a record matches the terms on these attributes: one bit for each.
    fn match_attributes<C: Columns>(
        &self,
        attributes: u32,
        bytes: &[u8],
        lower: &mut Vec<u8>,
    ) -> bool {
        let mut terms = self.attributes.iter().enumerate();
        terms.all(|(number, (negated, attribute))| {
            attributes & 1 << number == 0
                || values_of(bytes, C::ATTRIBUTES, attribute.key())
                    .any(|value| attribute.matches(&value, lower))
                    != *negated
        })
    }

    fn match_texts<C: Columns>(&self, bytes: &[u8], lower: &mut Vec<u8>) -> bool {
        let mut message = None;
        all(&self.texts, |wanted| {
            // The bytes also have keys and more.
            compare::contains(bytes, wanted, lower) && {
                let message =
                    message.get_or_insert_with(|| C::Message::decode(bytes).unwrap_or_default());
                C::any_text(message, &mut |text| {
                    compare::contains(text.as_bytes(), wanted, lower)
                })
            }
        })
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

pub(super) fn any_text_in(attributes: &[KeyValue], test: &mut dyn FnMut(&str) -> bool) -> bool {
    attributes
        .iter()
        .any(|attribute| any_text_of(attribute.value.as_ref(), test))
}

pub(super) fn any_text_of(value: Option<&AnyValue>, test: &mut dyn FnMut(&str) -> bool) -> bool {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => test(text),
        Some(Value::ArrayValue(array)) => {
            let mut values = array.values.iter();
            values.any(|value| any_text_of(Some(value), test))
        }
        Some(Value::KvlistValue(list)) => any_text_in(&list.values, test),
        _ => false,
    }
}
