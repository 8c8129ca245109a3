//! What lists leave out.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use memchr::memmem::Finder;
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::ResourceSpans,
};
use prost::Message as _;

use super::{ids::TraceId, segment::Segment};

/// Selects traces. A trace matches if one of its spans meets all conditions on spans.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TraceFilter {
    /// Name of the span's service.
    pub service: Option<String>,
    /// A part of the span's name. ASCII letters match in both cases.
    pub name: Option<String>,
    /// Only spans with an error.
    pub error: bool,
    /// Minimum duration of the span, in nanoseconds.
    pub min_duration: Option<u64>,
    /// Maximum duration of the span, in nanoseconds.
    pub max_duration: Option<u64>,
    /// Keys and values that attributes of the span or its resource have, as text. At most 64.
    pub attributes: Vec<(String, String)>,
    /// A part of a text in the span: its name, an attribute, an event or the status. ASCII letters match in both
    /// cases.
    pub text: Option<String>,
    /// Minimum duration of the trace, in nanoseconds.
    pub min_trace_duration: Option<u64>,
    /// Maximum duration of the trace, in nanoseconds.
    pub max_trace_duration: Option<u64>,
}

/// Selects log records that meet all conditions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LogFilter {
    /// Name of the service.
    pub service: Option<String>,
    /// Minimum severity number, 1 to 24.
    pub min_severity: Option<u8>,
    /// The trace.
    pub trace: Option<TraceId>,
    /// Keys and values that attributes of the log record or its resource have, as text. At most 64.
    pub attributes: Vec<(String, String)>,
    /// A part of a text in the log record: its body, an attribute, the name of the event or the severity. ASCII
    /// letters match in both cases.
    pub text: Option<String>,
}

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

/// The attributes of a filter in one segment.
pub(super) struct Attributes<'a> {
    wanted: &'a [(String, String)],
    /// The attributes whose key no record of the segment has: one bit for each.
    absent: u64,
    /// The attributes that a resource does not have: one bit for each.
    missing: HashMap<u32, u64, RandomState>,
}

/// What the columns of a record say about a filter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Match,
    NoMatch,
    /// The record has to be unpacked.
    Open,
}

impl<'a> Attributes<'a> {
    pub(super) fn new<C>(wanted: &'a [(String, String)], segment: &Segment<C>) -> Self {
        let wanted = &wanted[..wanted.len().min(64)];
        let absent = bits(wanted, |(key, _)| {
            segment.keys.find(key.as_bytes()).is_none()
        });
        Self {
            wanted,
            absent,
            missing: HashMap::default(),
        }
    }

    /// The attributes that records of a resource need to have themselves: one bit for each.
    fn missing<C>(&mut self, segment: &Segment<C>, resource: u32) -> u64 {
        let wanted = self.wanted;
        *self.missing.entry(resource).or_insert_with(|| {
            let message = ResourceSpans::decode(segment.messages.get(resource)).unwrap_or_default();
            let attributes = message.resource.unwrap_or_default().attributes;
            bits(wanted, |pair| !has(&attributes, pair))
        })
    }

    pub(super) fn verdict<C>(&mut self, segment: &Segment<C>, resource: u32) -> Verdict {
        if self.wanted.is_empty() {
            return Verdict::Match;
        }
        match self.missing(segment, resource) {
            0 => Verdict::Match,
            missing if missing & self.absent != 0 => Verdict::NoMatch,
            _ => Verdict::Open,
        }
    }

    /// Whether a record has the attributes that its resource has not. Asks for its attributes only if need be.
    pub(super) fn test<C>(
        &mut self,
        segment: &Segment<C>,
        resource: u32,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> bool {
        if self.wanted.is_empty() {
            return true;
        }
        let missing = self.missing(segment, resource);
        if missing == 0 {
            return true;
        }
        let attributes = attributes();
        missing & bits(self.wanted, |pair| !has(&attributes, pair)) == 0
    }
}

/// Bytes that records contain if they match: for [`Segment::search`].
pub(super) fn needle(
    text: Option<&Text>,
    attributes: &[(String, String)],
) -> Option<Finder<'static>> {
    if let Some(text) = text {
        return Some(text.finder.clone());
    }
    match attributes {
        // Numbers and truth values are not encoded as text. With more attributes, a resource may have one of them.
        [(_, value)]
            if !value.is_empty()
                && value.parse::<f64>().is_err()
                && value.parse::<bool>().is_err() =>
        {
            Some(Finder::new(&value.to_ascii_lowercase()).into_owned())
        }
        _ => None,
    }
}

/// A text to find. ASCII letters match in both cases.
pub(super) struct Text {
    finder: Finder<'static>,
    /// The text to look into, in lower case.
    lower: Vec<u8>,
}

impl Text {
    /// `None` if there is nothing to find.
    pub(super) fn new(text: Option<&str>) -> Option<Self> {
        let text = text.filter(|text| !text.is_empty())?;
        Some(Self {
            finder: Finder::new(&text.to_ascii_lowercase()).into_owned(),
            lower: Vec::new(),
        })
    }

    pub(super) fn is_in(&mut self, text: &str) -> bool {
        self.lower.clear();
        self.lower.extend_from_slice(text.as_bytes());
        self.lower.make_ascii_lowercase();
        self.finder.find(&self.lower).is_some()
    }

    pub(super) fn is_in_attributes(&mut self, attributes: &[KeyValue]) -> bool {
        attributes
            .iter()
            .any(|attribute| self.is_in_value(attribute.value.as_ref()))
    }

    pub(super) fn is_in_value(&mut self, value: Option<&AnyValue>) -> bool {
        match value.and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => self.is_in(text),
            Some(Value::ArrayValue(array)) => array
                .values
                .iter()
                .any(|value| self.is_in_value(Some(value))),
            Some(Value::KvlistValue(list)) => self.is_in_attributes(&list.values),
            _ => false,
        }
    }
}

fn has(attributes: &[KeyValue], (key, text): &(String, String)) -> bool {
    attributes.iter().any(|attribute| {
        attribute.key == *key
            && attribute
                .value
                .as_ref()
                .is_some_and(|value| is(value, text))
    })
}

/// Whether a value, or one in an array, is what a text says.
fn is(value: &AnyValue, text: &str) -> bool {
    match &value.value {
        Some(Value::StringValue(value)) => value == text,
        Some(Value::BoolValue(value)) => text.parse() == Ok(*value),
        Some(Value::IntValue(value)) => text.parse() == Ok(*value),
        Some(Value::DoubleValue(value)) => text.parse() == Ok(*value),
        Some(Value::ArrayValue(array)) => array.values.iter().any(|value| is(value, text)),
        _ => false,
    }
}

fn bits<T>(items: &[T], test: impl Fn(&T) -> bool) -> u64 {
    items.iter().enumerate().fold(0, |bits, (number, item)| {
        bits | u64::from(test(item)) << number
    })
}
