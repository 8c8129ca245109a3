//! Bodies that are made while they are sent, so that memory does not grow with them.

use std::convert::Infallible;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use super::{Place, otlp};

/// Parts of a body.
pub(super) trait Parts: Send + 'static {
    /// The next part. `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// A body that is made while it is sent.
pub(super) fn body(parts: impl Parts) -> Body {
    Body::from_stream(stream::unfold(parts, async |mut parts| {
        let part = parts.next().await?;
        Some((Ok::<_, Infallible>(part), parts))
    }))
}

/// Objects that together are one export object.
pub(super) trait Objects: Send + 'static {
    /// The next object. `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Vec<u8>>> + Send;
}

/// One export object, which joins others.
pub(super) struct Joined<O> {
    objects: O,
    /// What precedes the next element. `None` after the end.
    before: Option<String>,
    _place: Place,
}

impl<O: Objects> Joined<O> {
    /// An object with the array `name`.
    pub(super) fn new(name: &str, objects: O, place: Place) -> Self {
        Self {
            objects,
            before: Some(format!("{{\"{name}\":[")),
            _place: place,
        }
    }
}

impl<O: Objects> Parts for Joined<O> {
    async fn next(&mut self) -> Option<Bytes> {
        let mut part = self.before.take()?.into_bytes();
        while let Some(object) = self.objects.next().await {
            let elements = otlp::elements(&object);
            if !elements.is_empty() {
                part.extend_from_slice(elements);
                self.before = Some(",".to_owned());
                return Some(part.into());
            }
        }
        if part == b"," {
            part.clear();
        }
        part.extend_from_slice(b"]}\n");
        Some(part.into())
    }
}
