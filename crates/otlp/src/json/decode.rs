//! From JSON to protobuf bytes.

use std::{borrow::Cow, fmt};

use base64::{
    Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::{
    Deserialize as _, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::json::{
    Error, number,
    table::{Field, Kind, Label, Number, Table},
};

const BASE64: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64_STANDARD: GeneralPurpose = GeneralPurpose::new(&STANDARD, BASE64);
const BASE64_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, BASE64);

/// The bytes that hold the length of a nested value. It is known only after the value, so its
/// varint has a fixed size: 35 bits.
const LENGTH: usize = 5;

/// Why JSON is refused that nests too deep. `serde_json` has the limit.
const TOO_DEEP: &str = "objects and arrays nest deeper than 127 levels, which is more than 29 levels of kvlistValue in an attribute,";

/// Steps of a path in an error, from its start and from its end. More are left out.
const STEPS: (usize, usize) = (10, 4);

/// Values longer than this are not repeated in errors.
const LONGEST_QUOTE: usize = 40;

/// Converts the JSON form of a message to its protobuf form.
pub(crate) fn wire(table: &'static Table, json: &[u8]) -> Result<Vec<u8>, Error> {
    let mut context = Context::default();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let message = Object {
        table,
        context: &mut context,
    };
    message
        .deserialize(&mut deserializer)
        .and_then(|state| state.required("an object"))
        .and_then(|()| deserializer.end())
        .map_err(|error| {
            let reason = error.to_string();
            Error {
                field: path(&context.path),
                reason: match reason.strip_prefix("recursion limit exceeded") {
                    Some(place) => format!("{TOO_DEEP}{place}"),
                    None => reason,
                },
            }
        })?;
    Ok(context.out)
}

#[derive(Debug, Default)]
struct Context {
    out: Vec<u8>,
    /// Where the decoder is. After an error, the place of the error.
    path: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Field(&'static str),
    Element(usize),
}

/// Whether a value is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Null,
    Set,
}

impl State {
    fn required<E: serde::de::Error>(self, expected: &str) -> Result<(), E> {
        match self {
            Self::Null => Err(E::custom(format_args!("expected {expected}, found null"))),
            Self::Set => Ok(()),
        }
    }
}

impl Context {
    /// Appends a nested value with its length in front.
    fn nested<T, E>(
        &mut self,
        tag: u32,
        content: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        encode_key(tag, WireType::LengthDelimited, &mut self.out);
        let start = self.out.len() + LENGTH;
        self.out.resize(start, 0);
        let content = content(self)?;
        let mut length = self.out.len() - start;
        for byte in &mut self.out[start - LENGTH..start] {
            *byte = (length & 0x7f) as u8 | 0x80;
            length >>= 7;
        }
        self.out[start - 1] &= 0x7f;
        Ok(content)
    }

    fn bytes(&mut self, tag: u32, bytes: &[u8]) {
        encode_key(tag, WireType::LengthDelimited, &mut self.out);
        encode_varint(bytes.len() as u64, &mut self.out);
        self.out.extend_from_slice(bytes);
    }
}

/// A message.
struct Object<'a> {
    table: &'static Table,
    context: &'a mut Context,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = State;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<State, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = State;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<State, E> {
        Ok(State::Null)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<State, E> {
        Err(E::custom("expected an object, found a string"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<State, A::Error> {
        let mut seen = 0_u32;
        let mut oneof = None;
        while let Some(field) = map.next_key_seed(Name(self.table))? {
            let Some((index, field)) = field else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.context.path.push(Step::Field(field.name));
            let context = &mut *self.context;
            if map.next_value_seed(FieldValue { field, context })? == State::Set {
                if seen & (1 << index) != 0 {
                    return Err(A::Error::custom("the field is given twice"));
                }
                seen |= 1 << index;
                if field.label == Label::Oneof
                    && let Some(other) = oneof.replace(field.name)
                {
                    let reason = format_args!("cannot be given together with {other}");
                    return Err(A::Error::custom(reason));
                }
            }
            self.context.path.pop();
        }
        Ok(State::Set)
    }
}

/// The name of a field. `None` for an unknown field.
struct Name(&'static Table);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<(usize, &'static Field)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<(usize, &'static Field)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let mut fields = self.0.0.iter().enumerate();
        Ok(fields.find(|(_, field)| field.name == name))
    }
}

/// The value of a field.
struct FieldValue<'a> {
    field: &'static Field,
    context: &'a mut Context,
}

impl<'de> DeserializeSeed<'de> for FieldValue<'_> {
    type Value = State;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<State, D::Error> {
        if self.field.label == Label::Repeated {
            return deserializer.deserialize_any(Array(self));
        }
        let Self { field, context } = self;
        let value = Value {
            kind: field.kind,
            tag: Some(field.tag),
            context,
        };
        value.deserialize(deserializer)
    }
}

