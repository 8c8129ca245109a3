//! Time limits of a stop, from the signal to the end of the process.
//!
//! If a supervisor kills a process before [`STOP`], requests are cut off and telemetry is lost.

use std::{pin::Pin, time::Duration};

use tokio::time::timeout;

/// Time limit for requests under way to end.
pub const DRAIN: Duration = Duration::from_secs(4);

/// Time limit for sending the events in the outbox. The rest is sent after the next start.
pub const FLUSH: Duration = Duration::from_secs(1);

/// Time limit for closing a client of the broker, and for a receiver of telemetry in the process.
pub const CLOSE: Duration = Duration::from_millis(500);

/// Time that is reserved for flushing telemetry. If the other steps were faster than their limits, the
/// flush may take up to four times as long.
pub(crate) const TELEMETRY: Duration = Duration::from_millis(500);

/// Time limit of the whole stop.
pub const STOP: Duration = DRAIN
    .saturating_add(FLUSH)
    .saturating_add(CLOSE)
    .saturating_add(TELEMETRY);

/// The outcome of `work`; `None` if `shutdown` ends first. For the steps of a service before it serves.
pub async fn until<T>(
    shutdown: Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        outcome = work => Some(outcome),
        () = shutdown => None,
    }
}

/// Waits for the requests under way, for [`DRAIN`] at most.
pub(crate) async fn drain(requests: impl Future<Output = ()>) {
    if timeout(DRAIN, requests).await.is_err() {
        tracing::warn!(
            drain_seconds = DRAIN.as_secs(),
            "requests were still under way at the end of the drain"
        );
    }
}
