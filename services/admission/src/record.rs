//! What was dropped: metrics, and a line of the log for each kind.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use telemetry::{KeyValue, metrics, names};

use crate::series::{Dropped, Reason, Series};

const SCOPE: &str = env!("CARGO_PKG_NAME");

/// How often a line of the log tells about one service and reason.
const PAUSE: Duration = Duration::from_secs(60);

/// The number of services and reasons with counts of their own. Further ones have a common count.
const SERVICES: usize = 5_000;

/// The counts by service and reason.
#[derive(Debug, Default)]
pub(crate) struct Record(BTreeMap<(String, Reason), Count>);

#[derive(Debug, Default)]
struct Count {
    total: u64,
    /// Those of which no line of the log has told yet.
    untold: u64,
    told: Option<Instant>,
}

impl Record {
    /// Adds what was dropped of a request. `reason` is that of Prometheus.
    pub(crate) fn add(&mut self, dropped: Dropped, reason: &str, now: Instant) {
        for ((service, kind), points) in dropped {
            let mut key = (service, kind);
            let is_new = !self.0.contains_key(&key);
            if kind == Reason::Services || (is_new && self.0.len() >= SERVICES) {
                key.0 = names::OTHER.to_owned();
            }
            let sender = key.0.clone();
            let count = self.0.entry(key).or_default();
            count.total += points;
            count.untold += points;
            if count
                .told
                .is_none_or(|told| now.duration_since(told) >= PAUSE)
            {
                count.told = Some(now);
                let data_points = std::mem::take(&mut count.untold);
                let reason = if kind == Reason::Refused {
                    reason
                } else {
                    kind.name()
                };
                tracing::warn!(
                    sender,
                    data_points,
                    reason,
                    "data points of a sender are dropped"
                );
            }
        }
    }
}

/// Registers instruments that export both until they are dropped.
pub(crate) fn observe(record: &Arc<Mutex<Record>>, series: &Arc<Mutex<Series>>) {
    let weak = Arc::downgrade(record);
    metrics::ADMISSION_DATA_POINTS_DROPPED.observed_counter(SCOPE, move |counter| {
        read(&weak, |record| {
            for ((service, reason), count) in &record.0 {
                let attributes = [
                    KeyValue::new(names::ADMISSION_SENDER, service.clone()),
                    KeyValue::new(names::ADMISSION_REASON, reason.name()),
                ];
                counter.observe(count.total as f64, &attributes);
            }
        });
    });
    let weak = Arc::downgrade(series);
    metrics::ADMISSION_SERIES_COUNT.observed_up_down_counter(SCOPE, move |counter| {
        read(&weak, |series| {
            counter.observe(i64::try_from(series.len()).unwrap_or(i64::MAX), &[]);
        });
    });
}

fn read<T>(shared: &Weak<Mutex<T>>, read: impl FnOnce(&T)) {
    if let Some(shared) = shared.upgrade() {
        read(&lock(&shared));
    }
}

/// Locks a value. Poisoning is ignored, because a panic cannot leave one half changed.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
