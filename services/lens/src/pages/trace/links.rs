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
    let stored = view.lens.store.trace_row(trace);
    let has_span = span.is_some_and(|span| view.lens.store.has_span(trace, span));
    html! {
        @match stored {
            None => { "Trace " code { (trace) } ", which is not stored" }
            Some(row) => {
                @let place = trace_place(view, trace);
                a href=(super::path(trace, span.filter(|_| has_span))) {
                    (place) (text::name(&row.service, "no service.name")) " " (text::name(&row.name, "no name"))
                }
                @if let Some(span) = span { ", span " code { (span) } @if !has_span { ", which is not stored" } }
            }
        }
    }
}

fn trace_place(view: &View<'_>, trace: TraceId) -> &'static str {
    match trace == view.id {
        true => "This trace: ",
        false => "",
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
