//! What is told of a database: a span and a duration of each operation, and how busy its
//! connections are.
//!
//! What must not happen here: a value, or a query's text with values, in any of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::{
    Context, KeyValue, StringValue,
    trace::{SpanKind, Status, TraceContextExt as _},
};
use telemetry::{
    metrics::{self, Histogram},
    names, trace,
};

const SCOPE: &str = env!("CARGO_PKG_NAME");

/// What a query does to which table: all that telemetry tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    summary: &'static str,
    operation: &'static str,
    collection: &'static str,
}

impl Statement {
    /// Of a summary such as `SELECT users`: an operation and a table.
    ///
    /// # Panics
    /// When there is no space in it. It is meant for constants, where that does not compile.
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
    pool: KeyValue,
    connections: usize,
    busy: AtomicUsize,
    duration: Histogram,
    wait_time: Histogram,
}

impl Observer {
    /// `pending` is how many operations wait for a connection; it is asked at each export, until
    /// it has no answer any more.
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
            pool: pool.clone(),
            connections,
            busy: AtomicUsize::new(0),
            duration: metrics::DB_CLIENT_OPERATION_DURATION.histogram(SCOPE),
            wait_time: metrics::DB_CLIENT_CONNECTION_WAIT_TIME.histogram(SCOPE),
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

    /// Counts a connection as used while the work runs.
    pub(crate) fn while_used(&self, work: impl FnOnce()) {
        self.busy.fetch_add(1, Ordering::Relaxed);
        work();
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An operation under observation, from when it is asked for; one that is dropped before its end
/// lost its caller.
#[derive(Debug)]
pub(crate) struct Operation {
    context: Context,
    started: Instant,
    statement: Statement,
    observer: Arc<Observer>,
    finished: bool,
}

impl Operation {
    /// Begins one below the current span.
    pub(crate) fn start(observer: Arc<Observer>, statement: Statement) -> Self {
        let attributes = vec![
            KeyValue::new(names::DB_SYSTEM_NAME, names::SQLITE),
            KeyValue::new(names::DB_NAMESPACE, observer.namespace.clone()),
            KeyValue::new(names::DB_OPERATION_NAME, statement.operation),
            KeyValue::new(names::DB_COLLECTION_NAME, statement.collection),
            KeyValue::new(names::DB_QUERY_SUMMARY, statement.summary),
        ];
        let context = trace::start(
            &Context::current(),
            SpanKind::Client,
            statement.summary,
            attributes,
        );
        Self {
            context,
            started: Instant::now(),
            statement,
            observer,
            finished: false,
        }
    }

    /// How long ago it was asked for.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Runs the work that a connection is there for now, within the operation's span.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        let _guard = self.context.clone().attach();
        let pool = std::slice::from_ref(&self.observer.pool);
        self.observer
            .wait_time
            .record(self.elapsed().as_secs_f64(), pool);
        work()
    }

    /// Ends it; with an error, of this type.
    pub(crate) fn finish(mut self, error: Option<&'static str>) {
        self.end(error);
    }

    fn end(&mut self, error: Option<&'static str>) {
        self.finished = true;
        let span = self.context.span();
        let mut attributes = Vec::with_capacity(5);
        attributes.extend([
            KeyValue::new(names::DB_SYSTEM_NAME, names::SQLITE),
            KeyValue::new(names::DB_NAMESPACE, self.observer.namespace.clone()),
            KeyValue::new(names::DB_OPERATION_NAME, self.statement.operation),
            KeyValue::new(names::DB_COLLECTION_NAME, self.statement.collection),
        ]);
        if let Some(error) = error {
            let error = KeyValue::new(names::ERROR_TYPE, error);
            span.set_status(Status::error(""));
            span.set_attribute(error.clone());
            attributes.push(error);
        }
        let elapsed = self.elapsed().as_secs_f64();
        self.observer
            .duration
            .record_in(span.span_context(), elapsed, &attributes);
        span.end();
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
