//! The list of traces.

mod empty;
mod palette;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use pages::assets::href;

pub(super) use self::palette::Palette;
use super::{
    Files, filter,
    frame::{self, Place},
};
use crate::{
    Lens,
    params::Params,
    state,
    store::{Page, TraceCursor, TraceFilter},
};

const EXAMPLE: &str = "service:auth duration>200ms status:error";

/// Number of traces on a page.
const ROWS: usize = 50;

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
            limit: ROWS,
            before,
        };
        lens.store.traces(&filter, &page)
    });
    let content = html! {
        link rel="stylesheet" href=(href::<Files>("trace.css"));
        h1 { "Traces" }
        (filter::form("/traces", params, EXAMPLE, &problems))
        @match &list {
            // The form says what is wrong.
            None => {}
            Some(list) if list.rows.is_empty() => (empty::reason(lens, params)),
            Some(list) => {
                (rows::table(lens, &list.rows))
                nav.pages aria-label="Pages" {
                    @if before.is_some() {
                        a href=(params.without("before").href("/traces")) { "Newest" }
                    }
                    @if let Some(next) = list.next {
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