/// The value of a repeated field.
struct Array<'a>(FieldValue<'a>);

impl<'de> Visitor<'de> for Array<'_> {
    type Value = State;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<State, E> {
        Ok(State::Null)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<State, E> {
        Err(E::custom("expected an array, found a string"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<State, A::Error> {
        let FieldValue { field, context } = self.0;
        if field.kind.is_packed() {
            context.nested(field.tag, |context| {
                elements(seq, field.kind, None, context)
            })?;
        } else {
            elements(seq, field.kind, Some(field.tag), context)?;
        }
        Ok(State::Set)
    }
}

fn elements<'de, A: SeqAccess<'de>>(
    mut seq: A,
    kind: Kind,
    tag: Option<u32>,
    context: &mut Context,
) -> Result<(), A::Error> {
    for index in 0.. {
        context.path.push(Step::Element(index));
        let element = Value {
            kind,
            tag,
            context: &mut *context,
        };
        let Some(state) = seq.next_element_seed(element)? else {
            context.path.pop();
            break;
        };
        state.required(expected(kind))?;
        context.path.pop();
    }
    Ok(())
}

/// A single value, or an element of a repeated field.
struct Value<'a> {
    kind: Kind,
    /// `None` inside of packed values.
    tag: Option<u32>,
    context: &'a mut Context,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = State;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<State, D::Error> {
        let (kind, context) = (self.kind, self.context);
        match kind {
            Kind::Message(table) => {
                let start = context.out.len();
                let tag = self.tag.unwrap_or_default();
                let state = context.nested(tag, |context| {
                    Object { table, context }.deserialize(deserializer)
                })?;
                if state == State::Null {
                    context.out.truncate(start);
                }
                Ok(state)
            }
            Kind::Bool | Kind::Double | Kind::Number(_) => {
                // The text of the value, because serde_json would round numbers.
                let json = <&RawValue>::deserialize(deserializer)?.get();
                if json == "null" {
                    return Ok(State::Null);
                }
                if let Some(tag) = self.tag {
                    encode_key(tag, kind.wire_type(), &mut context.out);
                }
                match kind {
                    Kind::Number(number) => whole(number, json, &mut context.out),
                    Kind::Double => double(json, &mut context.out),
                    _ => boolean(json, &mut context.out),
                }
                .map_err(D::Error::custom)?;
                Ok(State::Set)
            }
            Kind::String | Kind::Id | Kind::Bytes => {
                let tag = self.tag.unwrap_or_default();
                deserializer.deserialize_any(Text { kind, tag, context })
            }
        }
    }
}

/// A value that JSON writes as a string.
struct Text<'a> {
    kind: Kind,
    tag: u32,
    context: &'a mut Context,
}

impl Visitor<'_> for Text<'_> {
    type Value = State;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(expected(self.kind))
    }

    fn visit_unit<E>(self) -> Result<State, E> {
        Ok(State::Null)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<State, E> {
        let bytes = match self.kind {
            Kind::Id => hex(text).map_err(E::custom)?.into(),
            Kind::Bytes => base64(text).map_err(E::custom)?.into(),
            _ => Cow::Borrowed(text.as_bytes()),
        };
        self.context.bytes(self.tag, &bytes);
        Ok(State::Set)
    }
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    if let Some(other) = text.chars().find(|digit| !digit.is_ascii_hexdigit()) {
        return Err(format!("expected hex digits, found {other:?}"));
    }
    if !text.len().is_multiple_of(2) {
        let length = text.len();
        return Err(format!(
            "expected an even number of hex digits, found {length}"
        ));
    }
    let digit = |byte| char::from(byte).to_digit(16).unwrap_or_default() as u8;
    let pairs = text.as_bytes().chunks_exact(2);
    Ok(pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect())
}

