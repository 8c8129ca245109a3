//! The page of two traces side by side.

mod roots;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod usual;

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

use super::{
    format,
    frame::{self, Place},
    text, trace, traces,
};
use crate::{
    Lens,
    analysis::Waterfall,
    params::Params,
    store::{TraceId, TraceRow},
};

/// `/traces/ID?with=OTHER`. `OTHER` is a trace id, or `usual`.
pub(super) fn page(lens: &Lens, id: TraceId, other: &str, params: &Params) -> Response {
    let Some(row) = lens.store.trace_row(id) else {
        return trace::absent(lens, id);
    };
    let usual = usual::find(lens, &row);
    let other = other.trim();
    let with = match other {
        "usual" => usual,
        id => id.parse().ok(),
    };
    let is_alone = other == "usual" && with.is_none();
    let problem = match (other, with) {
        ("usual", None) => None,
        (_, None) => Some("A trace id has 32 hexadecimal digits, not all zero.".to_owned()),
        (_, Some(with)) if with == id => Some("This is the same trace.".to_owned()),
        (_, Some(with)) if lens.store.trace_row(with).is_none() => Some(format!(
            "Trace {with} is not stored: it was evicted, or has not arrived."
        )),
        _ => None,
    };
    let both = with
        .filter(|_| problem.is_none())
        .and_then(|with| both(lens, id, with));
    let status = match both {
        Some(_) => StatusCode::OK,
        None if is_alone => StatusCode::OK,
        None => StatusCode::NOT_FOUND,
    };
    let shown = match with {
        Some(with) => with.to_string(),
        None if is_alone => String::new(),
        None => other.to_owned(),
    };
    let content = html! {
        h1 { "Two traces side by side" }
        @if is_alone {
            p.notice {
                "There is no trace to compare with: no other stored trace has the root "
                span.service { (text::name(&row.service, "no service.name")) } " " (text::name(&row.name, "no name")) "."
            }
        }
        (form(&row, &shown, usual, problem.as_deref()))
        @if let Some(both) = both { (both) }
        p.aside { a href=(params.without("with").href(&format!("/traces/{id}"))) { "Back to the trace" } }
    };
    let page = frame::page(lens, "Two traces side by side", Place::Traces, content);
    (status, page).into_response()
}

fn both(lens: &Lens, first: TraceId, second: TraceId) -> Option<Markup> {
    let outlines = [lens.store.outline(first)?, lens.store.outline(second)?];
    let rows = [lens.store.trace_row(first)?, lens.store.trace_row(second)?];
    let traces = outlines.each_ref().map(Waterfall::new);
    let steps = tree::align([&traces[0], &traces[1]]);
    Some(html! {
        (summary(&rows))
        (table::table(&steps))
        (roots::differences(&outlines, &traces))
    })
}

/// The form for the other trace.
fn form(row: &TraceRow, other: &str, usual: Option<TraceId>, problem: Option<&str>) -> Markup {
    let path = format!("/traces/{}", row.id);
    html! {
        form.filter.other method="get" action=(path) {
            label for="with" { "Compare with" }
            div.wrong[problem.is_some()] {
                input #with name="with" value=(other) autocomplete="off" spellcheck="false"
                    aria-describedby="with-hint" aria-invalid=[problem.map(|_| "true")];
            }
            button.button type="submit" { "Compare" }
            div #with-hint .hint {
                @if let Some(problem) = problem { p.error { (problem) } }
                "A trace id. "
                @if let Some(usual) = usual {
                    a href=(format!("{path}?with={usual}")) { "A usual one of the same operation" }
                    " has the median duration of the root among the stored traces with this root."
                }
            }
        }
    }
}

fn summary(rows: &[TraceRow; 2]) -> Markup {
    html! {
        div.card.table tabindex="0" role="region" aria-label="The two traces" {
            table {
                thead {
                    tr {
                        th scope="col" { "Trace" } th scope="col" { "Root" } th scope="col" { "Start (UTC)" }
                        th.number scope="col" { "Duration" } th.number scope="col" { "Spans" } th.number scope="col" { "Errors" }
                    }
                }
                tbody {
                    @for (label, row) in ["A (this trace)", "B"].into_iter().zip(rows) {
                        tr {
                            th scope="row" { (label) }
                            td {
                                a href=(trace::path(row.id, None)) {
                                    (text::name(&row.service, "no service.name")) " " (text::name(&row.name, "no name"))
                                }
                            }
                            td { @if row.start == 0 { em { "no start" } } @else { (format::time(row.start)) } }
                            td.number {
                                (format::duration(row.duration))
                                @if let Some(root) = traces::root_duration(row) { " (root " (root) ")" }
                            }
                            td.number { (format::count(row.spans.into())) }
                            td.number { (format::count(row.errors.into())) }
                        }
                    }
                }
            }
        }
    }
}
