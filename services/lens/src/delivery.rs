//! The memory of answers that are being sent.
//!
//! A reader may take its time. Until it has taken an answer, or a part of it, the bytes are in memory, so all answers
//! together have a bound. Above it, further answers are refused instead of kept.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, HttpBody as _, to_bytes},
    response::Response,
};
use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Maximum size of the large answers that are being sent, in bytes.
const MEMORY: usize = 32 << 20;

/// Size up to which an answer is not counted, in bytes: about what a connection takes too.
const SMALL: usize = 16 << 10;

/// Bytes that one permit stands for.
const UNIT: usize = 4 << 10;

/// Time that an answer waits for memory.
const WAIT: Duration = Duration::from_secs(5);

/// The memory of answers that are being sent. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery(Arc<Semaphore>);

/// Slow readers have all the memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("slow readers keep too many answers in memory; end some of them, or try again later")]
pub(crate) struct Full;

/// Bytes with their share of the memory. It is returned when they have been sent.
struct Held {
    bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MEMORY / UNIT)))
    }
}

impl Delivery {
    /// Counts bytes until they have been sent.
    pub(crate) async fn hold(&self, bytes: Bytes) -> Result<Bytes, Full> {
        if bytes.len() <= SMALL {
            return Ok(bytes);
        }
        let units = bytes.len().min(MEMORY).div_ceil(UNIT);
        let share = Arc::clone(&self.0).acquire_many_owned(u32::try_from(units).unwrap_or(1));
        match timeout(WAIT, share).await {
            Ok(Ok(share)) => Ok(Bytes::from_owner(Held {
                bytes,
                _share: share,
            })),
            _ => Err(Full),
        }
    }

    /// Counts the body of a response until it has been sent. Bodies of unknown size count their parts by themselves.
    pub(crate) async fn hold_body(&self, response: Response) -> Result<Response, Full> {
        let size = response.body().size_hint().exact();
        if size.is_none_or(|size| size <= SMALL as u64) {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        // The bytes are in memory already.
        let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let body = Body::from(self.hold(bytes).await?);
        Ok(Response::from_parts(head, body))
    }
}

impl From<Full> for io::Error {
    fn from(full: Full) -> Self {
        Self::other(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_that_nobody_takes_have_a_bound() {
        let delivery = Delivery::default();
        let answer = |size: usize| Response::new(Body::from(vec![0; size]));
        let mut held = Vec::new();
        for _ in 0..MEMORY >> 20 {
            held.push(delivery.hold_body(answer(1 << 20)).await.unwrap());
        }
        assert_eq!(delivery.hold(vec![0; 20_000].into()).await, Err(Full));
        let small = delivery.hold_body(answer(SMALL)).await.unwrap();
        // The share goes with the bytes, and not with the body around them.
        let body = held.pop().unwrap().into_body();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(bytes.len(), 1 << 20);
        assert_eq!(delivery.hold(vec![0; 20_000].into()).await, Err(Full));
        drop(bytes);
        assert!(delivery.hold(vec![0; 1 << 20].into()).await.is_ok());
        drop((held, small));
        let huge = delivery.hold(vec![0; 2 * MEMORY].into()).await;
        assert_eq!(huge.unwrap().len(), 2 * MEMORY);
    }
}
