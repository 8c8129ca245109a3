//! Compares what records have with the values of terms.

use std::cmp::Ordering;

use memchr::memmem::Finder;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

use super::{Level, Operator};

/// The text of a term.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    text: String,
    /// The text in lower case, to be found as a part. `None` if texts have to be equal.
    part: Option<Finder<'static>>,
}

/// A value of an attribute that has no elements.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Bool(bool),
    Int(i64),
    Double(f64),
}

/// The attribute of a term.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    key: String,
    operator: Operator,
    pattern: Pattern,
    integer: Option<i64>,
    number: Option<f64>,
    truth: Option<bool>,
}

impl Operator {
    /// Whether a value that compares like this to the value of a term is what the term asks for.
    pub(crate) fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            // Only texts contain others.
            Self::Contains => false,
        }
    }
}

impl Level {
    /// The level of a severity number. `None` if it is not from 1 to 24.
    pub fn of_severity(severity: u8) -> Option<Self> {
        Some(match severity {
            1..=4 => Self::Trace,
            5..=8 => Self::Debug,
            9..=12 => Self::Info,
            13..=16 => Self::Warn,
            17..=20 => Self::Error,
            21..=24 => Self::Fatal,
            _ => return None,
        })
    }
}

impl Pattern {
    pub(crate) fn new(operator: Operator, text: &str) -> Self {
        Self {
            text: text.to_owned(),
            part: (operator == Operator::Contains).then(|| finder(text)),
        }
    }

    /// `lower` is a buffer.
    pub(crate) fn matches(&self, text: &str, lower: &mut Vec<u8>) -> bool {
        match &self.part {
            Some(part) => contains(text.as_bytes(), part, lower),
            None => self.text == text,
        }
    }
}

impl Attribute {
    pub(crate) fn new(key: &str, operator: Operator, text: &str) -> Self {
        Self {
            key: key.to_owned(),
            operator,
            pattern: Pattern::new(operator, text),
            integer: text.parse().ok().or_else(|| whole(text)),
            number: text.parse().ok(),
            truth: text.parse().ok(),
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Whether one of the attributes is what the term asks for. `lower` is a buffer.
    pub(crate) fn is_in(&self, attributes: &[KeyValue], lower: &mut Vec<u8>) -> bool {
        attributes
            .iter()
            .filter(|attribute| attribute.key == self.key)
            .filter_map(|attribute| attribute.value.as_ref())
            .any(|value| self.is_met_by(value, lower))
    }

    fn is_met_by(&self, value: &AnyValue, lower: &mut Vec<u8>) -> bool {
        let scalar = match &value.value {
            Some(Value::ArrayValue(array)) => {
                let mut values = array.values.iter();
                return values.any(|value| self.is_met_by(value, lower));
            }
            Some(Value::StringValue(value)) => Scalar::Text(value),
            Some(Value::BoolValue(value)) => Scalar::Bool(*value),
            Some(Value::IntValue(value)) => Scalar::Int(*value),
            Some(Value::DoubleValue(value)) => Scalar::Double(*value),
            _ => return false,
        };
        self.matches(scalar, lower)
    }

    /// Whether a value is what the term asks for. `lower` is a buffer.
    pub(crate) fn matches(&self, value: Scalar<'_>, lower: &mut Vec<u8>) -> bool {
        match (self.operator, value) {
            (Operator::Equal | Operator::Contains, Scalar::Text(value)) => {
                self.pattern.matches(value, lower)
            }
            (Operator::Equal, Scalar::Bool(value)) => self.truth == Some(value),
            (Operator::Equal, Scalar::Int(value)) => self.integer == Some(value),
            (Operator::Equal, Scalar::Double(value)) => self.number == Some(value),
            (Operator::Contains, Scalar::Bool(value)) => {
                self.pattern.matches(&value.to_string(), lower)
            }
            (Operator::Contains, Scalar::Int(value)) => {
                self.pattern.matches(&value.to_string(), lower)
            }
            (Operator::Contains, Scalar::Double(value)) => {
                self.pattern.matches(&value.to_string(), lower)
            }
            (operator, value) => {
                let ordering = self.compare(value);
                ordering.is_some_and(|ordering| operator.holds(ordering))
            }
        }
    }

    /// Compares a number with that of the term. `None` if one of them is none.
    fn compare(&self, value: Scalar<'_>) -> Option<Ordering> {
        let number = match value {
            Scalar::Int(value) => match self.integer {
                Some(integer) => return Some(value.cmp(&integer)),
                None => value as f64,
            },
            Scalar::Double(value) => value,
            Scalar::Text(value) => value.parse().ok().filter(|value: &f64| value.is_finite())?,
            Scalar::Bool(_) => return None,
        };
        number.partial_cmp(&self.number?)
    }

    /// What the encoding of a record contains, in lower case, if the record has the attribute. `None` if that is not
    /// known: numbers and truth values are not encoded as text.
    pub(crate) fn needle(&self) -> Option<Finder<'static>> {
        let text = self.pattern.text.as_str();
        let as_text = match self.operator {
            Operator::Equal => text.is_empty() || self.number.is_some() || self.truth.is_some(),
            Operator::Contains => {
                let lower = text.to_ascii_lowercase();
                let mut names = ["true", "false", "nan", "-inf"].into_iter();
                lower
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-'))
                    || names.any(|name| name.contains(&lower))
            }
            _ => true,
        };
        (!as_text).then(|| finder(text))
    }
}

/// The integer that a text such as `404.0` or `1e3` stands for.
fn whole(text: &str) -> Option<i64> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let number: f64 = text.parse().ok()?;
    (number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number)).then_some(number as i64)
}

/// Finds a text in texts in lower case.
pub(crate) fn finder(text: &str) -> Finder<'static> {
    let mut lower = text.as_bytes().to_vec();
    to_lowercase(&mut lower, !text.is_ascii());
    Finder::new(&lower).into_owned()
}

/// Whether a text contains another. Letters match in both cases. `lower` is a buffer.
pub(crate) fn contains(text: &[u8], part: &Finder<'_>, lower: &mut Vec<u8>) -> bool {
    lower.clear();
    lower.extend_from_slice(text);
    to_lowercase(lower, !part.needle().is_ascii());
    part.find(lower).is_some()
}

/// Changes the texts in encoded records to lower case, in place: also letters outside ASCII if `all`, which takes much
/// longer. A letter whose lower case has another length in UTF-8 stays as it is. There are hardly any.
pub(crate) fn to_lowercase(bytes: &mut [u8], all: bool) {
    bytes.make_ascii_lowercase();
    if !all {
        return;
    }
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let length = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        let letter = bytes.get_mut(at..at + length).filter(|_| length > 1);
        let is_letter = letter.is_some_and(letter_to_lowercase);
        // After a byte that begins no character, the next byte may begin one.
        at += if is_letter { length } else { 1 };
    }
}

/// Returns whether the bytes are one character.
fn letter_to_lowercase(bytes: &mut [u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let Some(letter) = text.chars().next() else {
        return false;
    };
    let mut lower = letter.to_lowercase();
    if let (Some(lower), None) = (lower.next(), lower.next())
        && lower.len_utf8() == bytes.len()
    {
        lower.encode_utf8(bytes);
    }
    true
}
