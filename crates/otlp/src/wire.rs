//! The fields of an encoded message, without decoding it.
//!
//! A reader of fields copies nothing, keeps fields that it does not know, and does not mind texts that are no UTF-8.
//! See [Protocol Buffers: Encoding](https://protobuf.dev/programming-guides/encoding/).

use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};

/// Appends a field that is a message, a text or bytes.
pub fn append(outer: &mut Vec<u8>, tag: u32, content: &[u8]) {
    encode_key(tag, WireType::LengthDelimited, outer);
    encode_varint(content.len() as u64, outer);
    outer.extend_from_slice(content);
}

/// A field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Its number. 0 if its bytes are malformed.
    pub tag: u32,
    /// The field with its key and length.
    pub whole: &'a [u8],
    /// The field alone, if it has a length.
    pub content: &'a [u8],
    /// Whether it has a length: it is a message, a text, bytes, or a packed list.
    pub has_length: bool,
}

/// The fields of a message, in their order. From malformed bytes on, the rest is one field.
#[derive(Clone, Copy, Debug)]
pub struct Pieces<'a>(pub &'a [u8]);

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.0.is_empty() {
            return None;
        }
        let start = self.0;
        let malformed = Piece {
            tag: 0,
            whole: start,
            content: &[],
            has_length: false,
        };
        let mut rest = start;
        let Some((tag, wire_type, content)) = field(&mut rest) else {
            self.0 = &[];
            return Some(malformed);
        };
        self.0 = rest;
        Some(Piece {
            tag,
            whole: &start[..start.len() - rest.len()],
            content,
            has_length: wire_type == WireType::LengthDelimited,
        })
    }
}

/// Splits off a field: its number, its type, and its content if it has a length.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u32, WireType, &'a [u8])> {
    let (tag, wire_type) = decode_key(rest).ok()?;
    if wire_type != WireType::LengthDelimited {
        skip_field(wire_type, tag, rest, DecodeContext::default()).ok()?;
        return Some((tag, wire_type, &[]));
    }
    let length = usize::try_from(decode_varint(rest).ok()?).ok()?;
    let (content, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((tag, wire_type, content))
}