fn base64(text: &str) -> Result<Vec<u8>, String> {
    let engine = if text.contains(['-', '_']) {
        &BASE64_URL_SAFE
    } else {
        &BASE64_STANDARD
    };
    let bytes = engine.decode(text);
    bytes.map_err(|error| format!("expected base64: {error}"))
}

/// Appends a whole number without its tag.
fn whole(number: Number, json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    if number == Number::Enum && json.starts_with('"') {
        let found = quote(json);
        return Err(format!(
            "expected the number of an enum value, not its name, found {found}"
        ));
    }
    let (least, greatest) = number.range();
    let value = content(json)
        .and_then(|text| number::whole(&text))
        .filter(|value| (least..=greatest).contains(value))
        .ok_or_else(|| {
            let found = quote(json);
            format!("expected a whole number from {least} to {greatest}, found {found}")
        })?;
    match number {
        // The lowest 64 bits of a negative number are its two's complement.
        Number::Enum | Number::Int32 | Number::Uint32 | Number::Int64 | Number::Uint64 => {
            encode_varint(value as u64, out);
        }
        Number::Sint32 => encode_varint(((value << 1) ^ (value >> 127)) as u64, out),
        Number::Fixed32 => out.extend_from_slice(&(value as u32).to_le_bytes()),
        Number::Fixed64 | Number::Sfixed64 => out.extend_from_slice(&(value as u64).to_le_bytes()),
    }
    Ok(())
}

/// Appends a floating-point number without its tag.
fn double(json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let value = match json {
        r#""NaN""# => Some(f64::NAN),
        r#""Infinity""# => Some(f64::INFINITY),
        r#""-Infinity""# => Some(f64::NEG_INFINITY),
        _ => content(json).and_then(|text| number::finite(&text)),
    };
    let value = value.ok_or_else(|| {
        let (expected, found) = (expected(Kind::Double), quote(json));
        format!("expected {expected}, found {found}")
    })?;
    out.extend_from_slice(&value.to_le_bytes());
    Ok(())
}

/// Appends a truth value without its tag.
fn boolean(json: &str, out: &mut Vec<u8>) -> Result<(), String> {
    match json {
        "true" => out.push(1),
        "false" => out.push(0),
        _ => return Err(format!("expected true or false, found {}", quote(json))),
    }
    Ok(())
}

/// The text inside of a JSON string. Other values as they are.
fn content(json: &str) -> Option<Cow<'_, str>> {
    if json.contains('\\') {
        return serde_json::from_str(json).ok().map(Cow::Owned);
    }
    Some(json.trim_matches('"').into())
}

/// A value in an error.
fn quote(json: &str) -> &str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        _ if json.len() <= LONGEST_QUOTE => json,
        Some(b'"') => "a long string",
        _ => "a long number",
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "a string",
        Kind::Bool => "true or false",
        Kind::Id => "a string of hex digits",
        Kind::Bytes => "a string of base64",
        Kind::Double => r#"a number of 64 bits, "NaN", "Infinity" or "-Infinity""#,
        Kind::Number(_) => "a whole number",
        Kind::Message(_) => "an object",
    }
}

fn path(steps: &[Step]) -> String {
    let mut path = String::new();
    let (first, last) = STEPS;
    let is_cut = steps.len() > first + last;
    for (number, step) in steps.iter().enumerate() {
        if is_cut && (first..steps.len() - last).contains(&number) {
            if number == first {
                path.push('…');
            }
            continue;
        }
        match step {
            Step::Field(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
            }
            Step::Element(index) => {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
    }
    path
}
