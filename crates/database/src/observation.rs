//! Telemetry of a database: a span and a duration for each operation, and the use of its
//! connections.
//!
//! None of it has values, or the text of queries, which may have values.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry::{
    Context, KeyValue, StringValue,
    trace::{SpanKind, TraceContextExt as _},
};
use telemetry::{
    metrics::{self, BoundHistogram},
    names,
    outcomes::{Description, Outcomes},
    trace::Span,
};

const SCOPE: &str = env!("CARGO_PKG_NAME");

/// The operation and the table of a query. Telemetry has nothing else of it.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    summary: &'static str,
    operation: &'static str,
    collection: &'static str,
}

impl Statement {
    /// Parses a summary such as `SELECT users`: an operation and a table.
    ///
    /// # Panics
    /// When the summary has no space. Use it for constants, so that the compiler reports the panic.
    #[must_use]
    pub const fn new(summary: &'static str) -> Self {
        let mut space = 0;
        while summary.as_bytes()[space] != b' ' {
            space += 1;
        }
        let (operation, rest) = summary.split_at(space);
        let (_, collection) = rest.split_at(1);
        Self {
            summary,
            operation,
            collection,
        }
    }
}

/// Observes the connections of one role.
#[derive(Debug)]
pub(crate) struct Observer {
    namespace: StringValue,
    connections: usize,
    busy: AtomicUsize,
    /// Outcomes by statement and by type of error.
    outcomes: Outcomes<(&'static str, Option<&'static str>)>,
    wait_time: BoundHistogram,
}

impl Observer {
    /// Starts the metrics of one role. At each export they call `pending`, which returns the number of
    /// operations that wait for a connection, or `None` once the database is closed.
    pub(crate) fn start(
        namespace: &str,
        role: &str,
        connections: usize,
        pending: impl Fn() -> Option<usize> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let pool = KeyValue::new(
            names::DB_CLIENT_CONNECTION_POOL_NAME,
            format!("{namespace}.{role}"),
        );
        let observer = Arc::new(Self {
            namespace: StringValue::from(Arc::<str>::from(namespace)),
            connections,
            busy: AtomicUsize::new(0),
            outcomes: Outcomes::new(metrics::DB_CLIENT_OPERATION_DURATION.histogram(SCOPE)),
            wait_time: metrics::DB_CLIENT_CONNECTION_WAIT_TIME
                .histogram(SCOPE)
                .bind(std::slice::from_ref(&pool)),
        });

        let attributes = [pool.clone()];
        metrics::DB_CLIENT_CONNECTION_PENDING_REQUESTS.observed_up_down_counter(
            SCOPE,
            move |requests| {
                if let Some(pending) = pending() {
                    requests.observe(pending as i64, &attributes);
                }
            },
        );

        let state = |state| {
            let state = KeyValue::new(names::DB_CLIENT_CONNECTION_STATE, state);
            [pool.clone(), state]
        };
        let (idle, used) = (state("idle"), state("used"));
        let observed = Arc::downgrade(&observer);
        metrics::DB_CLIENT_CONNECTION_COUNT.observed_up_down_counter(SCOPE, move |count| {
            if let Some(observer) = observed.upgrade() {
                let busy = observer.busy.load(Ordering::Relaxed);
                count.observe((observer.connections - busy) as i64, &idle);
                count.observe(busy as i64, &used);
            }
        });
        observer
    }

    fn describe(&self, statement: Statement, error: Option<&'static str>) -> Description {
        let mut attributes = vec![
            KeyValue::new(names::DB_SYSTEM_NAME, names::SQLITE),
            KeyValue::new(names::DB_NAMESPACE, self.namespace.clone()),
            KeyValue::new(names::DB_OPERATION_NAME, statement.operation),
            KeyValue::new(names::DB_COLLECTION_NAME, statement.collection),
        ];
        attributes.extend(error.map(|error| KeyValue::new(names::ERROR_TYPE, error)));
        Description {
            attributes,
            of_span: vec![KeyValue::new(names::DB_QUERY_SUMMARY, statement.summary)],
            failed: error.is_some(),
        }
    }

    /// Counts a connection as used while the work runs.
    pub(crate) fn while_used<T>(&self, work: impl FnOnce() -> T) -> T {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let value = work();
        self.busy.fetch_sub(1, Ordering::Relaxed);
        value
    }
}

/// An operation under observation, from its request on. If it is dropped before its end, the caller
/// has given up.
#[derive(Debug)]
pub(crate) struct Operation {
    span: Span,
    statement: Statement,
    observer: Arc<Observer>,
    finished: bool,
}

impl Operation {
    /// Starts an operation, with a span below the current one.
    pub(crate) fn start(observer: Arc<Observer>, statement: Statement) -> Self {
        let span = Context::map_current(|context| {
            Span::start(context, SpanKind::Client, statement.summary)
        });
        Self {
            span,
            statement,
            observer,
            finished: false,
        }
    }

    /// The time since the request.
    pub(crate) fn elapsed(&self) -> Duration {
        self.span.elapsed()
    }

    /// Records the wait for a connection, and runs the work within the operation's span.
    pub(crate) fn run<T>(&self, waited: Duration, work: impl FnOnce() -> T) -> T {
        let context = self.span.context();
        self.observer
            .wait_time
            .record_in(context.span().span_context(), waited.as_secs_f64());
        let _guard = context.clone().attach();
        work()
    }

    /// Ends the operation. `error` is the type of its error, if it failed.
    pub(crate) fn finish(mut self, error: Option<&'static str>) {
        self.end(error);
    }

    fn end(&mut self, error: Option<&'static str>) {
        self.finished = true;
        let key = (self.statement.summary, error);
        let describe = |_: &_| self.observer.describe(self.statement, error);
        self.observer.outcomes.end(&mut self.span, key, describe);
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Some("cancelled"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_an_operation_and_a_table() {
        const STATEMENT: Statement = Statement::new("SELECT users");
        assert_eq!(STATEMENT.operation, "SELECT");
        assert_eq!(STATEMENT.collection, "users");
        assert_eq!(STATEMENT.summary, "SELECT users");
    }
}
