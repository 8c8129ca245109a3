//! The page of a trace that is not stored.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use crate::{
    Lens,
    pages::{
        format,
        frame::{self, Place},
        text,
    },
    store::TraceId,
};

/// The page of a trace that was evicted, or never came.
pub(in super::super) fn page(lens: &Lens, id: TraceId) -> Response {
    let stats = lens.store.stats();
    let evicted = stats.spans.evicted + stats.logs.evicted;
    let content = html! {
        section.narrow {
            p.code { "404" }
            h1 { "This trace is not stored" }
            p.lead { "Nothing of trace " code { (id) } " is in memory." }
            @if evicted > 0 {
                p.aside {
                    "It may have been evicted: " (format::count(evicted)) " spans and log records have left, because the store is full. "
                    "Give lens more memory with " code { "LENS_MEMORY" } "."
                }
            } @else {
                p.aside { "Nothing was evicted since lens started, so the trace never arrived, or came before the start." }
            }
            p.aside {
                "SDKs send spans a few seconds after they end. A trace that was not sampled never arrives. "
                a href="/doctor" { "What was refused" } " tells of requests that could not be stored."
            }
            div.actions { a.button href="/traces" { "All traces" } }
        }
    };
    answer(lens, content)
}

/// The page for an id of the wrong form.
pub(super) fn not_an_id(name: &str) -> Response {
    let content = html! {
        section.narrow {
            p.code { "404" }
            h1 { "This is no trace id" }
            p.lead { "A trace id has 32 hexadecimal digits, not all zero. This is " (text::short(name, 100)) "." }
            div.actions { a.button href="/traces" { "All traces" } }
        }
    };
    let page = frame::layout("No such trace", Place::Traces, html! {}).page(content);
    (StatusCode::NOT_FOUND, page).into_response()
}

fn answer(lens: &Lens, content: Markup) -> Response {
    let page = frame::page(lens, "No such trace", Place::Traces, content);
    (StatusCode::NOT_FOUND, page).into_response()
}
