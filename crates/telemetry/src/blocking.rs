//! Work that blocks, off the runtime's workers.

use opentelemetry::Context;
use tracing::Span;

/// Runs blocking work (a database, a password hash) on the blocking pool, in the current span.
///
/// A panic of the work continues here, where the request that asked for it can be failed.
pub async fn spawn_blocking<F, T>(work: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (context, span) = (Context::current(), Span::current());
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that may: it keeps the span"
    )]
    let task = tokio::task::spawn_blocking(move || {
        let _guard = context.attach();
        span.in_scope(work)
    });
    match task.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is going away cancels: nobody is left to answer.
            Err(_) => std::future::pending().await,
        },
    }
}
