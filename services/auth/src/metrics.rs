//! The metrics of sessions.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use telemetry::{
    KeyValue,
    metrics::{self, Counter},
    names,
};

use crate::{error::Error, scope::Scope};

/// The counters of this crate.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    opened: Counter<u64>,
    closed: Counter<u64>,
    rejected: Counter<u64>,
    limited: Counter<u64>,
}

impl Metrics {
    /// `open` is the number of open sessions, read at each export.
    pub(crate) fn new(open: Arc<AtomicI64>) -> Self {
        let scope = env!("CARGO_PKG_NAME");
        metrics::AUTH_SESSIONS_ACTIVE.observed_up_down_counter(scope, move |sessions| {
            sessions.observe(open.load(Ordering::Relaxed), &[]);
        });
        Self {
            opened: metrics::AUTH_SESSIONS_OPENED.counter(scope),
            closed: metrics::AUTH_SESSIONS_CLOSED.counter(scope),
            rejected: metrics::AUTH_TOKENS_REJECTED.counter(scope),
            limited: metrics::AUTH_ATTEMPTS_LIMITED.counter(scope),
        }
    }

    /// Counts a new session.
    pub(crate) fn opened(&self) {
        self.opened.add(1, &[]);
    }

    /// Counts a session that its user closed.
    pub(crate) fn signed_out(&self) {
        self.closed
            .add(1, &[KeyValue::new(names::AUTH_REASON, "logout")]);
    }

    /// Counts a session that a new one has replaced.
    pub(crate) fn replaced(&self) {
        self.closed
            .add(1, &[KeyValue::new(names::AUTH_REASON, "replaced")]);
    }

    /// Counts sessions that expired while they were open.
    pub(crate) fn expired(&self, count: usize) {
        self.closed.add(
            count as u64,
            &[KeyValue::new(names::AUTH_REASON, "expired")],
        );
    }

    /// Counts a rejected token, by the reason that is also in the log.
    pub(crate) fn failed(&self, error: &Error) {
        if let Error::InvalidSession(reason) = error {
            self.rejected
                .add(1, &[KeyValue::new(names::AUTH_REASON, *reason)]);
        }
    }

    /// Counts an attempt that a limit refused.
    pub(crate) fn limited(&self, scope: Scope) {
        self.limited
            .add(1, &[KeyValue::new(names::AUTH_LIMIT_SCOPE, scope.name())]);
    }
}
