use std::{borrow::Cow, time::Duration};

use opentelemetry::{
    Array,
    trace::{Event, Link, TraceFlags, TraceId, TraceState},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, trace::v1::ScopeSpans,
};
use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};

use super::*;

fn sample() -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
            SpanId::from(0x1112_1314_1516_1718),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::from(7),
        parent_span_is_remote: true,
        span_kind: SpanKind::Server,
        name: Cow::Borrowed("a name"),
        start_time: UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_789),
        end_time: UNIX_EPOCH + Duration::from_nanos(1_234_567_890_123_456_999),
        attributes: vec![
            KeyValue::new("text", "x".repeat(300)),
            KeyValue::new("empty", ""),
            KeyValue::new("flag", true),
            KeyValue::new("off", false),
            KeyValue::new("positive", 300),
            KeyValue::new("zero", 0),
            KeyValue::new("negative", -1),
            KeyValue::new("float", 0.5),
        ],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("scope").build(),
    }
}

/// Spans of every form, each with whether a plain [`Span`] can represent it.
fn samples() -> Vec<(bool, SpanData)> {
    let with = |change: fn(&mut SpanData)| {
        let mut span = sample();
        change(&mut span);
        span
    };
    vec![
        (true, sample()),
        (true, with(|span| span.parent_span_id = SpanId::INVALID)),
        (true, with(|span| span.parent_span_is_remote = false)),
        (true, with(|span| span.name = Cow::Borrowed(""))),
        (true, with(|span| span.attributes.clear())),
        (true, with(|span| span.status = Status::Ok)),
        (true, with(|span| span.status = Status::error(""))),
        (true, with(|span| span.status = Status::error("a reason"))),
        (true, with(|span| span.span_kind = SpanKind::Internal)),
        (true, with(|span| span.span_kind = SpanKind::Consumer)),
        (
            false,
            with(|span| {
                let array = Value::Array(Array::I64(vec![1, 2]));
                span.attributes.push(KeyValue::new("array", array));
            }),
        ),
        (
            false,
            with(|span| {
                let event = Event::new("event", UNIX_EPOCH, vec![], 0);
                span.events.events.push(event);
            }),
        ),
        (false, with(|span| span.dropped_attributes_count = 3)),
        (
            true,
            with(|span| {
                span.span_context = SpanContext::new(
                    TraceId::from(1),
                    SpanId::from(2),
                    TraceFlags::SAMPLED,
                    false,
                    state(),
                );
            }),
        ),
    ]
}

fn state() -> TraceState {
    TraceState::from_key_value([("k", "v")]).unwrap()
}

#[test]
fn a_message_is_what_the_library_would_have_made() {
    let library = Resource::builder_empty()
        .with_attribute(KeyValue::new("service.name", "test"))
        .build();
    let samples = samples();
    let mut spans = Vec::new();
    for (is_plain, sample) in &samples {
        assert_eq!(Span::of(sample, &[]).is_some(), *is_plain, "{sample:#?}");
        sdk_span(sample.clone(), &mut spans);
    }
    let scope_of = &samples[0].1.instrumentation_scope;
    let mut pieces = Vec::new();
    let scopes = vec![(scope(scope_of), spans)];
    resource_spans(&resource(&library, None), scopes, &mut pieces);

    let decoded = ExportTraceServiceRequest::decode(pieces.concat().as_slice()).unwrap();
    let spans = samples.into_iter().map(|(_, sample)| sample).collect();
    let expected = opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope(
        spans,
        &ResourceAttributesWithSchema::from(&library),
    );
    assert_eq!(decoded.resource_spans, expected);
}

#[test]
fn a_linked_span_is_what_the_library_would_have_made() {
    for (state, is_remote) in [(TraceState::NONE, true), (state(), false)] {
        let link = SpanContext::new(
            TraceId::from(3),
            SpanId::from(4),
            TraceFlags::SAMPLED,
            is_remote,
            state,
        );
        let sample = sample();
        let mut encoded = Vec::new();
        let attributes = attributes(&sample.attributes);
        let plain = Span {
            link: Some(&link),
            ..Span::of(&sample, &attributes).unwrap()
        };
        plain.encode(&mut encoded);
        let mut sample = sample.clone();
        sample.links.links.push(Link::with_context(link));
        let mut expected = Vec::new();
        sdk_span(sample, &mut expected);
        let [encoded, expected] =
            [encoded, expected].map(|spans| ScopeSpans::decode(spans.as_slice()).unwrap());
        assert_eq!(encoded, expected);
    }
}
