//! Log records on the page of a trace.

use maud::{Markup, html};

use super::{scale::Scale, view::View};
use crate::{
    pages::{format, text, value},
    store::{SpanId, StoredLog},
};

/// Maximum number of log records in a list.
const MOST: usize = 200;

/// Maximum number of attributes of a log record on one line.
const ATTRIBUTES: usize = 4;

/// A log record on one line.
pub(super) fn line(scale: &Scale, log: &StoredLog) -> Markup {
    let record = &log.record;
    let body = value::plain(record.body.as_ref());
    html! {
        (level(record.severity_number, &record.severity_text))
        span.at { @if log.time == 0 { "no time" } @else { (scale.offset(log.time)) } }
        span.body {
            @match (body.is_empty(), record.event_name.is_empty()) {
                (false, _) => (text::short(&body, 300)),
                (true, false) => strong { (text::short(&record.event_name, 100)) },
                (true, true) => em { "no body" },
            }
            @for attribute in record.attributes.iter().take(ATTRIBUTES) {
                " " span.pair {
                    (text::short(&attribute.key, 40)) "=" (text::short(&value::plain(attribute.value.as_ref()), 60))
                }
            }
        }
    }
}

/// Log records in full.
pub(super) fn list(view: &View<'_>, numbers: &[usize]) -> Markup {
    let first = &numbers[..numbers.len().min(MOST)];
    html! {
        ol.logs {
            @for log in view.read_logs(first) {
                li {
                    details {
                        summary { (line(&view.scale, &log)) }
                        (full(view, &log))
                    }
                }
            }
        }
        @if numbers.len() > MOST {
            p.hint { "And " (format::count((numbers.len() - MOST) as u64)) " more. OTLP JSON has all of them." }
        }
    }
}

fn full(view: &View<'_>, log: &StoredLog) -> Markup {
    let record = &log.record;
    let span = SpanId::from_bytes(&record.span_id);
    html! {
        dl.pairs {
            dt { "body" } dd { (value::value(record.body.as_ref())) }
            @if !record.event_name.is_empty() { dt { "event" } dd { (text::long(&record.event_name)) } }
            dt { "service" } dd { (text::name(&log.source.service, "no service.name")) }
            dt { "time" }
            dd {
                @if record.time_unix_nano == 0 { em { "not set" } } @else { (format::time(record.time_unix_nano)) }
                @if record.observed_time_unix_nano != 0 { ", observed " (format::time(record.observed_time_unix_nano)) }
            }
            @if let Some(span) = span {
                dt { "span" } dd { code { (span) } }
            }
            (view.measured().facts(&log.source.service, Some(view.id), span))
            @if record.dropped_attributes_count > 0 {
                dt { "dropped attributes" } dd { (record.dropped_attributes_count) }
            }
        }
        (value::list(&record.attributes, Some("/logs")))
    }
}

/// The log records of the trace that have no stored span.
pub(super) fn unplaced(view: &View<'_>) -> Markup {
    let numbers = view.unplaced();
    html! {
        @if !numbers.is_empty() {
            section.card.unplaced {
                h2 {
                    @if view.has_spans() { "Log records of this trace without a stored span" }
                    @else { "Log records" }
                }
                (list(view, numbers))
            }
        }
    }
}

/// The level of a log record in words. Its text is that of the sender.
pub(super) fn level(number: i32, text: &str) -> Markup {
    let (class, name) = match number {
        1..=4 => ("", "TRACE"),
        5..=8 => ("", "DEBUG"),
        9..=12 => ("", "INFO"),
        13..=16 => ("warn", "WARN"),
        17..=20 => ("failed", "ERROR"),
        21..=24 => ("failed", "FATAL"),
        _ => ("", "LOG"),
    };
    let title = (!text.is_empty()).then(|| text::line(text::split(text, 50).0).into_owned());
    html! { span class=(format!("level {class}").trim()) title=[title] { (name) } }
}
