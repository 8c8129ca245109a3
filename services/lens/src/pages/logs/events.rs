//! New log records for a page that is open, as server-sent events.
//!
//! An event has lines as HTML. Its id is the position after them, so a browser that reconnects misses nothing. A page
//! cannot show a flood, so a stream that is far behind skips to the newest log records, and says how many it skipped.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use maud::{Markup, html};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::sleep,
};

use super::{filter_of, line};
use crate::{
    Lens,
    pages::measured::Measured,
    params::Params,
    state::work,
    store::{Arrived, LogFilter, StoredLog},
};

/// The shortest time between two events.
const PACE: Duration = Duration::from_millis(300);

/// Interval of comments in a stream without events: proxies close idle connections.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Number of log records that a stream may be behind.
const BEHIND: u64 = 5_000;

/// Maximum number of lines of an event.
const LINES: usize = 200;

struct Stream {
    lens: Arc<Lens>,
    filter: LogFilter,
    position: u64,
    version: watch::Receiver<u64>,
    /// Whether there may be more to read at once.
    more: bool,
    _place: OwnedSemaphorePermit,
}

/// New log records after the position in the URL, or after the last event that the browser saw.
pub(in crate::pages) async fn events(
    State(lens): State<Arc<Lens>>,
    params: Params,
    headers: HeaderMap,
) -> Response {
    let filter = match filter_of(&params) {
        Ok((_, filter)) => filter,
        Err(problems) => return (StatusCode::BAD_REQUEST, problems.join("\n")).into_response(),
    };
    let Some(place) = lens.stream() else {
        let retry = [(header::RETRY_AFTER, "10")];
        let text = "Too many streams are open. Close other tabs with this page, or reload it.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response();
    };
    let last = headers.get("last-event-id");
    let last = last.and_then(|last| last.to_str().ok()?.parse().ok());
    let newest = lens.store.positions().logs;
    let position = last.or_else(|| params.parse("after"));
    let stream = Stream {
        filter,
        // A position of another run may be after all log records.
        position: position.unwrap_or(newest).min(newest),
        version: lens.store.subscribe(),
        more: true,
        lens,
        _place: place,
    };
    let events = stream::unfold(stream, async |mut stream| {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    let unbuffered = (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    ([unbuffered], Sse::new(events).keep_alive(heartbeat)).into_response()
}

impl Stream {
    /// The next event. `None` when lens stops.
    async fn next(&mut self) -> Option<Event> {
        let lens = Arc::clone(&self.lens);
        loop {
            if !self.more {
                tokio::select! {
                    changed = self.version.changed() => changed.ok()?,
                    () = lens.stopped() => return None,
                }
            }
            let (filter, position) = (self.filter.clone(), self.position);
            let read = move |lens: &Lens| {
                let newest = lens.store.positions().logs;
                let start = position.max(newest.saturating_sub(BEHIND));
                let arrived = lens.store.logs_after(&filter, start, LINES);
                let skipped = start - position + arrived.missed;
                (render(&arrived, skipped), arrived.next, arrived.more)
            };
            self.version.mark_unchanged();
            let (lines, next, more) = work(&lens, read).await;
            (self.position, self.more) = (next, more);
            // Also if nothing matched: each read costs as much.
            tokio::select! {
                () = sleep(PACE) => {}
                () = lens.stopped() => return None,
            }
            if let Some(lines) = lines {
                let event = Event::default().id(next.to_string());
                return Some(event.data(lines.into_string()));
            }
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
