//! The rows of a waterfall.

use std::collections::HashMap;

use maud::{Markup, html};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{
    bar, cell, detail,
    detail::kind,
    head::errors,
    logs, marks, named,
    shown::Shown,
    state::{ROWS, State},
    view::View,
};
use crate::{
    analysis::{Group, Item, Node, Row},
    pages::{format, overview::plural, text},
    store::{SpanId, StoredLog, TraceSpan},
};

/// Maximum number of log records below a span. The selected span shows more.
const LOGS: usize = 5;

/// What all rows of a page need.
struct Table<'a, 'b> {
    view: &'b View<'a>,
    state: &'b State,
    shown: &'b Shown<'a>,
    spans: HashMap<SpanId, TraceSpan>,
    /// The first log records of each span.
    logs: HashMap<SpanId, Vec<StoredLog>>,
    /// The least depth of the page, from which rows are indented.
    depth: usize,
}

pub(super) fn table<'a>(view: &View<'a>, state: &State, shown: &Shown<'a>) -> Markup {
    let from = state.first_row();
    let waterfall = shown.waterfall(view);
    let window = waterfall.rows(from, ROWS, &state.collapsed);
    let numbers = window.rows.iter().filter_map(|row| match row.item {
        Item::Span(node) => Some(shown.whole(view, node)?.index()),
        Item::Missing(_) | Item::Group(_) => None,
    });
    let numbers: Vec<usize> = numbers.collect();
    let table = Table {
        view,
        state,
        shown,
        logs: first_logs(view, state, &numbers),
        spans: view.read_spans(numbers),
        depth: window.rows.iter().map(|row| row.depth).min().unwrap_or(0),
    };
    let end = from + window.rows.len();
    html! {
        (pager(state, from, end, window.total, "Rows above"))
        div.card.table.wide-table tabindex="0" role="region" aria-label="Waterfall" {
            table.waterfall {
                caption.hidden { "Spans, each below its parent, with bars on a time axis" }
                colgroup { col.c-span; col.c-number; col.c-number.own; col.c-axis; }
                thead {
                    tr {
                        th scope="col" { "Span" }
                        th.number scope="col" { "Duration" }
                        th.number.own scope="col" title="Time that no child covers" { "Self" }
                        th.times scope="col" { span.hidden { "Time axis" } (view.scale.ruler()) }
                    }
                }
                tbody {
                    @for row in &window.rows { (table.row(row)) }
                    @if window.rows.is_empty() {
                        tr { td colspan="4" { "No span is left. " a href=(clear(state)) { "Show all spans" } } }
                    }
                }
            }
        }
        (pager(state, from, end, window.total, "Rows below"))
    }
}

/// The first log records of spans, decoded together because blocks are unpacked in order.
fn first_logs(view: &View<'_>, state: &State, spans: &[usize]) -> HashMap<SpanId, Vec<StoredLog>> {
    let mut logs: HashMap<SpanId, Vec<StoredLog>> = HashMap::new();
    if !state.logs {
        return logs;
    }
    let spans = spans
        .iter()
        .filter_map(|&number| view.full.spans().get(number));
    let mut numbers: Vec<usize> = spans
        .flat_map(|span| view.logs_of(span.span).iter().take(LOGS).copied())
        .collect();
    numbers.sort_unstable();
    for log in view.read_logs(&numbers) {
        if let Some(span) = SpanId::from_bytes(&log.record.span_id) {
            logs.entry(span).or_default().push(log);
        }
    }
    logs
}

/// The state without what hides spans.
pub(super) fn clear(state: &State) -> String {
    state.change(|state| {
        state.only = None;
        state.hidden = None;
    })
}

/// Links to the rows before and after. Empty if all rows are on the page.
fn pager(state: &State, from: usize, end: usize, total: usize, label: &str) -> Markup {
    if from == 0 && end >= total {
        return html! {};
    }
    html! {
        nav.pages aria-label=(label) {
            @if from > 0 { a rel="prev" href=(state.page(from.saturating_sub(ROWS))) { "Earlier rows" } }
            span {
                "Rows " (format::count(from as u64 + 1)) " to " (format::count(end as u64))
                " of " (format::count(total as u64))
            }
            @if end < total { a rel="next" href=(state.page(end)) { "Later rows" } }
        }
    }
}

impl Table<'_, '_> {
    fn row(&self, row: &Row) -> Markup {
        match row.item {
            Item::Span(node) => {
                html! { @if let Some(node) = self.shown.whole(self.view, node) { (self.span(row, node)) } }
            }
            Item::Missing(node) => self.missing(row, node),
            Item::Group(group) => self.group(row, &group),
        }
    }

