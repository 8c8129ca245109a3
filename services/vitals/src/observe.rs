//! Exports the record as metrics.

use std::sync::{Arc, Mutex, Weak};

use opentelemetry::KeyValue;
use telemetry::{metrics, names};

use crate::record::{Entry, Record, lock};

const SCOPE: &str = env!("CARGO_PKG_NAME");

/// The value of a metric for a process, if there is one.
type Value = fn(&Entry) -> Option<f64>;

/// Registers instruments that export the record until it is dropped.
pub(crate) fn observe(record: &Arc<Mutex<Record>>) {
    let shown = Shown(Arc::downgrade(record));

    metrics::SUPERVISOR_UP.observed_gauge(SCOPE, {
        let shown = shown.clone();
        move |gauge| {
            if let Some(is_up) = shown.read(Record::is_up).flatten() {
                gauge.observe(one_if(is_up), &[]);
            }
        }
    });
    metrics::SUPERVISOR_REQUESTS_FAILED.observed_counter(SCOPE, {
        let shown = shown.clone();
        move |counter| {
            if let Some(failed) = shown.read(Record::failed) {
                counter.observe(failed as f64, &[]);
            }
        }
    });

    let gauges: [(_, Value); 4] = [
        (metrics::SUPERVISOR_PROCESS_UP, |entry| {
            Some(one_if(entry.process.running.is_some()))
        }),
        (metrics::SUPERVISOR_PROCESS_READY, |entry| {
            entry.process.ready.map(one_if)
        }),
        (metrics::SUPERVISOR_PROCESS_AGE, |entry| {
            let age = entry.process.age.as_secs_f64();
            Some(if entry.process.running.is_some() {
                age
            } else {
                0.0
            })
        }),
        (metrics::SUPERVISOR_PROCESS_EXIT_CODE, |entry| {
            entry.process.exit_code.map(f64::from)
        }),
    ];
    for (metric, value) in gauges {
        let shown = shown.clone();
        metric.observed_gauge(SCOPE, move |gauge| {
            shown.each(value, |value, attributes| gauge.observe(value, attributes));
        });
    }

    let counters: [(_, Value); 2] = [
        (metrics::SUPERVISOR_PROCESS_RESTARTS, |entry| {
            Some(entry.restarts() as f64)
        }),
        (metrics::SUPERVISOR_PROCESS_CPU_TIME, |entry| entry.cpu()),
    ];
    for (metric, value) in counters {
        let shown = shown.clone();
        metric.observed_counter(SCOPE, move |counter| {
            shown.each(value, |value, attributes| {
                counter.observe(value, attributes);
            });
        });
    }

    metrics::SUPERVISOR_PROCESS_MEMORY_USAGE.observed_up_down_counter(SCOPE, move |counter| {
        shown.each(
            |entry| entry.memory.and_then(|bytes| i64::try_from(bytes).ok()),
            |bytes, attributes| counter.observe(bytes, attributes),
        );
    });
}

/// A weak reference to the record. Instruments live as long as the process and must not keep the
/// record alive.
#[derive(Clone)]
struct Shown(Weak<Mutex<Record>>);

impl Shown {
    fn read<T>(&self, read: impl FnOnce(&Record) -> T) -> Option<T> {
        let record = self.0.upgrade()?;
        Some(read(&lock(&record)))
    }

    /// Observes a value of each process that has one.
    fn each<T>(&self, value: impl Fn(&Entry) -> Option<T>, observe: impl Fn(T, &[KeyValue])) {
        // `None` means that the record was dropped.
        let _ = self.read(|record| {
            for entry in record.entries() {
                if let Some(value) = value(entry) {
                    let (name, namespace) = (&entry.process.name, &entry.process.namespace);
                    let attributes = [
                        KeyValue::new(names::SUPERVISOR_PROCESS_NAME, name.clone()),
                        KeyValue::new(names::SUPERVISOR_PROCESS_NAMESPACE, namespace.clone()),
                    ];
                    observe(value, &attributes);
                }
            }
        });
    }
}

fn one_if(condition: bool) -> f64 {
    if condition { 1.0 } else { 0.0 }
}
