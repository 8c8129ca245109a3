//! Bodies that are made while they are sent, so that memory does not grow with them.

use std::{io, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;

use super::{Api, otlp};
use crate::Lens;

/// Parts of a body.
pub(super) trait Parts: Send + 'static {
    /// The next part. `None` at the end.
    fn next(&mut self) -> impl Future<Output = Option<Bytes>> + Send;
}

/// A body that is made while it is sent.
pub(super) fn body(lens: &Arc<Lens>, parts: impl Parts) -> Body {
    let state = Some((Arc::clone(lens), parts));
    Body::from_stream(stream::unfold(state, async |state| {
        let (lens, mut parts) = state?;
        let part = parts.next().await?;
        Some(match lens.delivery.hold(part).await {
            Ok(part) => (Ok(part), Some((lens, parts))),
            // The reader learns from the end of the connection that the answer is not complete.
            Err(full) => (Err(io::Error::from(full)), None),
        })
    }))
}

/// Parts that are made one at a time with those of other answers, and not while a slow reader has one.
pub(super) struct InTurn<P> {
    api: Api,
    parts: P,
}

impl<P> InTurn<P> {
    pub(super) fn new(api: &Api, parts: P) -> Self {
        let api = api.clone();
        Self { api, parts }
    }
}

impl<P: Parts> Parts for InTurn<P> {
    async fn next(&mut self) -> Option<Bytes> {
        let _place = self.api.answer().await.ok()?;
        self.parts.next().await
    }
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
}

impl<O: Objects> Joined<O> {
    /// An object with the array `name`.
    pub(super) fn new(name: &str, objects: O) -> Self {
        Self {
            objects,
            before: Some(format!("{{\"{name}\":[")),
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
