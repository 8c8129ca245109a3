//! The list of traces.

mod empty;
mod palette;
mod rows;
mod scatter;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};

pub(super) use self::palette::Palette;
use super::{
    filter,
    frame::{self, Place},
};
use crate::{
    Lens,
    params::Params,
    state,
    store::{Page, TraceCursor, TraceFilter, TraceRow},
};

const EXAMPLE: &str = "service:auth duration>200ms status:error";

/// Number of traces on a page.
const ROWS: usize = 50;

/// Number of traces in the chart: those of the page, and the next older ones.
const DOTS: usize = 300;

pub(super) async fn list(State(lens): State<Arc<Lens>>, params: Params) -> Response {
    state::work(&lens, move |lens| page(lens, &params))
        .await
        .into_response()
}

fn page(lens: &Lens, params: &Params) -> Markup {
    let (filter, problems) = match filter_of(params) {
        Ok(filter) => (Some(filter), Vec::new()),
        Err(problems) => (None, problems),
    };
    let before = params.get("before").and_then(cursor);
    let list = filter.map(|filter| {
        let page = Page {
            limit: DOTS,
            before,
        };
        lens.store.traces(&filter, &page)
    });
    let content = html! {
        h1 { "Traces" }
        (filter::form("/traces", &params.without("before"), EXAMPLE, &problems))
        @match &list {
            // The form says what is wrong.
            None => {}
            Some(list) if list.rows.is_empty() => (empty::reason(lens, params)),
            Some(list) => {
                @let rows = &list.rows[..list.rows.len().min(ROWS)];
                (scatter::figure(&list.rows))
                (rows::table(rows))
                nav.pages aria-label="Pages" {
                    @if before.is_some() {
                        a href=(params.without("before").href("/traces")) { "Newest" }
                    }
                    @if let Some(next) = rows.last().filter(|_| list.rows.len() > ROWS).map(after) {
                        a rel="next" href=(params.with("before", text(next)).href("/traces")) { "Older" }
                    }
                }
            }
        }
    };
    frame::page(lens, "Traces", Place::Traces, content)
}

fn filter_of(params: &Params) -> Result<TraceFilter, Vec<String>> {
    filter::read(params)?
        .to_trace_filter()
        .map_err(|terms| terms.iter().map(ToString::to_string).collect())
}

/// The place after a trace.
fn after(row: &TraceRow) -> TraceCursor {
    TraceCursor {
        start: row.start,
        trace: row.id,
    }
}

/// A cursor in a URL.
fn text(cursor: TraceCursor) -> String {
    format!("{}-{}", cursor.start, cursor.trace)
}

fn cursor(text: &str) -> Option<TraceCursor> {
    let (start, trace) = text.split_once('-')?;
    Some(TraceCursor {
        start: start.parse().ok()?,
        trace: trace.parse().ok()?,
    })
}
