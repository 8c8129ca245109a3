//! How long a stop may take, from the signal to the end of the process.
//!
//! A supervisor that kills sooner than [`STOP`] cuts requests off and loses telemetry.

use std::{pin::Pin, time::Duration};

use tokio::time::timeout;

/// Requests that are under way may take this long to end.
pub const DRAIN: Duration = Duration::from_secs(4);

/// Events that are left in the outbox are sent for this long; the rest is sent after the next start.
pub const FLUSH: Duration = Duration::from_secs(1);

/// A client of the broker may take this long to close.
pub const CLOSE: Duration = Duration::from_millis(500);

/// What is reserved for flushing telemetry. The flush may take up to four times as long where the
/// other steps have left time.
pub(crate) const TELEMETRY: Duration = Duration::from_millis(500);

/// The whole stop.
pub const STOP: Duration = DRAIN
    .saturating_add(FLUSH)
    .saturating_add(CLOSE)
    .saturating_add(TELEMETRY);

/// What `work` comes to; nothing where `shutdown` ends first. For what a service does before it serves.
pub async fn until<T>(
    shutdown: Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        outcome = work => Some(outcome),
        () = shutdown => None,
    }
}

/// Waits for the end of the requests under way, for [`DRAIN`] at most.
pub(crate) async fn drain(requests: impl Future<Output = ()>) {
    if timeout(DRAIN, requests).await.is_err() {
        tracing::warn!(
            drain_seconds = DRAIN.as_secs(),
            "requests were still under way at the end of the drain"
        );
    }
}
