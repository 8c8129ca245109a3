//! Blocking work, outside the worker threads of the runtime.

use opentelemetry::Context;
use tracing::Span;

/// Runs blocking work (a database, a password hash) on the blocking pool, in the current span.
///
/// A panic of the work is resumed in the caller, so it fails only the request that caused it.
pub async fn spawn_blocking<F, T>(work: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (context, span) = (Context::current(), Span::current());
    #[expect(
        clippy::disallowed_methods,
        reason = "the only use allowed, because it keeps the span"
    )]
    let task = tokio::task::spawn_blocking(move || {
        let _guard = context.attach();
        span.in_scope(work)
    });
    match task.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels the task, and then no caller waits.
            Err(_) => std::future::pending().await,
        },
    }
}
