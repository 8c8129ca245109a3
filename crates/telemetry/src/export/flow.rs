//! What of one signal is on its way, and what was lost.

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

/// How long nothing may be lost until an outage counts as over. Shorter, and a service that
/// makes spans faster than they leave would report the same outage again and again.
const QUIET: Duration = Duration::from_secs(5);

/// The account of one signal. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Flow(Arc<Inner>);

/// A signal, where it goes, and the outage that it shares with the others.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) signal: &'static str,
    pub(crate) endpoint: String,
    pub(crate) outage: Outage,
}

#[derive(Debug)]
struct Inner {
    signal: &'static str,
    /// What the queue holds at most.
    capacity: usize,
    /// In the queue, or with the exporter.
    pending: AtomicUsize,
    /// Lost since the start.
    lost: AtomicU64,
    /// Of `lost`, what was reported.
    reported: AtomicU64,
    outage: Outage,
    /// Where the signal goes.
    endpoint: String,
    processed: Option<Counts>,
    exported: Counts,
}

/// The outage of the collector, which concerns all signals. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outage(Arc<Mutex<Option<Losses>>>);

/// The losses of an outage that lasts.
#[derive(Debug)]
struct Losses {
    count: u64,
    last: Instant,
    /// The signals that have lost something.
    signals: Vec<&'static str>,
}

/// A counter, and the attributes that name the part it counts for.
#[derive(Debug)]
struct Counts {
    counter: Counter<u64>,
    component: [KeyValue; 2],
}

impl Flow {
    /// The account of a signal that waits in a queue.
    pub(crate) fn queued(
        route: Route,
        capacity: usize,
        processed: (&Metric, &'static str),
        exported: (&Metric, &'static str),
    ) -> Self {
        Self::new(route, capacity, Some(Counts::new(processed)), exported)
    }

    /// The account of a signal that does not wait.
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

    /// Reports losses to the outage. Only the exporter's thread does: logging within a request could recurse, as it
    /// may be exporting a log record.
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
            None if rejected => "the collector rejects some of it".to_owned(),
            None => "the queue is full".to_owned(),
        };
        self.0
            .outage
            .update(signal, more, rejected, endpoint, reason);
    }
}

impl Outage {
    /// Whether an outage lasts, and so was logged.
    pub(crate) fn lasts(&self) -> bool {
        self.lock().is_some()
    }

    /// Logs once that an outage has begun, whichever signal notices it first, and once that it is over: when a signal
    /// that had losses is exported, and no signal has lost anything for [`QUIET`].
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
        // A signal that had no losses ends no outage, and neither does one that has just had some.
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
