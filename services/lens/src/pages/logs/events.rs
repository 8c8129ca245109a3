//! New log records for a page that is open. An event has lines as HTML.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};
use maud::{Markup, html};

use super::{filter_of, line};
use crate::{
    Lens,
    pages::{
        live::{self, Feed, News},
        measured::Measured,
    },
    params::Params,
    store::{Arrived, LogFilter, StoredLog},
};

/// Maximum number of lines of an event.
const LINES: usize = 200;

#[derive(Clone)]
struct Lines(LogFilter);

pub(in crate::pages) async fn events(
    State(lens): State<Arc<Lens>>,
    params: Params,
    headers: HeaderMap,
) -> Response {
    let feed = filter_of(&params).map(|(_, filter)| Lines(filter));
    live::events(lens, &params, &headers, feed)
}

impl Feed for Lines {
    fn newest(lens: &Lens) -> u64 {
        lens.store.positions().logs
    }

    fn read(&self, lens: &Lens, position: u64, skipped: u64) -> News {
        let arrived = lens.store.logs_after(&self.0, position, LINES);
        let lines = render(&arrived, skipped + arrived.missed);
        News {
            data: lines.map(Markup::into_string),
            next: arrived.next,
            more: arrived.more,
        }
    }
}

/// The lines of an event, newest first. `None` if there is nothing to say.
fn render(arrived: &Arrived<StoredLog>, skipped: u64) -> Option<Markup> {
    if arrived.records.is_empty() && skipped == 0 {
        return None;
    }
    // Programs export exemplars some time after the log records of the same trace.
    let measured = Measured::default();
    Some(html! {
        @for log in arrived.records.iter().rev() { (line::item(log, &measured)) }
        @if skipped > 0 {
            li.skipped { "More log records came than this page can show: " (skipped) " were skipped." }
        }
    })
}
