//! A list without log records.

use maud::{Markup, html};

use super::PATH;
use crate::{Lens, params::Params};

/// Why there are no log records, and what to do next.
pub(super) fn reason(lens: &Lens, params: &Params) -> Markup {
    let stats = lens.store.stats();
    html! {
        section.card.nothing {
            @if stats.logs.records == 0 {
                h2 { "There are no log records yet" }
                p { "To send some, set this variable for a program with an OpenTelemetry SDK, and use the program:" }
                pre { code { "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317" } }
                p {
                    "Many SDKs send log records only with a bridge for the logger of the program. "
                    a href="/doctor" { "What was refused" } " tells of requests that arrived but could not be stored."
                }
            } @else if params.get("from").is_some() || params.get("to").is_some() {
                h2 { "No log record of this time matches" }
                p { a href=(params.without("from").without("to").without("before").href(PATH)) { "Show all times" } }
            } @else if params.get("q").is_some() {
                h2 { "No log record matches" }
                p {
                    a href=(params.without("q").without("before").href(PATH)) { "Show all log records" }
                    ", or change the filter."
                }
            } @else {
                h2 { "There are no older log records" }
                p { a href=(PATH) { "Show the newest" } }
            }
        }
    }
}
