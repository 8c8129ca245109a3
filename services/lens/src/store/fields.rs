//! Reads single fields of encoded messages, because decoding whole records takes most of the time of a search.

use std::ops::Range;

use crate::query::compare::Scalar;

/// The fields of `KeyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;

/// How the field of a key begins in a message: its number and its type.
const FIRST_KEY: u8 = 1 << 3 | 2;

/// The field of `ArrayValue`.
const ELEMENTS: u32 = 1;

/// Maximum depth of nested values. Decoders of OTLP accept fewer.
const DEPTH: usize = 100;

/// What the fields of a message have that a search for a text looks into.
#[derive(Debug)]
pub(super) struct Texts(&'static [(u32, Holds)]);

#[derive(Debug)]
enum Holds {
    Text,
    Message(&'static Texts),
}

static ANY_VALUE: Texts = Texts(&[
    (1, Holds::Text),
    (5, Holds::Message(&ARRAY_VALUE)),
    (6, Holds::Message(&KEY_VALUE_LIST)),
]);
static ARRAY_VALUE: Texts = Texts(&[(ELEMENTS, Holds::Message(&ANY_VALUE))]);
static KEY_VALUE_LIST: Texts = Texts(&[(1, Holds::Message(&KEY_VALUE))]);
// Keys are no text.
static KEY_VALUE: Texts = Texts(&[(VALUE, Holds::Message(&ANY_VALUE))]);
static EVENT: Texts = Texts(&[(2, Holds::Text), (3, Holds::Message(&KEY_VALUE))]);
static STATUS: Texts = Texts(&[(2, Holds::Text)]);

/// The name, the attributes, the events and the message of the status.
pub(super) static SPAN: Texts = Texts(&[
    (5, Holds::Text),
    (9, Holds::Message(&KEY_VALUE)),
    (11, Holds::Message(&EVENT)),
    (15, Holds::Message(&STATUS)),
]);

/// The text of the severity, the body, the attributes and the name of the event.
pub(super) static LOG_RECORD: Texts = Texts(&[
    (3, Holds::Text),
    (5, Holds::Message(&ANY_VALUE)),
    (6, Holds::Message(&KEY_VALUE)),
    (12, Holds::Text),
]);

/// The fields of an encoded message, up to a field that is not valid.
struct Fields<'a> {
    bytes: &'a [u8],
    /// Place of the next field in `bytes`.
    next: usize,
}

enum Field<'a> {
    /// A number, or the bits of one.
    Number(u64),
    /// A string, bytes or a message, and its place.
    Bytes(&'a [u8], Range<usize>),
}

impl<'a> Fields<'a> {
    fn new(message: &'a [u8]) -> Self {
        Self {
            bytes: message,
            next: 0,
        }
    }

    #[inline]
    fn varint(&mut self) -> Option<u64> {
        // Most numbers have one byte.
        let first = *self.bytes.get(self.next)?;
        if first < 0x80 {
            self.next += 1;
            return Some(first.into());
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.bytes.get(self.next)?;
            self.next += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = *self.bytes.get(self.next..)?.first_chunk()?;
        self.next += N;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u32, Field<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let field = match key & 7 {
            0 => Field::Number(self.varint()?),
            1 => Field::Number(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                let place = self.next..self.next.checked_add(len)?;
                self.next = place.end;
                Field::Bytes(self.bytes.get(place.clone())?, place)
            }
            5 => Field::Number(u32::from_le_bytes(self.fixed()?).into()),
            _ => return None,
        };
        Some((u32::try_from(key >> 3).ok()?, field))
    }
}

/// The bytes of a message's fields with a tag, which are strings or messages.
fn fields(message: &[u8], tag: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).filter_map(move |(number, field)| match field {
        Field::Bytes(bytes, _) if number == tag => Some(bytes),
        _ => None,
    })
}

/// The keys and the encoded values of attributes, which are the field `tag` of a record.
pub(super) fn pairs(record: &[u8], tag: u32) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields(record, tag).map(|pair| {
        let key = fields(pair, KEY).next().unwrap_or_default();
        (key, fields(pair, VALUE).next().unwrap_or_default())
    })
}

/// Whether a value of an attribute passes a test. Attributes are the field `tag` of a record. An array has the values
/// of its elements.
pub(super) fn any_value<'a>(
    record: &'a [u8],
    tag: u32,
    key: &str,
    mut test: impl FnMut(Scalar<'a>) -> bool,
) -> bool {
    fields(record, tag)
        .filter(|pair| has_key(pair, key))
        .filter_map(|pair| fields(pair, VALUE).next())
        .any(|value| any_scalar(value, DEPTH, &mut test))
}

/// Whether an attribute has a key.
fn has_key(pair: &[u8], key: &str) -> bool {
    match pair {
        // The key is mostly first, and is mostly short.
        [FIRST_KEY, len @ 0..0x80, rest @ ..] => {
            usize::from(*len) == key.len() && rest.starts_with(key.as_bytes())
        }
        _ => fields(pair, KEY).next().unwrap_or_default() == key.as_bytes(),
    }
}

fn any_scalar<'a>(
    value: &'a [u8],
    depth: usize,
    test: &mut impl FnMut(Scalar<'a>) -> bool,
) -> bool {
    Fields::new(value).any(|(number, field)| match (number, field) {
        (1, Field::Bytes(text, _)) => {
            std::str::from_utf8(text).is_ok_and(|text| test(Scalar::Text(text)))
        }
        (2, Field::Number(truth)) => test(Scalar::Bool(truth != 0)),
        (3, Field::Number(number)) => test(Scalar::Int(number.cast_signed())),
        (4, Field::Number(bits)) => test(Scalar::Double(f64::from_bits(bits))),
        (5, Field::Bytes(array, _)) => {
            depth > 0 && fields(array, ELEMENTS).any(|value| any_scalar(value, depth - 1, test))
        }
        _ => false,
    })
}

/// Whether the place of a text in a record passes a test. The places are in ascending order.
pub(super) fn any_text(
    record: &[u8],
    texts: &'static Texts,
    mut test: impl FnMut(Range<usize>) -> bool,
) -> bool {
    any_text_in(record, 0, texts, DEPTH, &mut test)
}

/// `start` is the place of the message.
fn any_text_in(
    message: &[u8],
    start: usize,
    texts: &'static Texts,
    depth: usize,
    test: &mut impl FnMut(Range<usize>) -> bool,
) -> bool {
    Fields::new(message).any(|(number, field)| {
        let Field::Bytes(bytes, place) = field else {
            return false;
        };
        match texts.0.iter().find(|(wanted, _)| *wanted == number) {
            None => false,
            Some((_, Holds::Text)) => test(start + place.start..start + place.end),
            Some((_, Holds::Message(texts))) => {
                depth > 0 && any_text_in(bytes, start + place.start, texts, depth - 1, test)
            }
        }
    })
}
