//! What is new for a page that is open, as server-sent events.
//!
//! The id of an event is a position in the order of arrival, so a browser that reconnects misses nothing. A page cannot
//! show a flood, so a stream that is far behind skips to the newest records.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::sleep,
};

use crate::{Lens, params::Params, state::work};

/// The shortest time between two events.
const PACE: Duration = Duration::from_millis(300);

/// Interval of comments in a stream without events: proxies close idle connections.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Number of records that a stream may be behind.
const BEHIND: u64 = 5_000;

/// What a stream is about.
pub(super) trait Feed: Clone + Send + 'static {
    /// The position after the newest record.
    fn newest(lens: &Lens) -> u64;

    /// Reads what came after a position. `skipped` is the number of records before it that the stream left out.
    fn read(&self, lens: &Lens, position: u64, skipped: u64) -> News;
}

/// What came after a position.
pub(super) struct News {
    /// The data of an event. `None` if there is nothing to say.
    pub(super) data: Option<String>,
    /// The position after it.
    pub(super) next: u64,
    /// Whether there may be more.
    pub(super) more: bool,
}

struct Stream<F> {
    lens: Arc<Lens>,
    feed: F,
    position: u64,
    version: watch::Receiver<u64>,
    /// Whether there may be more to read at once.
    more: bool,
    _place: OwnedSemaphorePermit,
}

/// What came after the position in the URL, or after the last event that the browser saw. `feed` is what the URL asks
/// for, or sentences about what is wrong with it.
pub(super) fn events<F: Feed>(
    lens: Arc<Lens>,
    params: &Params,
    headers: &HeaderMap,
    feed: Result<F, Vec<String>>,
) -> Response {
    let feed = match feed {
        Ok(feed) => feed,
        Err(problems) => return (StatusCode::BAD_REQUEST, problems.join("\n")).into_response(),
    };
    let Some(place) = lens.stream() else {
        let retry = [(header::RETRY_AFTER, "10")];
        let text = "Too many streams are open. Close other tabs with this page, or reload it.\n";
        return (StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response();
    };
    let last = headers.get("last-event-id");
    let last = last.and_then(|last| last.to_str().ok()?.parse().ok());
    let newest = F::newest(&lens);
    let position = last.or_else(|| params.parse("after"));
    let stream = Stream {
        feed,
        // A position of another run may be after all records.
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

impl<F: Feed> Stream<F> {
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
            let (feed, position) = (self.feed.clone(), self.position);
            let read = move |lens: &Lens| {
                let start = position.max(F::newest(lens).saturating_sub(BEHIND));
                feed.read(lens, start, start - position)
            };
            self.version.mark_unchanged();
            let news = work(&lens, read).await;
            (self.position, self.more) = (news.next, news.more);
            // Also if nothing matched: each read costs as much.
            tokio::select! {
                () = sleep(PACE) => {}
                () = lens.stopped() => return None,
            }
            if let Some(data) = news.data {
                let event = Event::default().id(news.next.to_string());
                return Some(event.data(data));
            }
        }
    }
}
