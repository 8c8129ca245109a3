//! The status page: the state of every part, and the firing alerts.

use std::time::Duration;

use maud::{Markup, html};
use pages::moment;
use url::Url;

use super::{Frame, Place};
use crate::status::{Alert, Alerts, Answers, Outcome, Severity, State};

pub(crate) fn page(frame: &Frame, is_ready: bool, answers: &Answers) -> Markup {
    let own = if is_ready {
        State::Ready
    } else {
        State::NotReady
    };
    let parts = &answers.parts;
    let not_ready = parts
        .iter()
        .map(|part| part.state)
        .chain([own])
        .filter(|state| *state != State::Ready)
        .count();
    let fire = match &answers.alerts {
        Some(Alerts::Firing(alerts)) => alerts.len(),
        Some(Alerts::Unknown) | None => 0,
    };
    let content = html! {
        section.narrow {
            h1 { "Status" }
            p.lead {
                @match not_ready {
                    0 => "All parts are ready",
                    1 => "One part is not ready",
                    many => { (many) " parts are not ready" }
                }
                @match fire {
                    0 => ".",
                    1 => { ", and " a href="#alerts" { "one alert is firing" } "." }
                    many => { ", and " a href="#alerts" { (many) " alerts are firing" } "." }
                }
            }
            div.card.table {
                table {
                    caption.hidden { "Each part, its state, and the time it took to answer" }
                    thead {
                        tr {
                            th scope="col" { "Part" }
                            th scope="col" { "State" }
                            th.number scope="col" { "Time" }
                        }
                    }
                    tbody {
                        (row("frontend", own, text(own), None))
                        @for part in parts {
                            (row(&part.name, part.state, &count(part), Some(part.took)))
                        }
                    }
                }
            }
            @if let Some(alerts) = &answers.alerts { (firing(alerts)) }
            div.actions { a.button.quiet href="/status" { "Check again" } }
        }
    };
    frame.page("Status", Place::Status, content)
}

fn text(state: State) -> &'static str {
    match state {
        State::Ready => "Ready",
        State::NotReady => "Not ready",
        State::Silent => "No answer",
    }
}

/// The state of a part. If it has several instances, with the number of those that are ready.
fn count(part: &Outcome) -> String {
    let text = text(part.state);
    match (part.ready, part.instances) {
        (_, 0..=1) => text.to_owned(),
        (0, all) => format!("{text}: 0 of {all}"),
        (ready, all) if ready == all => format!("{text}: {ready} of {all}"),
        (ready, all) => format!("{ready} of {all} ready"),
    }
}

fn row(name: &str, state: State, text: &str, took: Option<Duration>) -> Markup {
    let class = match state {
        State::Ready => "ready",
        State::NotReady | State::Silent => "not-ready",
    };
    html! {
        tr {
            th scope="row" { (name) }
            td { span.state.(class) { (text) } }
            td.number {
                @match took {
                    None => "this process",
                    Some(took) if state == State::Silent => { "over " (took.as_secs()) " s" }
                    Some(took) => (format!("{:.1} ms", took.as_secs_f64() * 1000.0)),
                }
            }
        }
    }
}

fn firing(alerts: &Alerts) -> Markup {
    html! {
        h2 #alerts { "Alerts" }
        @match alerts {
            Alerts::Unknown => p { "Alertmanager does not answer, so alerts cannot be shown." },
            Alerts::Firing(alerts) if alerts.is_empty() => p { "No alerts are firing." },
            Alerts::Firing(alerts) => ul.card.events {
                @for alert in alerts { li { (one(alert)) } }
            },
        }
    }
}

fn one(alert: &Alert) -> Markup {
    let (class, text) = match alert.severity {
        Severity::Critical => ("bad", "Critical"),
        Severity::Warning => ("plain", "Warning"),
    };
    html! {
        div.what {
            h3 { (alert.summary) }
            span.state.(class) { (text) }
        }
        @if let Some(description) = &alert.description { p { (description) } }
        p.from {
            code { (alert.name) }
            @if let Some(since) = alert.since {
                span { "since " (moment::to_the_second(since)) }
            }
            @if let Some(runbook) = &alert.runbook { (link(runbook)) }
        }
    }
}

/// The runbook of an alert. An alert rule may hold any text, so only http and https URLs become
/// links.
fn link(runbook: &str) -> Markup {
    let is_web = Url::parse(runbook).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    html! {
        @if is_web { a href=(runbook) { "Runbook" } } @else { code { (runbook) } }
    }
}
