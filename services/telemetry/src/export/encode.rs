//! Spans as OTLP writes them, encoded where they end.
//!
//! A span that travels to another thread as an object is copied several times, turned into
//! another object with a dozen allocations, and freed where it was not allocated. Its bytes are
//! appended to a buffer.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{SpanId, SpanKind, Status},
};
use opentelemetry_proto::{
    tonic::{resource::v1::Resource as ProtoResource, trace::v1 as proto},
    transform::common::tonic::ResourceAttributesWithSchema,
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};

/// Appends a span as an element of `ScopeSpans.spans`.
pub(crate) fn span(span: SpanData, out: &mut Vec<u8>) {
    if is_plain(&span) {
        let length = length(&span);
        delimited(2, length, out);
        let start = out.len();
        plain(&span, out);
        debug_assert_eq!(out.len() - start, length);
    } else {
        let span = proto::Span::from(span);
        delimited(2, span.encoded_len(), out);
        // A vector grows as needed.
        let _ = span.encode(out);
    }
}

/// The head of a message with spans of one scope: what comes before `ScopeSpans.spans`, for a
/// message that ends with so many bytes of them.
pub(crate) fn head(resource: &[u8], scope: &[u8], spans: usize) -> Vec<u8> {
    let scope_spans = scope.len() + spans;
    let resource_spans =
        resource.len() + key_len(2) + encoded_len_varint(scope_spans as u64) + scope_spans;
    let mut head = Vec::with_capacity(resource.len() + scope.len() + 32);
    delimited(1, resource_spans, &mut head);
    head.extend_from_slice(resource);
    delimited(2, scope_spans, &mut head);
    head.extend_from_slice(scope);
    head
}

/// `ResourceSpans` without its spans.
pub(crate) fn resource(resource: &Resource) -> Vec<u8> {
    let resource = ResourceAttributesWithSchema::from(resource);
    proto::ResourceSpans {
        resource: Some(ProtoResource {
            attributes: resource.attributes.0,
            ..ProtoResource::default()
        }),
        schema_url: resource.schema_url.unwrap_or_default(),
        scope_spans: Vec::new(),
    }
    .encode_to_vec()
}

/// `ScopeSpans` without its spans.
pub(crate) fn scope(scope: &InstrumentationScope) -> Vec<u8> {
    proto::ScopeSpans {
        scope: Some((scope, None).into()),
        schema_url: scope.schema_url().unwrap_or_default().to_owned(),
        spans: Vec::new(),
    }
    .encode_to_vec()
}

/// Whether a span has nothing but what nearly all have. The others take the long way.
fn is_plain(span: &SpanData) -> bool {
    let scalar = |attribute: &KeyValue| {
        matches!(
            attribute.value,
            Value::Bool(_) | Value::I64(_) | Value::F64(_) | Value::String(_)
        )
    };
    span.events.is_empty()
        && span.events.dropped_count == 0
        && span.links.is_empty()
        && span.links.dropped_count == 0
        && span.dropped_attributes_count == 0
        && span.span_context.trace_state().header().is_empty()
        && span.attributes.iter().all(scalar)
}

const ID: usize = 1 + 1 + 8;
const TRACE_ID: usize = 1 + 1 + 16;
const FIXED_64: usize = 1 + 8;
/// The key of field 16 takes two bytes.
const FLAGS: usize = 2 + 4;

/// Field by field as [`plain`] writes them.
fn length(span: &SpanData) -> usize {
    let parent = if span.parent_span_id == SpanId::INVALID {
        0
    } else {
        ID
    };
    let attributes: usize = span
        .attributes
        .iter()
        .map(|attribute| field_length(attribute_length(attribute)))
        .sum();
    TRACE_ID
        + ID
        + parent
        + text_length(&span.name)
        + 2
        + 2 * FIXED_64
        + attributes
        + field_length(status_length(&span.status))
        + FLAGS
}

fn plain(span: &SpanData, out: &mut Vec<u8>) {
    bytes(1, &span.span_context.trace_id().to_bytes(), out);
    bytes(2, &span.span_context.span_id().to_bytes(), out);
    if span.parent_span_id != SpanId::INVALID {
        bytes(4, &span.parent_span_id.to_bytes(), out);
    }
    text(5, &span.name, out);
    encode_key(6, WireType::Varint, out);
    encode_varint(kind(&span.span_kind) as u64, out);
    fixed_64(7, nanoseconds(span.start_time), out);
    fixed_64(8, nanoseconds(span.end_time), out);
    for attribute in &span.attributes {
        delimited(9, attribute_length(attribute), out);
        text(1, attribute.key.as_str(), out);
        delimited(2, value_length(&attribute.value), out);
        value(&attribute.value, out);
    }
    delimited(15, status_length(&span.status), out);
    status(&span.status, out);
    let remote = if span.parent_span_is_remote {
        proto::SpanFlags::ContextIsRemoteMask as u32
    } else {
        0
    };
    let flags = u32::from(span.span_context.trace_flags().to_u8())
        | proto::SpanFlags::ContextHasIsRemoteMask as u32
        | remote;
    encode_key(16, WireType::ThirtyTwoBit, out);
    out.extend_from_slice(&flags.to_le_bytes());
}

fn attribute_length(attribute: &KeyValue) -> usize {
    text_length(attribute.key.as_str()) + field_length(value_length(&attribute.value))
}

fn value_length(value: &Value) -> usize {
    match value {
        Value::Bool(_) => 2,
        Value::I64(number) => 1 + encoded_len_varint(number.cast_unsigned()),
        Value::F64(_) => FIXED_64,
        // The others are not plain.
        value => field_length(value.as_str().len()),
    }
}

fn value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(flag) => {
            encode_key(2, WireType::Varint, out);
            out.push(u8::from(*flag));
        }
        Value::I64(number) => {
            encode_key(3, WireType::Varint, out);
            encode_varint(number.cast_unsigned(), out);
        }
        Value::F64(number) => {
            encode_key(4, WireType::SixtyFourBit, out);
            out.extend_from_slice(&number.to_le_bytes());
        }
        value => bytes(1, value.as_str().as_bytes(), out),
    }
}

fn status_length(status: &Status) -> usize {
    match status {
        Status::Unset => 0,
        Status::Ok => 2,
        Status::Error { description } => text_length(description) + 2,
    }
}

fn status(status: &Status, out: &mut Vec<u8>) {
    let code = match status {
        Status::Unset => return,
        Status::Ok => proto::status::StatusCode::Ok,
        Status::Error { description } => {
            text(2, description, out);
            proto::status::StatusCode::Error
        }
    };
    encode_key(3, WireType::Varint, out);
    encode_varint(code as u64, out);
}

fn kind(kind: &SpanKind) -> proto::span::SpanKind {
    kind.clone().into()
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// An empty text is not written: it is the default.
fn text_length(text: &str) -> usize {
    if text.is_empty() {
        0
    } else {
        field_length(text.len())
    }
}

fn text(tag: u32, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        bytes(tag, text.as_bytes(), out);
    }
}

/// The length of a delimited field with a tag below 16.
fn field_length(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

fn bytes(tag: u32, bytes: &[u8], out: &mut Vec<u8>) {
    delimited(tag, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn fixed_64(tag: u32, number: u64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::SixtyFourBit, out);
    out.extend_from_slice(&number.to_le_bytes());
}

fn delimited(tag: u32, length: usize, out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(length as u64, out);
}

#[cfg(test)]
mod tests;
