//! The links of a span, in both directions.

use maud::{Markup, html};
use opentelemetry_proto::tonic::trace::v1::span::Link;

use super::view::View;
use crate::{
    pages::{format, text, value},
    store::{LinkedFrom, SpanId, TraceId},
};

/// Maximum number of links in a list.
const MOST: usize = 100;

/// The links that a span has.
pub(super) fn outgoing(view: &View<'_>, links: &[Link]) -> Markup {
    html! {
        ul.links {
            @for link in links.iter().take(MOST) {
                li {
                    (target(view, link))
                    @if !link.trace_state.is_empty() { " trace state " code { (text::short(&link.trace_state, 500)) } }
                    @if link.flags != 0 { " flags " code { (format!("{:#x}", link.flags)) } }
                    @if link.dropped_attributes_count > 0 {
                        " " (link.dropped_attributes_count) " dropped attributes"
                    }
                    @if !link.attributes.is_empty() { (value::list(&link.attributes, None)) }
                }
            }
        }
        @if links.len() > MOST { p.hint { "And " (format::count((links.len() - MOST) as u64)) " more." } }
    }
}

fn target(view: &View<'_>, link: &Link) -> Markup {
    let trace = TraceId::from_bytes(&link.trace_id);
    let span = SpanId::from_bytes(&link.span_id);
    let Some(trace) = trace else {
        return html! { em { "A link without a valid trace id" } };
    };
    if let Some(own) = span
        .filter(|_| trace == view.id)
        .and_then(|span| view.span(span))
    {
        return html! {
            "This trace: "
            a href=(super::path(trace, span)) {
                (text::name(own.service, "no service.name")) " " (text::name(own.name, "no name"))
            }
        };
    }
    let has_span = span.is_some_and(|span| view.lens.store.has_span(trace, span));
    html! {
        @match view.lens.store.trace_row(trace) {
            None => { "Trace " code { (trace) } ", which is not stored" }
            Some(row) => {
                a href=(super::path(trace, span.filter(|_| has_span))) {
                    (text::name(&row.service, "no service.name")) " " (text::name(&row.name, "no name"))
                }
                @if let Some(span) = span { ", span " code { (span) } @if !has_span { ", which is not stored" } }
            }
        }
    }
}

/// The links from other spans to a span.
pub(super) fn incoming(links: &[LinkedFrom]) -> Markup {
    html! {
        ul.links {
            @for link in links.iter().take(MOST) {
                li {
                    a href=(super::path(link.trace, Some(link.span))) {
                        (text::name(&link.service, "no service.name")) " " (text::name(&link.name, "no name"))
                    }
                    @if link.start != 0 { " at " (format::time(link.start)) }
                }
            }
        }
        @if links.len() > MOST { p.hint { "And " (format::count((links.len() - MOST) as u64)) " more." } }
    }
}
