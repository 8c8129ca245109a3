//! New traces for a page that is open. An event has their ids, with spaces between them.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap, response::Response};

use super::filter_of;
use crate::{
    Lens,
    pages::live::{self, Feed, News},
    params::Params,
    store::TraceFilter,
};

/// Maximum number of matching spans that are read at a time.
const SPANS: usize = 1000;

#[derive(Clone)]
struct Ids {
    filter: TraceFilter,
    /// Traces that start later are wanted, in nanoseconds since 1970. `None` if all are.
    since: Option<u64>,
}

pub(in crate::pages) async fn events(
    State(lens): State<Arc<Lens>>,
    params: Params,
    headers: HeaderMap,
) -> Response {
    let since = params.parse("since");
    let feed = filter_of(&params).map(|filter| Ids { filter, since });
    live::events(lens, &params, &headers, feed)
}

impl Feed for Ids {
    fn newest(lens: &Lens) -> u64 {
        lens.store.positions().spans
    }

    fn read(&self, lens: &Lens, position: u64, _: u64) -> News {
        let arrived = lens.store.traces_after(&self.filter, position, SPANS);
        let traces = arrived.records.iter();
        let traces = traces.filter(|place| self.since.is_none_or(|since| place.start > since));
        let ids: Vec<String> = traces.map(|place| place.trace.to_string()).collect();
        News {
            data: (!ids.is_empty()).then(|| ids.join(" ")),
            next: arrived.next,
            more: arrived.more,
        }
    }
}
