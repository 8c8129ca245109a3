//! What of one signal is on its way, and what was lost.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, metrics::Counter};
use opentelemetry_sdk::error::OTelSdkError;

use crate::{metrics::Metric, names};

/// How long nothing may be lost until an outage counts as over. Shorter, and a service that
/// makes spans faster than they leave would report the same outage again and again.
const QUIET: Duration = Duration::from_secs(5);

/// The account of one signal. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Flow(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    signal: &'static str,
    /// What the queue holds at most.
    capacity: usize,
    /// In the queue, or with the exporter.
    pending: AtomicUsize,
    /// Lost since the start.
    lost: AtomicU64,
    outage: Mutex<Outage>,
    processed: Option<Counts>,
    exported: Counts,
}

/// A counter, and the attributes that name the part it counts for.
#[derive(Debug)]
struct Counts {
    counter: Counter<u64>,
    component: [KeyValue; 2],
}

/// What was said about losses.
#[derive(Debug, Default)]
struct Outage {
    /// While one lasts: how much was lost before it, and when the last loss was seen.
    current: Option<(u64, Instant)>,
    /// Of [`Inner::lost`], what was seen.
    seen: u64,
}

impl Flow {
    /// The account of a signal that waits in a queue.
    pub(crate) fn queued(
        signal: &'static str,
        capacity: usize,
        processed: (&Metric, &'static str),
        exported: (&Metric, &'static str),
    ) -> Self {
        Self::new(signal, capacity, Some(Counts::new(processed)), exported)
    }

    /// The account of a signal that does not wait.
    pub(crate) fn unqueued(signal: &'static str, exported: (&Metric, &'static str)) -> Self {
        Self::new(signal, usize::MAX, None, exported)
    }

    fn new(
        signal: &'static str,
        capacity: usize,
        processed: Option<Counts>,
        exported: (&Metric, &'static str),
    ) -> Self {
        Self(Arc::new(Inner {
            signal,
            capacity,
            pending: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            outage: Mutex::default(),
            processed,
            exported: Counts::new(exported),
        }))
    }

    /// Takes a place in the queue; `false` where there is none, and what wanted it is lost.
    pub(crate) fn enter(&self) -> bool {
        if self.0.pending.fetch_add(1, Relaxed) < self.0.capacity {
            return true;
        }
        self.refuse();
        false
    }

    /// Gives back a place that was taken, for want of room: what had it is lost.
    pub(crate) fn refuse(&self) {
        self.0.pending.fetch_sub(1, Relaxed);
        self.0.lost.fetch_add(1, Relaxed);
        if let Some(processed) = &self.0.processed {
            processed.add(1, Some("queue_full"));
        }
    }

    /// What had taken places in the queue was sent, but for those that were not taken.
    pub(crate) fn leave(&self, count: usize, rejected: usize, error: Option<&OTelSdkError>) {
        self.0.pending.fetch_sub(count, Relaxed);
        if let Some(processed) = &self.0.processed {
            processed.add(count as u64, None);
        }
        self.exported(count, rejected, error);
    }

    /// So many were sent, of which so many were not taken.
    pub(crate) fn exported(&self, count: usize, rejected: usize, error: Option<&OTelSdkError>) {
        let rejected = rejected.min(count);
        let taken = count - rejected;
        if taken > 0 {
            self.0.exported.add(taken as u64, None);
        }
        if rejected > 0 {
            self.0.lost.fetch_add(rejected as u64, Relaxed);
            let kind = match error {
                Some(OTelSdkError::AlreadyShutdown) => "already_shutdown",
                Some(OTelSdkError::Timeout(_)) => "timeout",
                Some(OTelSdkError::InternalFailure(_)) => names::OTHER,
                None => "rejected",
            };
            self.0.exported.add(rejected as u64, Some(kind));
        }
        self.report(rejected > 0, error);
    }

    /// Lost since the start.
    #[cfg(test)]
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Relaxed)
    }

    /// Says once that an outage has begun, and once that it is over. Only the exporter's thread
    /// does: to log within a request, in the middle of its log record, would be a knot.
    fn report(&self, rejected: bool, error: Option<&OTelSdkError>) {
        let Inner { signal, lost, .. } = &*self.0;
        let lost = lost.load(Relaxed);
        let mut outage = self.0.outage.lock().unwrap_or_else(PoisonError::into_inner);
        match outage.current {
            None if lost > outage.seen => {
                let reason = match error {
                    Some(error) => error.to_string(),
                    None if rejected => "the collector rejects some of it".to_owned(),
                    None => "the queue is full".to_owned(),
                };
                tracing::warn!(
                    signal,
                    reason,
                    "telemetry is lost until the collector keeps up again"
                );
                outage.current = Some((outage.seen, Instant::now()));
            }
            Some((before, _)) if lost > outage.seen => {
                outage.current = Some((before, Instant::now()));
            }
            Some((before, last)) if !rejected && last.elapsed() > QUIET => {
                tracing::info!(signal, lost = lost - before, "telemetry is exported again");
                outage.current = None;
            }
            _ => {}
        }
        outage.seen = lost;
    }
}

impl Counts {
    fn new((metric, component): (&Metric, &'static str)) -> Self {
        Self {
            counter: metric.counter(env!("CARGO_PKG_NAME")),
            component: [
                KeyValue::new(names::OTEL_COMPONENT_TYPE, component),
                // One of each type in a process.
                KeyValue::new(names::OTEL_COMPONENT_NAME, format!("{component}/0")),
            ],
        }
    }

    fn add(&self, count: u64, error: Option<&'static str>) {
        let [kind, name] = &self.component;
        match error {
            None => self.counter.add(count, &self.component),
            Some(error) => self.counter.add(
                count,
                &[
                    kind.clone(),
                    name.clone(),
                    KeyValue::new(names::ERROR_TYPE, error),
                ],
            ),
        }
    }
}
