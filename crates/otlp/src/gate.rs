//! Admission: bounds the memory that requests under way take.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::sink::Busy;

/// Largest request that counts as small, in bytes. Only one larger request is received at a time.
pub(crate) const SMALL: usize = 4 << 20;

/// Bytes of small requests that are received at the same time.
const RECEIVING: usize = 8 << 20;

/// Bytes of small requests that are decompressed and read at the same time.
const READING: usize = 8 << 20;

/// Bytes of decoded requests that are stored at the same time. A larger one is decoded in
/// parts.
pub(crate) const STORING: usize = 12 << 20;

/// Bytes that one permit stands for.
const UNIT: usize = 4 << 10;

/// Time that a request waits for its turn. After that, the client is told to retry.
const WAIT: Duration = Duration::from_secs(1);

/// The pause that clients are asked for.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The memory for requests, shared by all connections.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    receiving: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    storing: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A share of the memory. It is returned when this is dropped.
pub(crate) type Share = OwnedSemaphorePermit;

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            receiving: Arc::new(Semaphore::new(RECEIVING / UNIT)),
            reading: Arc::new(Semaphore::new(READING / UNIT)),
            storing: Arc::new(Semaphore::new(STORING / UNIT)),
            large: Arc::new(Semaphore::new(1)),
        }
    }

    /// Memory for further bytes of a small request that arrives.
    pub(crate) async fn receive(&self, bytes: usize) -> Result<Share, Busy> {
        acquire(&self.receiving, bytes.div_ceil(UNIT)).await
    }

    /// The place of the one large request.
    pub(crate) async fn large(&self) -> Result<Share, Busy> {
        acquire(&self.large, 1).await
    }

    /// Memory to decompress and to read this many bytes. A large request takes all of it.
    pub(crate) async fn read(&self, bytes: usize) -> Result<Share, Busy> {
        acquire(&self.reading, bytes.min(READING).div_ceil(UNIT)).await
    }

    /// Memory for a decoded request of this many bytes, until it is stored.
    pub(crate) async fn store(&self, bytes: usize) -> Result<Share, Busy> {
        acquire(&self.storing, bytes.min(STORING).div_ceil(UNIT)).await
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, units: usize) -> Result<Share, Busy> {
    let units = u32::try_from(units.max(1)).unwrap_or(u32::MAX);
    let acquired = timeout(WAIT, Arc::clone(semaphore).acquire_many_owned(units)).await;
    acquired.ok().and_then(Result::ok).ok_or_else(|| Busy {
        reason: "the receiver is busy with other requests".to_owned(),
        retry_after: RETRY_AFTER,
    })
}
