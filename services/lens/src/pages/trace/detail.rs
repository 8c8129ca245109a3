//! The panel of a selected span.

use std::borrow::Cow;

use maud::{Markup, html};
use opentelemetry_proto::tonic::trace::v1::{
    Span,
    span::{Event, SpanKind},
    status::StatusCode,
};

use super::{links, logs, marks, state::State, view::View};
use crate::{
    analysis::Node,
    pages::{format, text, value},
    store::{LinkedFrom, Source, SpanView, TraceSpan},
};

/// Maximum number of events in a list.
const EVENTS: usize = 200;

/// All that is known of a span. `decoded` is missing if its values are nested too deeply.
pub(super) fn panel(
    view: &View<'_>,
    state: &State,
    node: Node,
    decoded: Option<&TraceSpan>,
) -> Markup {
    let Some(span) = view.full.span(node) else {
        return html! {};
    };
    let linked_from: Vec<LinkedFrom> = view
        .lens
        .store
        .linked_from(view.id)
        .into_iter()
        .filter(|link| link.linked == Some(span.span))
        .collect();
    let numbers = view.logs_of(span.span);
    html! {
        div.panel {
            div.panel-head {
                h2 { (text::name(span.service, "no service.name")) " " (text::name(span.name, "no name")) }
                a href=(state.toggle_selected(span.span)) { "Close" }
            }
            @for mark in marks::of(view.full.marks(node), decoded.map(|decoded| &decoded.span)) {
                p.notice { strong { (sentence(&mark.short)) } " " (mark.long) }
            }
            div.panel-body {
                section {
                    (facts(view, state, span, node, decoded))
                    @if let Some(decoded) = decoded {
                        details.more {
                            summary { "Resource and scope" }
                            (source(&decoded.source))
                        }
                    }
                }
                section {
                    @match decoded {
                        None => p.error {
                            "The values of this span are nested more deeply than OTLP allows, and are not shown."
                        },
                        Some(decoded) => (contents(view, &decoded.span)),
                    }
                    @if !linked_from.is_empty() {
                        h3 { "Links from other spans to this one" }
                        (links::incoming(&linked_from))
                    }
                    @if !numbers.is_empty() {
                        h3 { "Log records" }
                        (logs::list(view, numbers))
                    }
                }
            }
        }
    }
}

fn facts(
    view: &View<'_>,
    state: &State,
    span: &SpanView<'_>,
    node: Node,
    decoded: Option<&TraceSpan>,
) -> Markup {
    let end = decoded.map_or(0, |decoded| decoded.span.end_time_unix_nano);
    html! {
        dl.pairs {
            @if let Some(decoded) = decoded { dt { "status" } dd { (status(&decoded.span)) } }
            dt { "kind" } dd { (kind(span.kind)) }
            dt { "start" }
            dd {
                @if span.start == 0 { em { "not set" } }
                @else { (format::time(span.start)) ", " (view.scale.offset(span.start)) " in the trace" }
            }
            dt { "end" }
            dd { @if end == 0 { em { "not set" } } @else { (format::time(end)) } }
            dt { "duration" }
            dd {
                @if span.start == 0 { em { "not known" } }
                @else {
                    (format::duration(span.duration)) ", of which "
                    (format::duration(view.full.self_time(node))) " is not in a child"
                }
            }
            dt { "span id" } dd { code { (span.span) } }
            @if let Some(parent) = span.parent {
                dt { "parent" }
                dd {
                    @match view.span(parent) {
                        Some(above) if parent != span.span => {
                            a href=(state.select(parent)) { (text::name(above.service, "no service.name")) " " (text::name(above.name, "no name")) }
                        }
                        Some(_) => { code { (parent) } ", this span" }
                        None => { code { (parent) } ", which is not stored" }
                    }
                }
            }
            (view.measured().facts(span.service, Some(view.id), Some(span.span)))
            @if let Some(span) = decoded.map(|decoded| &decoded.span) {
                @if !span.trace_state.is_empty() { dt { "trace state" } dd { (text::long(&span.trace_state)) } }
                @if span.flags != 0 { dt { "flags" } dd { (flags(span.flags)) } }
                @for (name, count) in [
                    ("dropped attributes", span.dropped_attributes_count),
                    ("dropped events", span.dropped_events_count),
                    ("dropped links", span.dropped_links_count),
                ] {
                    @if count > 0 { dt { (name) } dd { (format::count(count.into())) ", by a limit of the sender" } }
                }
            }
        }
    }
}

