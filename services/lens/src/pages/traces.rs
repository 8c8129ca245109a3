//! The list of traces.

mod empty;
mod events;
mod palette;
mod rows;
mod scatter;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use pages::assets::href;

pub(super) use self::{events::events, palette::Palette, rows::root_duration};
use super::{
    Files, SEARCH, filter,
    frame::{self, Place},
    unfinished,
};
use crate::{
    Lens, clock,
    params::Params,
    state,
    store::{Cuts, List, Page, TraceCursor, TraceFilter, TraceRow},
};

const PATH: &str = "/traces";

const EXAMPLE: &str = "service:auth duration>200ms status:error";

/// Number of traces on a page.
const ROWS: usize = 50;

/// Number of traces in the chart: those of the page, and the next older ones.
const DOTS: usize = 300;

pub(super) async fn list(State(lens): State<Arc<Lens>>, params: Params) -> Response {
    state::work(&lens, move |lens| page(lens, &params, SEARCH))
        .await
        .into_response()
}

/// `within` is the time of a search.
fn page(lens: &Lens, params: &Params, within: Duration) -> Markup {
    let (content, problems) = match filter_of(params) {
        Ok(filter) => (content(lens, params, &filter, within), Vec::new()),
        // The form says what is wrong.
        Err(problems) => (html! {}, problems),
    };
    let content = html! {
        h1 { "Traces" }
        (filter::form(PATH, &params.without("before"), EXAMPLE, &problems))
        (content)
    };
    frame::page(lens, "Traces", Place::Traces, content)
}

fn content(lens: &Lens, params: &Params, filter: &TraceFilter, within: Duration) -> Markup {
    let page = Page {
        limit: DOTS,
        before: params.parse("before"),
    };
    // Before the list is read: a trace that comes now is in the list or in the stream.
    let position = lens.store.positions().spans;
    let list = lens.store.traces_within(filter, &page, within);
    let rows = &list.rows[..list.rows.len().min(ROWS)];
    let next = match rows.last() {
        Some(last) if list.rows.len() > ROWS => Some(last.place()),
        _ => list.next,
    };
    let older = next.map(|next| params.with("before", next).href(PATH));
    let nothing_yet = older
        .as_ref()
        .and_then(|older| unfinished::nothing_yet(&list, older));
    html! {
        @if page.before.is_none() { (news(params, position, &list)) }
        @if let Some(nothing_yet) = &nothing_yet {
            (nothing_yet)
        } @else if rows.is_empty() {
            (empty::reason(lens, params))
        } @else {
            (scatter::figure(&list.rows, Cuts::new(lens.store.stats().spans.since, clock::future())))
            (rows::table(rows))
        }
        nav.pages aria-label="Pages" {
            @if page.before.is_some() {
                a href=(params.without("before").href(PATH)) { "Newest" }
            }
            @if let Some(older) = older.filter(|_| nothing_yet.is_none()) {
                a rel="next" href=(older) { "Older" }
                @if rows.len() == list.rows.len() { (unfinished::note(&list)) }
            }
        }
    }
}

/// A link to new traces, which a script shows when there are some.
fn news(params: &Params, position: u64, list: &List<TraceRow, TraceCursor>) -> Markup {
    let last = list.rows.last().filter(|_| list.next.is_some());
    let events = match last {
        // Older ones are not on the first page.
        Some(last) => params.with("since", last.start),
        None => params.clone(),
    };
    html! {
        p.news {
            a.button #news hidden href=(params.href(PATH)) data-after=(position)
                data-events=(events.href("/traces/events")) {}
            // Screen readers announce new traces.
            span #said.hidden role="status" {}
        }
        script type="module" src=(href::<Files>("traces.js")) {}
    }
}

fn filter_of(params: &Params) -> Result<TraceFilter, Vec<String>> {
    filter::read(params)?
        .to_trace_filter()
        .map_err(|terms| terms.iter().map(ToString::to_string).collect())
}
