//! Finds the records that match the terms of a filter.

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
    ids::TraceId,
    segment::{Part, Row, Segment},
};
use crate::query::{
    Condition, Level, Operator, Term,
    compare::{self, Attribute, Pattern},
};

/// A part of a list, newest first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page<C> {
    /// Maximum number of rows.
    pub limit: usize,
    /// The [`List::next`] of the page before.
    pub before: Option<C>,
}

/// The rows of a page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct List<T, C> {
    /// The rows, newest first.
    pub rows: Vec<T>,
    /// Where the next page begins. `None` if there are no more rows.
    pub next: Option<C>,
}

/// The terms of a filter, by what they read.
#[derive(Default)]
pub(super) struct Terms {
    services: Tests<Pattern>,
    names: Tests<Pattern>,
    traces: Tests<TraceId>,
    kinds: Codes,
    statuses: Codes,
    severities: Codes,
    durations: Tests<(Operator, u64)>,
    trace_durations: Tests<(Operator, u64)>,
    /// At most 32, because a filter has no more terms.
    attributes: Tests<Attribute>,
    texts: Tests<Finder<'static>>,
    /// Whether there are terms on records.
    any: bool,
}

/// Tests that all have to pass, and whether each is negated.
type Tests<T> = Vec<(bool, T)>;

/// A set of numbers below 32.
#[derive(Clone, Copy)]
struct Codes(u32);

/// The columns of a signal, and how its records are decoded.
pub(super) trait Columns {
    type Message: Message + Default;

    /// The field of a record that has the attributes.
    const ATTRIBUTES: u32;

    fn match_terms(&self, terms: &Terms) -> bool;

    /// Whether no record matches without an error.
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
    pub(super) fn new(terms: &[Term]) -> Self {
        let mut all = Self::default();
        for Term { negated, condition } in terms {
            all.add(*negated, condition);
        }
        all
    }

    fn add(&mut self, negated: bool, condition: &Condition) {
        self.any |= !matches!(condition, Condition::TraceDuration(..));
        match condition {
            Condition::Service(operator, text) => {
                self.services.push((negated, Pattern::new(*operator, text)));
            }
            Condition::Name(operator, text) => {
                self.names.push((negated, Pattern::new(*operator, text)));
            }
            Condition::Kind(kind) => {
                let kind = kind.code();
                self.kinds.keep(negated, |code| code == kind);
            }
            Condition::Status(status) => {
                let status = status.code();
                self.statuses.keep(negated, |code| code == status);
            }
            Condition::Duration(operator, nanos) => {
                self.durations.push((negated, (*operator, *nanos)));
            }
            Condition::TraceDuration(operator, nanos) => {
                self.trace_durations.push((negated, (*operator, *nanos)));
            }
            Condition::Trace(trace) => self.traces.push((negated, *trace)),
            Condition::Level(operator, limit) => self.severities.keep(negated, |severity| {
                let level = Level::of_severity(severity);
                level.is_some_and(|level| operator.holds(level.cmp(limit)))
            }),
            Condition::Text(text) => self.texts.push((negated, compare::finder(text))),
            Condition::Attribute(key, operator, text) => {
                let attribute = Attribute::new(key, *operator, text);
                self.attributes.push((negated, attribute));
            }
        }
    }

    /// Whether there are no terms on records.
    pub(super) fn match_all(&self) -> bool {
        !self.any
    }

    /// A trace that all matches are of.
    pub(super) fn trace(&self) -> Option<TraceId> {
        let wanted = self.traces.iter().find(|(negated, _)| !negated);
        wanted.map(|(_, trace)| *trace)
    }

    pub(super) fn match_kind(&self, kind: u8) -> bool {
        self.kinds.has(kind)
    }

    pub(super) fn match_status(&self, status: u8) -> bool {
        self.statuses.has(status)
    }

    pub(super) fn match_severity(&self, severity: u8) -> bool {
        self.severities.has(severity)
    }

    pub(super) fn match_duration(&self, nanos: u64) -> bool {
        all(&self.durations, |(operator, limit)| {
            operator.holds(nanos.cmp(limit))
        })
    }

    pub(super) fn match_trace_duration(&self, nanos: u64) -> bool {
        all(&self.trace_durations, |(operator, limit)| {
            operator.holds(nanos.cmp(limit))
        })
    }

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

    /// What all records contain that have these attributes and match. It is the longest, which is mostly the rarest.
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

    /// The attributes that records of a resource decide: one bit for each. `None` if none of them matches. `lower` is
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

impl Codes {
    /// Keeps the codes that a term holds for. Larger codes are as 0.
    fn keep(&mut self, negated: bool, holds: impl Fn(u8) -> bool) {
        for code in (0..32).filter(|code| holds(*code) == negated) {
            self.0 &= !(1 << code);
        }
    }

    fn has(self, code: u8) -> bool {
        self.0 >> code & 1 != 0
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

fn all<T>(tests: &Tests<T>, mut is_met: impl FnMut(&T) -> bool) -> bool {
    tests.iter().all(|(negated, test)| is_met(test) != *negated)
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
