//! The status of every part.

use std::time::Duration;

use maud::{Markup, html};

use super::{Frame, Place};
use crate::status::{Outcome, State};

pub(crate) fn page(frame: &Frame, is_ready: bool, outcomes: &[Outcome]) -> Markup {
    let own = if is_ready {
        State::Ready
    } else {
        State::NotReady
    };
    let not_ready = outcomes
        .iter()
        .map(|outcome| outcome.state)
        .chain([own])
        .filter(|state| *state != State::Ready)
        .count();
    let content = html! {
        section.narrow {
            h1 { "Status" }
            p.lead {
                @match not_ready {
                    0 => "All parts are ready.",
                    1 => "One part is not ready.",
                    many => { (many) " parts are not ready." }
                }
            }
            div.card.table {
                table {
                    caption.hidden { "Every part, its state, and how long it took to answer" }
                    thead {
                        tr {
                            th scope="col" { "Part" }
                            th scope="col" { "State" }
                            th.number scope="col" { "Time" }
                        }
                    }
                    tbody {
                        (row("frontend", own, None))
                        @for outcome in outcomes {
                            (row(&outcome.name, outcome.state, Some(outcome.took)))
                        }
                    }
                }
            }
            div.actions { a.button.quiet href="/status" { "Check again" } }
        }
    };
    frame.page("Status", Place::Status, content)
}

fn row(name: &str, state: State, took: Option<Duration>) -> Markup {
    let (class, text) = match state {
        State::Ready => ("ready", "Ready"),
        State::NotReady => ("not-ready", "Not ready"),
        State::Silent => ("not-ready", "No answer"),
    };
    html! {
        tr {
            th scope="row" { (name) }
            td { span.state.(class) { (text) } }
            td.number {
                @match took {
                    None => "here",
                    Some(took) if state == State::Silent => { "over " (took.as_secs()) " s" }
                    Some(took) => (format!("{:.1} ms", took.as_secs_f64() * 1000.0)),
                }
            }
        }
    }
}
