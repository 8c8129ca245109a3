//! Common parts of the relay's queries.

use database::Statement;
use opentelemetry::{Context, context::FutureExt as _};

pub(crate) const DELETE: Statement = Statement::new("DELETE outbox");
pub(crate) const INSERT: Statement = Statement::new("INSERT outbox");
pub(crate) const SELECT: Statement = Statement::new("SELECT outbox");

/// Suppresses spans: the relay's queries belong to no request, and metrics count its work.
pub(crate) async fn quietly<T>(work: impl Future<Output = T>) -> T {
    let quiet = Context::new().with_telemetry_suppressed();
    work.with_context(quiet).await
}
