//! A log record in a list.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use maud::{Markup, html};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message as _;

use super::levels;
use crate::{
    pages::{format, measured::Measured, text, value},
    store::{SpanId, StoredLog, TraceId},
};

/// Longest body on a line, in characters.
const BODY: usize = 240;

/// A log record on a line that can be opened.
pub(super) fn item(log: &StoredLog, measured: &Measured) -> Markup {
    let record = &log.record;
    let trace = TraceId::from_bytes(&record.trace_id);
    let span = SpanId::from_bytes(&record.span_id);
    html! {
        li data-key=(key(log)) {
            details {
                summary {
                    span.at { (time(log)) }
                    (levels::level(record.severity_number, &record.severity_text))
                    span.service { (text::name(&log.source.service, "no service.name")) }
                    (body(record))
                }
                (full(log, measured))
            }
            @if let Some(trace) = trace {
                @let href = match span {
                    Some(span) => format!("/traces/{trace}?span={span}#s-{span}"),
                    None => format!("/traces/{trace}"),
                };
                a.trace href=(href) { "trace" span.hidden { " " (trace) } }
            }
        }
    }
}

/// Tells log records apart: one may be both in a page and in the stream of new ones.
fn key(log: &StoredLog) -> String {
    let hash = FixedState::default().hash_one((&log.source.service, log.record.encode_to_vec()));
    format!("{}-{hash:x}", log.time)
}

fn time(log: &StoredLog) -> Markup {
    html! {
        @if log.time == 0 {
            em { "no time" }
        } @else {
            (format::time(log.time))
        }
    }
}

/// The body on one line, after the name of the event.
fn body(record: &LogRecord) -> Markup {
    let body = value::plain(record.body.as_ref());
    let is_cut = text::split(&body, BODY).1 > 0;
    let is_named = !record.event_name.is_empty() && !is_place(&record.event_name);
    html! {
        span.body {
            @if is_named { strong { (text::short(&record.event_name, 100)) } " " }
            @if body.is_empty() && !is_named { em { "no body" } }
            (text::short(&body, BODY))
            @if is_cut { " " span.hint { "more" } }
        }
    }
}

/// Whether the name of an event is the place of its code. The Rust crate `tracing` gives such names to log lines:
/// `event src/main.rs:12`.
fn is_place(event: &str) -> bool {
    let place = event
        .strip_prefix("event ")
        .and_then(|place| place.rsplit_once(':'));
    place.is_some_and(|(file, line)| file.ends_with(".rs") && line.parse::<u32>().is_ok())
}

/// Everything that the log record has.
fn full(log: &StoredLog, measured: &Measured) -> Markup {
    let record = &log.record;
    let trace = TraceId::from_bytes(&record.trace_id);
    let span = SpanId::from_bytes(&record.span_id);
    let resource = log.source.resource.as_ref();
    let scope = log.source.scope.as_ref();
    html! {
        div.full {
            dl.pairs {
                dt { "body" } dd { (value::value(record.body.as_ref())) }
                @if !record.event_name.is_empty() {
                    dt { "event" } dd { (text::long(&record.event_name)) }
                }
                dt { "severity" }
                dd {
                    (record.severity_number)
                    @if !record.severity_text.is_empty() { ", " (text::short(&record.severity_text, 200)) }
                }
                dt { "time" }
                dd {
                    @if record.time_unix_nano != 0 { (format::clock(record.time_unix_nano)) }
                    @else if record.observed_time_unix_nano != 0 { em { "not set: lists show when it was observed" } }
                    @else { em { "not set" } }
                }
                @if record.observed_time_unix_nano != 0 {
                    dt { "observed" } dd { (format::clock(record.observed_time_unix_nano)) }
                }
                @if let Some(trace) = trace {
                    dt { "trace" } dd { code { (trace) } }
                }
                @if let Some(span) = span {
                    dt { "span" } dd { code { (span) } }
                }
                (measured.facts(&log.source.service, trace, span))
                @if record.dropped_attributes_count > 0 {
                    dt { "dropped attributes" } dd { (record.dropped_attributes_count) }
                }
            }
            @if !record.attributes.is_empty() {
                h2 { "Attributes" }
                (value::list(&record.attributes, Some(super::PATH)))
            }
            @if let Some(resource) = resource {
                h2 { "Resource" }
                (value::list(&resource.attributes, Some(super::PATH)))
            }
            @if let Some(scope) = scope.filter(|scope| !scope.name.is_empty()) {
                h2 { "Scope" }
                p { (text::short(&scope.name, 200)) " " (text::short(&scope.version, 100)) }
                (value::list(&scope.attributes, None))
            }
        }
    }
}
