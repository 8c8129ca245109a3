//! What a refusal leaves of the body of a request.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    http::{Version, header::EXPECT},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// Largest rest that is read, in bytes. A client that sends more gets no answer, as from most servers.
const LIMIT: usize = 128 << 20;

/// Time limit for the whole rest.
const TIME: Duration = Duration::from_secs(5);

/// Time after the last bytes after which a client is taken to wait for its answer.
const PAUSE: Duration = Duration::from_millis(500);

/// Middleware that reads the rest of a body over HTTP/1 before it answers.
///
/// Many clients send a whole request before they read its answer. A server that closes the connection first cuts off
/// their sending, and they report a broken connection instead of the answer. HTTP/2 needs no such care: there, an
/// answer ends a stream by itself ([RFC 9113, section 8.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.1)).
pub async fn read_rest(request: Request, next: Next) -> Response {
    // Who expects 100 Continue sends nothing before an answer.
    if request.version() >= Version::HTTP_2 || request.headers().contains_key(EXPECT) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Rest(Arc::new(Mutex::new(body)));
    let rest = body.clone();
    let response = next.run(Request::from_parts(parts, Body::new(body))).await;
    let _ = timeout(TIME, rest.skip()).await;
    response
}

/// A body that two own.
#[derive(Clone, Debug)]
struct Rest(Arc<Mutex<Body>>);

impl Rest {
    async fn skip(mut self) {
        let mut left = LIMIT;
        while !self.is_end_stream() {
            let Ok(Some(Ok(frame))) = timeout(PAUSE, self.frame()).await else {
                return;
            };
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    }

    fn with<T>(&self, read: impl FnOnce(Pin<&mut Body>) -> T) -> T {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read(Pin::new(&mut *body))
    }
}

impl HttpBody for Rest {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|body| body.poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.size_hint())
    }
}
