//! Encoding of spans for OTLP, on the thread where they end.
//!
//! An SDK span that is sent to another thread is copied several times, and converted into another
//! object with a dozen allocations. It is freed on a thread that did not allocate it. Encoded bytes
//! are only appended to a buffer.

use std::{
    mem,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use opentelemetry::{
    InstrumentationScope, KeyValue, Value,
    trace::{SpanContext, SpanId, SpanKind, Status},
};
use opentelemetry_proto::{
    tonic::{resource::v1::Resource as ProtoResource, trace::v1 as proto},
    transform::common::tonic::ResourceAttributesWithSchema,
};
use opentelemetry_sdk::{Resource, trace::SpanData};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};

use super::services;

/// An ended span, with only the fields that nearly all spans have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) context: &'a SpanContext,
    /// Invalid for a root span.
    pub(crate) parent: SpanId,
    pub(crate) parent_is_remote: bool,
    pub(crate) link: Option<&'a SpanContext>,
    pub(crate) kind: &'a SpanKind,
    pub(crate) name: &'a str,
    pub(crate) start_time: SystemTime,
    pub(crate) end_time: SystemTime,
    /// The output of [`attributes`].
    pub(crate) attributes: &'a [u8],
    pub(crate) status: &'a Status,
}

/// Appends an SDK span as an element of `ScopeSpans.spans`.
pub(crate) fn sdk_span(span: SpanData, out: &mut Vec<u8>) {
    let attributes = attributes(&span.attributes);
    if let Some(span) = Span::of(&span, &attributes) {
        return span.encode(out);
    }
    let span = proto::Span::from(span);
    delimited(2, span.encoded_len(), out);
    // Cannot fail: a vector grows as needed.
    let _ = span.encode(out);
}

/// Encodes attributes, which must be scalars or texts, as elements of `Span.attributes`.
pub(crate) fn attributes(attributes: &[KeyValue]) -> Vec<u8> {
    let length = attributes.iter().map(attribute_length).map(field_length);
    let mut out = Vec::with_capacity(length.sum());
    for attribute in attributes {
        delimited(9, attribute_length(attribute), &mut out);
        text(1, attribute.key.as_str(), &mut out);
        delimited(2, value_length(&attribute.value), &mut out);
        value(&attribute.value, &mut out);
    }
    out
}

/// Appends the pieces of an element of `ExportTraceServiceRequest.resource_spans`. `scopes` has the output of
/// [`scope`], each with its spans.
pub(crate) fn resource_spans(
    resource: &[u8],
    scopes: Vec<(Vec<u8>, Vec<u8>)>,
    pieces: &mut Vec<Bytes>,
) {
    let lengths = scopes
        .iter()
        .map(|(scope, spans)| field_length(scope.len() + spans.len()));
    let mut head = Vec::with_capacity(resource.len() + 64);
    delimited(1, resource.len() + lengths.sum::<usize>(), &mut head);
    head.extend_from_slice(resource);
    for (scope, spans) in scopes {
        delimited(2, scope.len() + spans.len(), &mut head);
        head.extend_from_slice(&scope);
        pieces.push(mem::take(&mut head).into());
        pieces.push(spans.into());
    }
}

/// `ResourceSpans` of a service without its spans.
pub(crate) fn resource(process: &Resource, service: Option<&str>) -> Vec<u8> {
    let mut resource = ResourceAttributesWithSchema::from(process);
    services::rename(&mut resource.attributes.0, service);
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

const ID: usize = 1 + 1 + 8;
const TRACE_ID: usize = 1 + 1 + 16;
const FIXED_64: usize = 1 + 8;
/// Bytes of the flags in a span, where the key of field 16 takes two bytes.
const FLAGS: usize = 2 + 4;
/// Bytes of the flags in a link.
const LINK_FLAGS: usize = 1 + 4;

impl<'a> Span<'a> {
    /// Converts an SDK span; `None` if it has fields that [`Span`] lacks.
    fn of(span: &'a SpanData, attributes: &'a [u8]) -> Option<Self> {
        let is_plain = span.events.is_empty()
            && span.events.dropped_count == 0
            && span.links.is_empty()
            && span.links.dropped_count == 0
            && span.dropped_attributes_count == 0
            && span.attributes.iter().all(is_scalar);
        is_plain.then_some(Self {
            context: &span.span_context,
            parent: span.parent_span_id,
            parent_is_remote: span.parent_span_is_remote,
            link: None,
            kind: &span.span_kind,
            name: &span.name,
            start_time: span.start_time,
            end_time: span.end_time,
            attributes,
            status: &span.status,
        })
    }

    /// Appends the span as an element of `ScopeSpans.spans`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let trace_state = self.context.trace_state().header();
        let length = self.length(&trace_state);
        delimited(2, length, out);
        let start = out.len();
        self.fields(&trace_state, out);
        debug_assert_eq!(out.len() - start, length);
    }

    /// The length of the fields, in the order in which [`Self::fields`] writes them.
    fn length(&self, trace_state: &str) -> usize {
        let parent = if self.parent == SpanId::INVALID {
            0
        } else {
            ID
        };
        TRACE_ID
            + ID
            + text_length(trace_state)
            + parent
            + text_length(self.name)
            + 2
            + 2 * FIXED_64
            + self.attributes.len()
            + self.link.map_or(0, |link| field_length(link_length(link)))
            + field_length(status_length(self.status))
            + FLAGS
    }

    fn fields(&self, trace_state: &str, out: &mut Vec<u8>) {
        ids(self.context, out);
        text(3, trace_state, out);
        if self.parent != SpanId::INVALID {
            bytes(4, &self.parent.to_bytes(), out);
        }
        text(5, self.name, out);
        encode_key(6, WireType::Varint, out);
        encode_varint(kind(self.kind) as u64, out);
        fixed_64(7, nanoseconds(self.start_time), out);
        fixed_64(8, nanoseconds(self.end_time), out);
        out.extend_from_slice(self.attributes);
        if let Some(link) = self.link {
            delimited(13, link_length(link), out);
            ids(link, out);
            text(3, &link.trace_state().header(), out);
            flags(6, link, link.is_remote(), out);
        }
        delimited(15, status_length(self.status), out);
        status(self.status, out);
        flags(16, self.context, self.parent_is_remote, out);
    }
}

/// Whether the value is a scalar or a text, as nearly all are.
fn is_scalar(attribute: &KeyValue) -> bool {
    matches!(
        attribute.value,
        Value::Bool(_) | Value::I64(_) | Value::F64(_) | Value::String(_)
    )
}

fn link_length(link: &SpanContext) -> usize {
    TRACE_ID + ID + text_length(&link.trace_state().header()) + LINK_FLAGS
}

fn ids(context: &SpanContext, out: &mut Vec<u8>) {
    bytes(1, &context.trace_id().to_bytes(), out);
    bytes(2, &context.span_id().to_bytes(), out);
}

/// Appends the W3C flags of `context`, and whether the parent or the linked span is remote.
fn flags(tag: u32, context: &SpanContext, is_remote: bool, out: &mut Vec<u8>) {
    let remote = if is_remote {
        proto::SpanFlags::ContextIsRemoteMask as u32
    } else {
        0
    };
    let flags = u32::from(context.trace_flags().to_u8())
        | proto::SpanFlags::ContextHasIsRemoteMask as u32
        | remote;
    encode_key(tag, WireType::ThirtyTwoBit, out);
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
        // Arrays do not pass `is_scalar`.
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

/// The length of a text field. An empty text takes no bytes, since it is the default.
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
