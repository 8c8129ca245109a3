//! The trait that a consumer of events implements.

use std::error::Error;

use crate::Event;

/// Handles events. An event may be delivered again after a crash; a handler that writes to a
/// database deduplicates by [`crate::inbox`].
pub trait Handler: Send + Sync + 'static {
    /// Handles one event, within its span. The consumer's next event waits until this returns.
    fn handle(&self, event: &Event) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// Called when the broker stops answering (`false`) and when it answers again (`true`). At the
    /// start the broker counts as connected. This may be called while an event is being handled,
    /// and must not block.
    fn connected(&self, _is_connected: bool) {}
}

/// Why an event was not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// A temporary failure: the event is retried.
    #[error("cannot handle the event now")]
    Retryable(#[source] Box<dyn Error + Send + Sync>),
    /// A permanent failure: the event is not retried.
    #[error("cannot handle the event")]
    Fatal(#[source] Box<dyn Error + Send + Sync>),
}
