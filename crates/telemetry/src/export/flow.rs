//! Accounting for one signal: queued, exported and dropped items.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use opentelemetry::{KeyValue, metrics::Counter};
use opentelemetry_sdk::error::OTelSdkError;

use crate::{metrics::Metric, names};

/// Time without losses after which an outage counts as over. If it were shorter, a service that
/// makes spans faster than it exports them would log the same outage repeatedly.
const QUIET: Duration = Duration::from_secs(5);

/// Accounting for one signal. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Flow(Arc<Inner>);

/// A signal, its endpoint, and the outage that all signals share.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) signal: &'static str,
    pub(crate) endpoint: String,
    pub(crate) outage: Outage,
}

#[derive(Debug)]
struct Inner {
    signal: &'static str,
    /// Maximum number of items in the queue.
    capacity: usize,
    /// Items in the queue or in an export.
    pending: AtomicUsize,
    /// Items lost since the start.
    lost: AtomicU64,
    /// The value of `lost` at the last report.
    reported: AtomicU64,
    outage: Outage,
    /// The endpoint of the signal.
    endpoint: String,
    processed: Option<Counts>,
    exported: Counts,
}

/// The current outage of the collector, if there is one. All signals share it, and so do clones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outage(Arc<Mutex<Option<Losses>>>);

/// The losses of the current outage.
#[derive(Debug)]
struct Losses {
    count: u64,
    last: Instant,
    /// The signals that have lost something.
    signals: Vec<&'static str>,
}

/// A counter, and the attributes that name its component.
#[derive(Debug)]
struct Counts {
    counter: Counter<u64>,
    component: [KeyValue; 2],
}

impl Flow {
    /// Accounting for a signal with a queue.
    pub(crate) fn queued(
        route: Route,
        capacity: usize,
        processed: (&Metric, &'static str),
        exported: (&Metric, &'static str),
    ) -> Self {
        Self::new(route, capacity, Some(Counts::new(processed)), exported)
    }

    /// Accounting for a signal without a queue.
    pub(crate) fn unqueued(route: Route, exported: (&Metric, &'static str)) -> Self {
        Self::new(route, usize::MAX, None, exported)
    }

    fn new(
        route: Route,
        capacity: usize,
        processed: Option<Counts>,
        exported: (&Metric, &'static str),
    ) -> Self {
        let Route {
            signal,
            endpoint,
            outage,
        } = route;
        Self(Arc::new(Inner {
            signal,
            capacity,
            pending: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            outage,
            endpoint,
            processed,
            exported: Counts::new(exported),
        }))
    }

    /// Takes a place in the queue. If it is full, counts the item as lost and returns `false`.
    pub(crate) fn enter(&self) -> bool {
        if self.0.pending.fetch_add(1, Relaxed) < self.0.capacity {
            return true;
        }
        self.refuse();
        false
    }

    /// Returns a place that [`Self::enter`] has given, and counts its item as lost.
    pub(crate) fn refuse(&self) {
        self.0.pending.fetch_sub(1, Relaxed);
        self.0.lost.fetch_add(1, Relaxed);
        if let Some(processed) = &self.0.processed {
            processed.add(1, Some("queue_full"));
        }
    }

    /// Frees the places of `count` items whose export has ended. The collector did not accept `rejected` of them.
    pub(crate) fn leave(&self, count: usize, rejected: usize, error: Option<&OTelSdkError>) {
        self.0.pending.fetch_sub(count, Relaxed);
        if let Some(processed) = &self.0.processed {
            processed.add(count as u64, None);
        }
        self.exported(count, rejected, error);
    }

    /// Counts `count` items whose export has ended. The collector did not accept `rejected` of them.
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

    /// Items lost since the start.
    #[cfg(test)]
    pub(super) fn lost(&self) -> u64 {
        self.0.lost.load(Relaxed)
    }

    /// Reports losses to the outage. Only the exporter's thread does this: a request may be in the middle of exporting
    /// a log record, so logging there could recurse.
    fn report(&self, rejected: bool, error: Option<&OTelSdkError>) {
        let Inner {
            signal, endpoint, ..
        } = &*self.0;
        let lost = self.0.lost.load(Relaxed);
        let more = lost - self.0.reported.swap(lost, Relaxed);
        let reason = || match error {
            Some(OTelSdkError::InternalFailure(reason)) => reason.clone(),
            Some(OTelSdkError::Timeout(limit)) => format!("no answer within {limit:?}"),
            Some(error) => error.to_string(),
            None if rejected => "the collector rejected a part of it".to_owned(),
            None => "the queue is full".to_owned(),
        };
        self.0
            .outage
            .update(signal, more, rejected, endpoint, reason);
    }
}

impl Outage {
    /// Whether there is an outage, which has then been logged.
    pub(crate) fn lasts(&self) -> bool {
        self.lock().is_some()
    }

    /// Logs the start and the end of an outage once for all signals. It starts with the first loss. It ends when a
    /// signal that had losses is exported, and no signal has lost anything for [`QUIET`].
    fn update(
        &self,
        signal: &'static str,
        more: u64,
        rejected: bool,
        endpoint: &str,
        reason: impl FnOnce() -> String,
    ) {
        let mut current = self.lock();
        match &mut *current {
            None if more > 0 => {
                *current = Some(Losses {
                    count: more,
                    last: Instant::now(),
                    signals: vec![signal],
                });
                let reason = reason();
                tracing::warn!(
                    endpoint,
                    reason,
                    "telemetry is dropped until the collector takes it again"
                );
            }
            Some(losses) if more > 0 => {
                losses.count += more;
                losses.last = Instant::now();
                if !losses.signals.contains(&signal) {
                    losses.signals.push(signal);
                }
            }
            Some(losses)
                if !rejected
                    && losses.signals.contains(&signal)
                    && losses.last.elapsed() > QUIET =>
            {
                tracing::info!(lost = losses.count, "telemetry is exported again");
                *current = None;
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Losses>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn new((metric, component): (&Metric, &'static str)) -> Self {
        Self {
            counter: metric.counter(env!("CARGO_PKG_NAME")),
            component: [
                KeyValue::new(names::OTEL_COMPONENT_TYPE, component),
                // A process has one component of each type.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::tests::Log;

    #[test]
    fn an_outage_is_logged_once_for_all_signals_and_with_its_cause() {
        let log = Log::default();
        let guard = log.record();
        let outage = Outage::default();
        let refused = || "Connection refused".to_owned();
        for signal in ["logs", "traces", "logs"] {
            outage.update(signal, 2, true, "http://127.0.0.1:4317", refused);
        }
        assert!(outage.lasts());
        // An export of a signal without losses ends no outage, and neither does one right after a loss.
        for signal in ["metrics", "traces"] {
            outage.update(signal, 0, false, "", refused);
        }
        assert!(outage.lasts());
        outage.lock().as_mut().unwrap().last -= QUIET + Duration::from_millis(1);
        outage.update("metrics", 0, false, "", refused);
        assert!(outage.lasts());
        outage.update("traces", 0, false, "", refused);
        assert!(!outage.lasts());
        drop(guard);
        let text = log.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        for words in ["http://127.0.0.1:4317", "Connection refused"] {
            assert!(lines[0].contains(words), "{text}");
        }
        assert!(lines[1].contains("lost=6"), "{text}");
    }
}
