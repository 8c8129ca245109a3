//! The start page: services, their map, and the newest errors.

mod empty;
mod errors;
mod map;
mod services;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::{
    chart::Period,
    format,
    frame::{self, Place},
    links,
};
use crate::{
    Lens,
    overview::{Overview, SECOND},
    params::Params,
    state,
    store::{Page, TraceFilter},
};

/// The windows: value in the URL, text, and length in nanoseconds. The first one is the default.
const WINDOWS: [(&str, &str, u64); 3] = [
    ("5m", "5 min", 300 * SECOND),
    ("15m", "15 min", 900 * SECOND),
    ("1h", "1 h", 3_600 * SECOND),
];

pub(super) async fn show(State(lens): State<Arc<Lens>>, params: Params) -> Response {
    let content = state::work(&lens, move |lens| content(lens, &params)).await;
    frame::page(&lens, "Overview", Place::Overview, content).into_response()
}

fn content(lens: &Lens, params: &Params) -> Markup {
    let wanted = params.get("last").unwrap_or_default();
    let known = WINDOWS.iter().find(|(value, _, _)| *value == wanted);
    let chosen = known.unwrap_or(&WINDOWS[0]);
    match Overview::of(lens, chosen.2) {
        Some(overview) => page(lens, &overview, params, chosen),
        None => empty::page(lens),
    }
}

fn page(
    lens: &Lens,
    overview: &Overview,
    params: &Params,
    (chosen, length, _): &(&str, &str, u64),
) -> Markup {
    let range = &overview.window.range;
    let older = html! { @if overview.services.rows.is_empty() { (older(lens)) } };
    let is_empty = overview.services.rows.is_empty() && overview.errors.rows.is_empty();
    html! {
        div.head {
            h1 { "Overview" }
            nav.choices aria-label="Time" {
                ul {
                    @for (value, text, _) in WINDOWS {
                        li {
                            a href=(params.with("last", value).href("/"))
                                aria-current=[(value == *chosen).then_some("true")] { (text) }
                        }
                    }
                }
            }
        }
        p.hint {
            (Period::new(range.start, range.end).caption())
            @if !overview.window.is_live {
                ". No span and no log record is of the last " (length)
                ": this is the time before the newest of them. The list has "
                a href="/traces" { "all traces" } "."
            }
        }
        (refused(lens))
        @if is_empty {
            p.lead { "No spans and no errors in this time." (older) }
        } @else {
            (services::section(overview, &older))
            (map::section(overview))
            (errors::section(&overview.errors))
        }
    }
}

/// Where traces of other times are, if there are any.
fn older(lens: &Lens) -> Markup {
    let page = Page {
        limit: 1,
        before: None,
    };
    let newest = lens.store.traces(&TraceFilter::default(), &page).rows.pop();
    html! {
        @if let Some(newest) = newest {
            " There are older " a href="/traces" { "traces" } ": "
            a href=(links::span(newest.id, None)) { "the newest" }
            @if newest.start != 0 { " began " (format::moment(newest.start)) }
            "."
        }
    }
}

/// A hint that something was refused lately.
fn refused(lens: &Lens) -> Markup {
    let notes = lens.doctor.notes();
    let requests: u64 = notes.iter().map(|note| note.refused).sum();
    let records: u64 = notes.iter().map(|note| note.rejected).sum();
    html! {
        @if requests + records > 0 {
            p.alert {
                (refusals(requests, records)) " "
                a href="/doctor" { "Doctor tells why" } "."
            }
        }
    }
}

/// What was refused, as a sentence.
fn refusals(requests: u64, records: u64) -> String {
    let requests_text = plural(requests, "request", "requests");
    let records_text = plural(records, "record", "records");
    match (requests, records) {
        (_, 0) => format!("lens refused {requests_text}."),
        (0, _) => format!("lens rejected {records_text}."),
        _ => format!("lens refused {requests_text}, and rejected {records_text} of others."),
    }
}

pub(super) fn plural(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{} {noun}", format::count(count))
}

/// Rates of one overview, which all have the same unit.
#[derive(Clone, Copy, Debug)]
struct Rates {
    /// The time over which things were counted, in nanoseconds.
    time: u64,
    is_per_minute: bool,
}

impl Rates {
    /// Per minute, unless something happens at least once a second.
    fn new(time: u64, most: u64) -> Self {
        let time = time.max(1);
        Self {
            time,
            is_per_minute: most.saturating_mul(SECOND) < time,
        }
    }

    fn of(overview: &Overview) -> Self {
        let services = overview.services.rows.iter().map(|row| row.count);
        let calls = overview.map.calls.iter().map(|calls| calls.count);
        let most = services.chain(calls).max();
        Self::new(overview.services.time, most.unwrap_or(0))
    }

    fn text(self, count: u64) -> String {
        let (unit, length) = match self.is_per_minute {
            true => ("min", 60 * SECOND),
            false => ("s", SECOND),
        };
        let rate = count as f64 * length as f64 / self.time as f64;
        match rate {
            1_000.0.. => format!("{}/{unit}", format::count(rate.round() as u64)),
            _ if count > 0 && rate < 0.01 => format!("< 0.01/{unit}"),
            _ => format!("{}/{unit}", format::three_digits(rate)),
        }
    }
}

/// A share in percent. A share above zero is never shown as 0 %.
pub(super) fn share(part: u64, all: u64) -> String {
    let percent = 100.0 * part as f64 / all.max(1) as f64;
    match percent {
        _ if part == 0 => "0 %".to_owned(),
        0.1.. => format!("{} %", format::three_digits(percent)),
        _ => "< 0.1 %".to_owned(),
    }
}
