//! The Activity page. The list is complete without the script, which only adds new events.

use std::sync::Arc;

use maud::{Markup, html};
use pages::{assets::href, moment};
use uuid::Uuid;

use super::{Files, Frame, Place};
use crate::activity::{Entry, KEPT, Kind, Source};

pub(crate) fn page(frame: &Frame, source: Source, entries: &[Arc<Entry>]) -> Markup {
    let content = html! {
        section.feed {
            div.heading {
                h1 { "Activity" }
                // The script shows here whether new events arrive without a reload.
                p #link role="status" {}
                @if source != Source::Off { a #reload href="/activity" { "Reload" } }
            }
            p.lead {
                "Registrations, sign-ins and sign-outs, and the trace of each request that was exported. \
                 An account is shown by the last 8 characters of its id, never by its email."
            }
            div #notice role="status" { (notice(source)) }
            @if source != Source::Off {
                // For screen readers: a short sentence instead of whole rows.
                p #news .hidden role="status" {}
                ol #events .card.events aria-label="Events, newest first" data-limit=(KEPT) {
                    @for entry in entries { (row(frame, entry)) }
                }
                p.card.nothing {
                    "Nothing has happened yet. To see the first event, "
                    a href="/register" { "create an account" } "."
                }
                script type="module" src=(href::<Files>("activity.js")) {}
            }
        }
    };
    frame.page("Activity", Place::Activity, content)
}

/// One event, as HTML for the page and for the stream.
pub(crate) fn row(frame: &Frame, entry: &Entry) -> Markup {
    let (class, text) = words(entry.kind);
    html! {
        li #(entry.id) {
            p.what { span.state.(class) { (text) } (moment::to_the_second(entry.time)) }
            p.from {
                @if let Some(account) = entry.account {
                    span { "Account " code { (short(account)) } }
                }
                @match entry.trace {
                    Some(trace) => span { "Trace " (frame.trace_link(&trace.to_string())) },
                    None => span { "No trace" },
                }
            }
        }
    }
}

/// The notice about the source of events.
pub(crate) fn notice(source: Source) -> Markup {
    match source {
        Source::Off => html! {
            p.card {
                "Events are switched off, because no event broker is configured. To see events, \
                 set " code { "KAFKA_BROKERS" } "."
            }
        },
        Source::Silent => html! {
            p.alert {
                "The event broker does not answer. New events appear when it is back."
            }
        },
        Source::Live => html! { span hidden {} },
    }
}

fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Registered => ("good", "Registered"),
        Kind::SignedIn => ("good", "Signed in"),
        Kind::SignedInByRegistering => ("good", "Signed in by registering"),
        Kind::WrongCredentials => ("bad", "Sign-in failed: wrong email or password"),
        Kind::SignInFailed => ("bad", "Sign-in failed"),
        Kind::SignedOut => ("plain", "Signed out"),
        Kind::SessionRevoked => ("plain", "Session ended"),
    }
}

/// The end of an id, which is random. The start is a time, so many accounts share it.
fn short(account: Uuid) -> String {
    let id = account.simple().to_string();
    format!("…{}", &id[id.len() - 8..])
}
