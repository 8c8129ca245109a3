//! What does something with events.

use std::error::Error;

use crate::Event;

/// Does something with each event. It may come again after a crash: an effect in a database is
/// made once by [`crate::inbox`].
pub trait Handler: Send + Sync + 'static {
    /// Handles one event, within its span. The next one of the consumer waits for it.
    fn handle(&self, event: &Event) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// The broker went away (`false`), so that nothing comes any more, or is back (`true`). At the
    /// start it counts as there until it fails to answer. This may be called while an event is
    /// being handled, and must not wait for anything.
    fn connected(&self, _is_connected: bool) {}
}

/// Why an event was not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// It may go well another time: it is tried again.
    #[error("cannot handle the event now")]
    Retryable(#[source] Box<dyn Error + Send + Sync>),
    /// It never will go well.
    #[error("cannot handle the event")]
    Fatal(#[source] Box<dyn Error + Send + Sync>),
}
