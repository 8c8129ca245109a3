//! Streams of events in the format that browsers read (HTML, "Server-sent events").

use std::{convert::Infallible, time::Duration};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::{
        IntoResponse as _, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt as _, stream};
use url::form_urlencoded;
use uuid::Uuid;

use super::{Full, News, Stream};
use crate::pages::{Frame, activity};

/// Interval of comments in a stream without events: proxies close idle connections.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Average delay before a browser reconnects after the end of a stream. The delay varies by up to
/// 50 %, because at a stop all streams end together.
const RETRY: Duration = Duration::from_secs(2);

/// The last event that the browser saw: from its `Last-Event-ID` header when it reconnects, or
/// from the query that the page sends at first. A malformed id is ignored.
pub(crate) fn last_event(uri: &Uri, headers: &HeaderMap) -> Option<Uuid> {
    if let Some(last) = headers.get("last-event-id") {
        return last.to_str().ok()?.parse().ok();
    }
    form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(name, _)| name == "after")
        .and_then(|(_, id)| id.parse().ok())
}

/// The stream as a response, with events rendered for `frame`.
pub(crate) fn answer(reader: Stream, frame: Frame) -> Response {
    let retry = RETRY.mul_f64(0.5 + fastrand::f64());
    let hello = stream::iter([Event::default().retry(retry)]);
    let news = stream::unfold((reader, frame), async |(mut reader, frame)| {
        let event = event(&frame, reader.next().await?);
        Some((event, (reader, frame)))
    });
    let heartbeat = KeepAlive::new().interval(HEARTBEAT);
    let mut response = Sse::new(hello.chain(news).map(Ok::<_, Infallible>))
        .keep_alive(heartbeat)
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Otherwise nginx would buffer the response.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// The answer to a client whose stream is refused.
pub(crate) fn refused(full: Full) -> Response {
    let (status, text) = match full {
        Full::Client => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many streams are open from your address. Close other tabs with this page, or \
             reload it to see new events.\n",
        ),
        Full::Everybody => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many streams are open. Reload the page to see new events.\n",
        ),
    };
    (status, [(header::RETRY_AFTER, "10")], text).into_response()
}

fn event(frame: &Frame, news: News) -> Event {
    match news {
        News::Entry(entry) => Event::default()
            .id(entry.id.to_string())
            .data(activity::row(frame, &entry).into_string()),
        News::Source(source) => Event::default()
            .event("notice")
            .data(activity::notice(source).into_string()),
    }
}
