//! Work outside the task of its caller, in the caller's span.

use opentelemetry::{Context, context::FutureExt as _};
use tokio::task::JoinHandle;
use tracing::{Instrument as _, Span};

/// Runs work as a task of its own, in the current span. It continues if the caller is cancelled.
///
/// A panic of the work is resumed in the caller.
pub async fn spawn<T>(work: impl Future<Output = T> + Send + 'static) -> T
where
    T: Send + 'static,
{
    joined(tokio::spawn(work.with_current_context().in_current_span())).await
}

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
    joined(task).await
}

async fn joined<T>(task: JoinHandle<T>) -> T {
    match task.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that shuts down cancels the task, and then no caller waits.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_task_has_the_context_of_its_caller() {
        let context = Context::new().with_value(7_u8);
        let seen = spawn(async { Context::current().get::<u8>().copied() });
        assert_eq!(seen.with_context(context).await, Some(7));
    }

    #[tokio::test]
    async fn a_task_continues_if_its_caller_is_cancelled() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let caller = tokio::spawn(spawn(async move {
            gone.await.unwrap();
            done.send(()).unwrap();
        }));
        tokio::task::yield_now().await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        ended.await.unwrap();
    }
}
