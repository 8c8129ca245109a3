//! The page of a trace that is not stored.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use pages::assets::href;

use crate::{
    Lens,
    pages::{
        Files, format,
        frame::{self, Place},
        links, text,
    },
    query::Condition,
    store::TraceId,
};

/// The page of a trace that was evicted, or never came.
pub(in super::super) fn page(lens: &Lens, id: TraceId) -> Response {
    let stats = lens.store.stats();
    let evicted = stats.spans.evicted + stats.logs.evicted;
    // A script loads the page when spans of the trace arrive, or have arrived since they were looked for.
    let events = links::list("/traces/events", [Condition::Trace(id)]);
    let content = html! {
        section.narrow {
            p.code { "404" }
            h1 { "This trace is not stored" }
            p.lead {
                "Nothing of trace " code { (id) } " is in memory. Spans arrive some seconds after they end. If the trace is new, "
                "load this page again."
            }
            div.actions {
                a.button #again href="" data-after="0" data-events=[events] { "Load again" }
                a.button.quiet href="/traces" { "All traces" }
            }
            @if evicted > 0 {
                p.aside {
                    "An older trace may have been evicted: " (format::count(evicted))
                    " spans and log records have left, because the store is full. Give lens more memory with "
                    code { "LENS_MEMORY" } "."
                }
            } @else {
                p.aside {
                    "Lens has evicted nothing since it started. So an older trace was not sampled, was not sent to lens, or "
                    "came before the start."
                }
            }
            p.aside { "The " a href="/doctor" { "Doctor" } " lists requests that lens refused." }
        }
        script type="module" src=(href::<Files>("trace.js")) {}
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