fn contents(view: &View<'_>, span: &Span) -> Markup {
    html! {
        h3 { "Attributes" }
        @if span.attributes.is_empty() { p.hint { "None." } } @else {
            (value::list(&span.attributes, Some("/traces")))
        }
        @if !span.events.is_empty() {
            h3 { "Events" }
            (events(view, span))
        }
        @if !span.links.is_empty() {
            h3 { "Links of this span" }
            (links::outgoing(view, &span.links))
        }
    }
}

fn events(view: &View<'_>, span: &Span) -> Markup {
    html! {
        ol.events {
            @for event in span.events.iter().take(EVENTS) {
                li {
                    span.at { (since(view, span, event)) } " "
                    strong { (text::name(&event.name, "no name")) }
                    @if event.dropped_attributes_count > 0 {
                        " " span.hint { (event.dropped_attributes_count) " dropped attributes" }
                    }
                    @if !event.attributes.is_empty() { (value::list(&event.attributes, None)) }
                }
            }
        }
        @if span.events.len() > EVENTS {
            p.hint { "And " (format::count((span.events.len() - EVENTS) as u64)) " more. OTLP JSON has all of them." }
        }
    }
}

/// The time of an event since the start of its span.
fn since(view: &View<'_>, span: &Span, event: &Event) -> Cow<'static, str> {
    let (start, time) = (span.start_time_unix_nano, event.time_unix_nano);
    match time.checked_sub(start) {
        _ if time == 0 => "no time".into(),
        _ if start == 0 => view.scale.offset(time).into(),
        Some(after) => format!("+{}", format::duration(after)).into(),
        None => format!("−{}, before the span", format::duration(start - time)).into(),
    }
}

fn source(source: &Source) -> Markup {
    let resource = source.resource.as_ref();
    html! {
        h3 { "Resource" }
        @match resource {
            None => { p.hint { "The request had no resource." } }
            Some(resource) => {
                (value::list(&resource.attributes, Some("/traces")))
                @if resource.dropped_attributes_count > 0 {
                    p.hint { (resource.dropped_attributes_count) " attributes were dropped by the sender." }
                }
            }
        }
        (schema(&source.resource_schema_url))
        h3 { "Scope" }
        @match &source.scope {
            None => { p.hint { "The request had no scope." } }
            Some(scope) => {
                p { (text::name(&scope.name, "no name")) " " (text::short(&scope.version, 100)) }
                (value::list(&scope.attributes, None))
                @if scope.dropped_attributes_count > 0 {
                    p.hint { (scope.dropped_attributes_count) " attributes were dropped by the sender." }
                }
            }
        }
        (schema(&source.scope_schema_url))
    }
}

fn schema(url: &str) -> Markup {
    html! { @if !url.is_empty() { p.hint { "Schema " (text::short(url, 500)) } } }
}

fn status(span: &Span) -> Markup {
    let code = span.status.as_ref().map_or(0, |status| status.code);
    let message = span.status.as_ref().map_or("", |status| &status.message);
    html! {
        @match StatusCode::try_from(code) {
            Ok(StatusCode::Unset) => "unset",
            Ok(StatusCode::Ok) => span.state.good { "OK" },
            Ok(StatusCode::Error) => span.state.bad { "Error" },
            Err(_) => { "unknown, " (code) }
        }
        @if !message.is_empty() { " " (text::long(message)) }
    }
}

/// Flags of a span in words.
fn flags(flags: u32) -> Markup {
    // Bits of W3C Trace Context, and of OTLP above them.
    html! {
        code { (format!("{flags:#x}")) }
        @if flags & 1 != 0 { ", sampled" }
        @if flags & 0x100 != 0 {
            @if flags & 0x200 != 0 { ", the parent is remote" } @else { ", the parent is local" }
        }
    }
}

/// A kind in a word.
pub(in super::super) fn kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Unspecified => "unspecified",
        SpanKind::Internal => "internal",
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
    }
}

/// An anomaly as a sentence with a capital letter.
fn sentence(words: &str) -> String {
    let mut characters = words.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).chain(['.']).collect()
}
