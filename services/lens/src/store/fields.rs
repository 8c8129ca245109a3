//! Reads single fields of encoded messages, because decoding whole records takes most of the time of a search.

use opentelemetry_proto::tonic::common::v1::AnyValue;
use prost::{
    Message as _,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

/// The fields of `KeyValue`.
const KEY: u32 = 1;
const VALUE: u32 = 2;

/// The values of the attributes with a key, which are the field `tag` of a record.
pub(super) fn values_of<'a>(
    record: &'a [u8],
    tag: u32,
    key: &'a str,
) -> impl Iterator<Item = AnyValue> + 'a {
    fields(record, tag)
        .filter(move |pair| fields(pair, KEY).next().unwrap_or_default() == key.as_bytes())
        .filter_map(|pair| AnyValue::decode(fields(pair, VALUE).next()?).ok())
}

/// The keys and the encoded values of attributes, which are the field `tag` of a record.
pub(super) fn pairs(record: &[u8], tag: u32) -> impl Iterator<Item = (&[u8], &[u8])> {
    fields(record, tag).map(|pair| {
        let key = fields(pair, KEY).next().unwrap_or_default();
        (key, fields(pair, VALUE).next().unwrap_or_default())
    })
}

/// The bytes of a message's fields with a tag, which are strings or messages.
fn fields(mut message: &[u8], tag: u32) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while !message.is_empty() {
            let (number, wire_type) = decode_key(&mut message).ok()?;
            if wire_type == WireType::LengthDelimited {
                let len = decode_varint(&mut message).ok()?;
                let (field, rest) = message.split_at_checked(len as usize)?;
                message = rest;
                if number == tag {
                    return Some(field);
                }
            } else {
                skip_field(wire_type, number, &mut message, DecodeContext::default()).ok()?;
            }
        }
        None
    })
}