    fn span(&self, row: &Row, node: Node) -> Markup {
        let (view, state) = (self.view, self.state);
        let Some(span) = view.full.span(node) else {
            return html! {};
        };
        let id = span.span;
        let decoded = self.spans.get(&id);
        let is_selected = state.span == Some(id);
        let class = view.palette.class(span.service);
        let marks = marks::of(view.full.marks(node), decoded.map(|decoded| &decoded.span));
        let message = decoded
            .and_then(|decoded| decoded.span.status.as_ref())
            .map_or("", |status| &status.message);
        html! {
            tr #{"s-" (id)} .(class) .error[span.error] .selected[is_selected]
                data-row="" aria-current=[is_selected.then_some("true")] {
                th scope="row" {
                    div.cell {
                        (cell::indent(row, self.depth))
                        @if row.parent { (cell::toggle(row.hidden == 0, &state.toggle_closed(id))) } @else { span.toggle {} }
                        a.name href=(state.toggle_selected(id)) { (named(class, span.service, span.name)) }
                        @if span.error { " " span.state.bad { "Error" } }
                        @for mark in marks.iter().filter(|mark| !mark.is_common) {
                            " " span.mark-word title=(mark.long) { (mark.short) }
                        }
                        @if row.hidden > 0 { " " span.hint { "+" (format::count(row.hidden as u64)) " below" } }
                        @if let Some(kind) = row_kind(span.kind) { " " span.hint.kind { (kind) } }
                        @if span.error && !message.is_empty() { " " span.message { (text::short(message, 160)) } }
                        @if !view.critical(node).is_empty() { span.hidden { " On the critical path." } }
                    }
                }
                td.number { @if span.start != 0 { (format::duration(span.duration)) } @else { "–" } }
                td.number.own { (format::duration(view.full.self_time(node))) }
                td.times { (bar::span(view, node, decoded)) }
            }
            @if is_selected {
                tr.detail.(class) { td colspan="4" { (detail::panel(view, state, node, decoded)) } }
            } @else if state.logs {
                (self.logs(row, id))
            }
        }
    }

    fn logs(&self, row: &Row, id: SpanId) -> Markup {
        let count = self.view.logs_of(id).len();
        html! {
            @for log in self.logs.get(&id).into_iter().flatten() {
                tr.log {
                    td colspan="2" {
                        div.cell { (cell::indent(row, self.depth)) span.toggle {} (logs::line(&self.view.scale, log)) }
                    }
                    td.own {}
                    td.times { (bar::moment(&self.view.scale, log.time)) }
                }
            }
            @if count > LOGS {
                tr.log {
                    td colspan="4" {
                        div.cell {
                            (cell::indent(row, self.depth)) span.toggle {}
                            a href=(self.state.select(id)) {
                                (plural((count - LOGS) as u64, "more log record", "more log records")) " of this span"
                            }
                        }
                    }
                }
            }
        }
    }

    fn missing(&self, row: &Row, node: Node) -> Markup {
        let waterfall = self.shown.waterfall(self.view);
        let id = waterfall.id(node);
        html! {
            tr.missing #{"s-" (id)} data-row="" {
                th scope="row" {
                    div.cell {
                        (cell::indent(row, self.depth))
                        (cell::toggle(row.hidden == 0, &self.state.toggle_closed(id)))
                        span {
                            em { "Span " code { (id) } " is not stored" }
                            span.hint { " It was evicted, not sampled, or has not arrived." }
                            @if row.hidden > 0 { " " span.hint { "+" (format::count(row.hidden as u64)) " below" } }
                        }
                    }
                }
                td.number { "–" }
                td.number.own { "–" }
                td.times { (bar::extent(self.view, waterfall.time(node).as_ref(), "span-bar gap")) }
            }
        }
    }

    fn group(&self, row: &Row, group: &Group) -> Markup {
        let waterfall = self.shown.waterfall(self.view);
        let Some(span) = waterfall.span(group.first) else {
            return html! {};
        };
        let id = span.span;
        let class = self.view.palette.class(span.service);
        let start = waterfall.time(group.first).map(|time| time.start);
        let end = waterfall.time(group.last).map(|time| time.end);
        let time = start.zip(end).map(|(start, end)| start..end.max(start));
        let href = self.state.toggle_group(id);
        html! {
            tr.group #{"g-" (id)} .(class) .error[group.errors > 0] data-row="" {
                th scope="row" {
                    div.cell {
                        (cell::indent(row, self.depth))
                        (cell::toggle(row.hidden == 0, &href))
                        a.name href=(href) {
                            strong { (format::count(group.count as u64)) " ×" } " "
                            (named(class, span.service, span.name))
                        }
                        " " span.hint { "longest " (format::duration(group.longest)) }
                        @if group.errors > 0 {
                            " " span.state.bad { (errors(group.errors as u64)) }
                        }
                    }
                }
                td.number title="Sum of the durations" { (format::duration(group.total)) }
                td.number.own { "–" }
                td.times { (bar::extent(self.view, time.as_ref(), "span-bar several")) }
            }
        }
    }
}

/// A kind that is worth a word on a row.
fn row_kind(span: SpanKind) -> Option<&'static str> {
    match span {
        SpanKind::Unspecified | SpanKind::Internal => None,
        other => Some(kind(other)),
    }
}
