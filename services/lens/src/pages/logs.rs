//! The list of log records.

mod empty;
mod events;
mod levels;
mod line;
#[cfg(test)]
mod tests;
mod timeline;

use std::{ops::Range, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use maud::{Markup, html};
use pages::assets::href;

pub(super) use self::events::events;
use super::{
    Files, SEARCH, filter, format,
    frame::{self, Place},
    measured::Measured,
    unfinished,
};
use crate::{
    Lens,
    params::Params,
    query::Filter,
    state,
    store::{LogCursor, LogFilter, Page, TraceId},
};

const PATH: &str = "/logs";

const EXAMPLE: &str = "level>=warn service:auth \"timed out\"";

/// Number of log records on a page.
const ROWS: usize = 100;

/// Number of log records on a page that adds new ones.
const LIVE_ROWS: usize = 500;

/// The place of a page among all log records.
#[derive(Clone, Debug, Eq, PartialEq)]
struct View {
    /// The time, in nanoseconds since 1970.
    range: Range<u64>,
    before: Option<LogCursor>,
    /// Whether a script adds new log records.
    live: bool,
}

pub(super) async fn list(State(lens): State<Arc<Lens>>, params: Params) -> Response {
    state::work(&lens, move |lens| page(lens, &params, SEARCH))
        .await
        .into_response()
}

/// `within` is the time of a search.
fn page(lens: &Lens, params: &Params, within: Duration) -> Markup {
    let (content, problems) = match filter_of(params) {
        Ok((filter, logs)) => (content(lens, params, &filter, &logs, within), Vec::new()),
        // The form says what is wrong.
        Err(problems) => (html! {}, problems),
    };
    let content = html! {
        h1 { "Logs" }
        (filter::form(PATH, params, EXAMPLE, &problems))
        (content)
    };
    frame::page(lens, "Logs", Place::Logs, content)
}

fn content(
    lens: &Lens,
    params: &Params,
    filter: &Filter,
    logs: &LogFilter,
    within: Duration,
) -> Markup {
    let view = View::new(params);
    // Before the list is read: a log record that comes now is in the list or in the stream.
    let position = lens.store.positions().logs;
    let page = Page {
        limit: ROWS,
        before: view.before,
    };
    let range = view.range.clone();
    let (list, timeline) = lens.store.logs_over_time(logs, &page, range, within);
    let older = list.next.filter(|_| !view.live);
    let older = older.map(|next| params.with("before", next).href(PATH));
    let nothing_yet = older
        .as_ref()
        .and_then(|older| unfinished::nothing_yet(&list, older));
    let traces = list.rows.iter();
    let traces = traces.filter_map(|log| TraceId::from_bytes(&log.record.trace_id));
    let measured = Measured::of(lens, traces);
    let is_first = view.before.is_none() && !view.has_range();
    html! {
        (levels::links(params, filter))
        (timeline::figure(params, &view.range, &timeline))
        p.around {
            @let outside = [&timeline.earlier, &timeline.later];
            @let outside: u64 = outside.into_iter().flatten().map(|outside| outside.count).sum();
            @let total = timeline.total() + timeline.timeless + outside;
            span {
                (format::count(total)) @if total == 1 { " log record" } @else { " log records" }
                @if let Some(since) = timeline.since { " since " (format::time(since)) ", where the search ended" }
            }
            @if view.has_range() {
                a href=(params.without("from").without("to").without("before").href(PATH)) { "Show all times" }
            }
            @if view.live {
                span #link.state.plain hidden { "Live" }
                a #reload href=(params.href(PATH)) { "Reload" }
                a href=(params.without("tail").href(PATH)) { "Stop" }
                // Screen readers announce new log records.
                span #news.hidden role="status" {}
            } @else if is_first {
                a href=(params.with("tail", 1).href(PATH)) { "Live" }
            }
        }
        (timeline::outside(params, &timeline))
        @if let Some(nothing_yet) = &nothing_yet {
            (nothing_yet)
        } @else if list.rows.is_empty() && !view.live {
            (empty::reason(lens, params))
        } @else {
            ol #lines.lines data-after=[view.live.then_some(position)] data-limit=[view.live.then_some(LIVE_ROWS)]
                data-events=[view.live.then(|| params.without("tail").href("/logs/events"))] {
                @for log in &list.rows { (line::item(log, &measured)) }
            }
        }
        nav.pages aria-label="Pages" {
            @if view.before.is_some() {
                a href=(params.without("before").href(PATH)) { "Newest" }
            }
            @if let Some(older) = older.filter(|_| nothing_yet.is_none()) {
                a rel="next" href=(older) { "Older" }
                (unfinished::note(&list))
            }
        }
        @if view.live { script type="module" src=(href::<Files>("logs.js")) {} }
    }
}

impl View {
    fn new(params: &Params) -> Self {
        let live = params.get("tail").is_some();
        let from = params.parse("from").unwrap_or(0);
        let to = params.parse("to").unwrap_or(u64::MAX);
        Self {
            // New log records are outside of a range.
            range: if live { 0..u64::MAX } else { from..to },
            before: params.parse("before").filter(|_| !live),
            live,
        }
    }

    fn has_range(&self) -> bool {
        self.range != (0..u64::MAX)
    }
}

/// The filter of the URL in both forms, or what is wrong with it.
fn filter_of(params: &Params) -> Result<(Filter, LogFilter), Vec<String>> {
    let filter = filter::read(params)?;
    let logs = filter
        .to_log_filter()
        .map_err(|terms| terms.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    Ok((filter, logs))
}
