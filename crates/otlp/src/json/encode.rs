//! From protobuf bytes to JSON.

use std::io::Write as _;

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use prost::encoding::{DecodeContext, decode_key, decode_varint, skip_field};

use crate::json::table::{Kind, Label, Number, Table};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Why reading cannot fail.
const VALID: &str = "prost encodes valid protobuf";

/// Converts the protobuf form of a message, as prost encodes it, to its JSON form.
pub(super) fn json(table: &Table, wire: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(wire.len() * 2);
    object(table, wire, &mut out);
    out
}

fn object(table: &Table, mut wire: &[u8], out: &mut Vec<u8>) {
    out.push(b'{');
    // The repeated field whose array is open. prost encodes its elements one after the other.
    let mut open = None;
    let mut first = true;
    while !wire.is_empty() {
        let (tag, wire_type) = decode_key(&mut wire).expect(VALID);
        let Some(field) = table.0.iter().find(|field| field.tag == tag) else {
            skip_field(wire_type, tag, &mut wire, DecodeContext::default()).expect(VALID);
            continue;
        };
        if open == Some(tag) {
            out.push(b',');
        } else {
            if open.take().is_some() {
                out.push(b']');
            }
            if !first {
                out.push(b',');
            }
            string(field.name, out);
            out.push(b':');
            if field.label == Label::Repeated {
                out.push(b'[');
                open = Some(tag);
            }
        }
        first = false;
        if field.label == Label::Repeated && field.kind.is_packed() {
            let mut values = delimited(&mut wire);
            while !values.is_empty() {
                value(field.kind, &mut values, out);
                if !values.is_empty() {
                    out.push(b',');
                }
            }
        } else {
            value(field.kind, &mut wire, out);
        }
    }
    if open.is_some() {
        out.push(b']');
    }
    out.push(b'}');
}

fn value(kind: Kind, wire: &mut &[u8], out: &mut Vec<u8>) {
    match kind {
        Kind::String => string(std::str::from_utf8(delimited(wire)).expect(VALID), out),
        Kind::Bool => text(decode_varint(wire).expect(VALID) != 0, out),
        Kind::Id => {
            out.push(b'"');
            for byte in delimited(wire) {
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 0xf)]);
            }
            out.push(b'"');
        }
        Kind::Bytes => quoted(Base64Display::new(delimited(wire), &STANDARD), out),
        Kind::Double => double(f64::from_le_bytes(array(wire)), out),
        Kind::Number(number) => match number {
            Number::Enum | Number::Int32 => text(decode_varint(wire).expect(VALID) as i32, out),
            Number::Uint32 => text(decode_varint(wire).expect(VALID), out),
            Number::Sint32 => {
                let zigzag = decode_varint(wire).expect(VALID) as u32;
                text(
                    (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed(),
                    out,
                );
            }
            Number::Fixed32 => text(u32::from_le_bytes(array(wire)), out),
            Number::Int64 => quoted(decode_varint(wire).expect(VALID).cast_signed(), out),
            Number::Uint64 => quoted(decode_varint(wire).expect(VALID), out),
            Number::Fixed64 => quoted(u64::from_le_bytes(array(wire)), out),
            Number::Sfixed64 => quoted(i64::from_le_bytes(array(wire)), out),
        },
        Kind::Message(table) => object(table, delimited(wire), out),
    }
}

fn double(value: f64, out: &mut Vec<u8>) {
    if value.is_nan() {
        quoted("NaN", out);
    } else if value.is_infinite() {
        quoted(if value > 0.0 { "Infinity" } else { "-Infinity" }, out);
    } else {
        // The shortest form that reads back as the same number, with an exponent if that is short.
        text(format_args!("{value:?}"), out);
    }
}

fn string(value: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a vector accepts all bytes");
}

fn quoted(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    text(format_args!("\"{value}\""), out);
}

fn text(value: impl std::fmt::Display, out: &mut Vec<u8>) {
    write!(out, "{value}").expect("a vector accepts all bytes");
}

fn delimited<'a>(wire: &mut &'a [u8]) -> &'a [u8] {
    let length = decode_varint(wire).expect(VALID) as usize;
    wire.split_off(..length).expect(VALID)
}

fn array<const N: usize>(wire: &mut &[u8]) -> [u8; N] {
    let (bytes, rest) = wire.split_first_chunk().expect(VALID);
    *wire = rest;
    *bytes
}
