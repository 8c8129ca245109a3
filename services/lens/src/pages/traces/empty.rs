//! A list of traces without rows.

use maud::{Markup, html};

use crate::{Lens, params::Params};

/// Why there are no rows, and what to do next.
pub(super) fn reason(lens: &Lens, params: &Params) -> Markup {
    let stats = lens.store.stats();
    let is_filtered = params.get("q").is_some();
    html! {
        section.card.nothing {
            @if stats.spans.records == 0 {
                h2 { "There are no traces yet" }
                p { "To send some, set this variable for a program with an OpenTelemetry SDK, and use the program:" }
                pre { code { "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317" } }
                p {
                    "Port 4318 takes OTLP over HTTP. The ports differ if lens was started with others. "
                    a href="/doctor" { "What was refused" } " tells of requests that arrived but could not be stored."
                }
            } @else if is_filtered {
                h2 { "No trace matches" }
                p {
                    a href=(params.without("q").without("before").href("/traces")) { "Show all traces" }
                    ", or change the filter. A trace matches if one of its spans meets all conditions."
                }
            } @else {
                h2 { "There are no older traces" }
                p { a href="/traces" { "Show the newest" } }
            }
        }
    }
}
