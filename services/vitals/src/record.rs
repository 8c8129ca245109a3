//! The last known state of all processes, and cumulative sums.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{supervisor::Process, usage::Usage};

/// The last answer of the supervisor, and the sums over all answers.
///
/// The SDK exports each observed series, with its last value, until vitals ends. So processes stay
/// in the record, even if the supervisor no longer lists them.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Whether the last request was answered; `None` before the first.
    is_up: Option<bool>,
    /// The number of requests without a valid answer.
    failed: u64,
    /// By name, which is unique across namespaces.
    entries: BTreeMap<String, Entry>,
}

/// The last state of a process, and its sums.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) process: Process,
    /// In bytes. `None` if it was never measured.
    pub(crate) memory: Option<u64>,
    restarts: Restarts,
    cpu: ProcessorTime,
}

impl Entry {
    /// The number of restarts, which never decreases.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.total
    }

    /// Processor time in seconds, which never decreases. `None` if it was never measured.
    pub(crate) fn cpu(&self) -> Option<f64> {
        self.cpu.last.map(|_| self.cpu.total)
    }
}

impl Record {
    pub(crate) fn is_up(&self) -> Option<bool> {
        self.is_up
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed
    }

    /// All processes that the supervisor has ever listed.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Records an answer: the processes, and their usage by process id.
    pub(crate) fn answered(&mut self, processes: Vec<Process>, usage: &[(i32, Usage)]) {
        self.is_up = Some(true);
        for entry in self.entries.values_mut() {
            // A process that is not in the answer was removed, so it is not running.
            entry.process.running = None;
            entry.process.ready = entry.process.ready.map(|_| false);
        }
        for process in processes {
            let name = process.name.clone();
            let entry = self.entries.entry(name).or_insert_with(|| Entry {
                process: process.clone(),
                memory: None,
                restarts: Restarts::default(),
                cpu: ProcessorTime::default(),
            });
            entry.restarts.update(process.restarts);
            let of_it = process
                .running
                .and_then(|running| usage.iter().find(|(pid, _)| *pid == running.pid));
            if let Some((_, usage)) = of_it {
                entry.cpu.update(usage);
                entry.memory = Some(usage.memory);
            }
            entry.process = process;
        }
        for entry in self.entries.values_mut() {
            if entry.process.running.is_none() {
                entry.memory = entry.memory.map(|_| 0);
            }
        }
    }

    /// Records that the supervisor did not answer.
    pub(crate) fn silent(&mut self) {
        self.is_up = Some(false);
        self.failed += 1;
    }
}

/// Locks the record. Poisoning is ignored, because a panic cannot leave the record half changed.
pub(crate) fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sum of restarts. The supervisor's count restarts at zero when the supervisor restarts, or
/// when the configuration of the process changes.
#[derive(Debug, Default)]
struct Restarts {
    total: u64,
    last: u64,
}

impl Restarts {
    fn update(&mut self, now: u64) {
        self.total += now.checked_sub(self.last).unwrap_or(now);
        self.last = now;
    }
}

/// The sum of processor time. It restarts at zero when the process restarts.
#[derive(Debug, Default)]
struct ProcessorTime {
    total: f64,
    last: Option<(u64, f64)>,
}

impl ProcessorTime {
    fn update(&mut self, usage: &Usage) {
        self.total += match self.last {
            // The time may decrease, because the time of a descendant is lost if no process waits
            // for it.
            Some((started, last)) if started == usage.started => (usage.cpu - last).max(0.0),
            _ => usage.cpu,
        };
        self.last = Some((usage.started, usage.cpu));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::supervisor::Running;

    fn process(restarts: u64) -> Process {
        Process {
            name: "auth".to_owned(),
            namespace: "services".to_owned(),
            status: "Running".to_owned(),
            running: Some(Running {
                pid: 7,
                memory: None,
            }),
            ready: Some(true),
            restarts,
            exit_code: None,
            age: Duration::ZERO,
        }
    }

    fn usage(started: u64, cpu: f64) -> [(i32, Usage); 1] {
        let memory = 10;
        let usage = Usage {
            started,
            cpu,
            memory,
        };
        [(7, usage)]
    }

    fn sums(record: &Record) -> Vec<(u64, Option<f64>)> {
        let entries = record.entries();
        entries
            .map(|entry| (entry.restarts(), entry.cpu()))
            .collect()
    }

    #[test]
    fn sums_never_decrease() {
        let mut record = Record::default();
        for (restarts, started, cpu, expected) in [
            (2, 100, 1.0, (2, 1.0)),
            (2, 100, 1.5, (2, 1.5)),
            // The process was restarted.
            (3, 200, 0.25, (3, 1.75)),
            // A child ended, and no process waited for it.
            (3, 200, 0.125, (3, 1.75)),
            (3, 200, 0.25, (3, 1.875)),
            // The supervisor was restarted.
            (0, 300, 0.5, (3, 2.375)),
            (1, 400, 0.5, (4, 2.875)),
        ] {
            record.answered(vec![process(restarts)], &usage(started, cpu));
            assert_eq!(sums(&record), [(expected.0, Some(expected.1))]);
        }
    }

    #[test]
    fn a_failed_request_changes_only_its_counter() {
        let mut record = Record::default();
        assert_eq!(record.is_up(), None);
        record.answered(vec![process(2)], &usage(1, 1.0));
        record.silent();
        record.silent();
        assert_eq!((record.is_up(), record.failed()), (Some(false), 2));
        assert_eq!(sums(&record), [(2, Some(1.0))]);
        record.answered(vec![process(3)], &usage(1, 1.5));
        assert_eq!((record.is_up(), record.failed()), (Some(true), 2));
        assert_eq!(sums(&record), [(3, Some(1.5))]);
    }

    #[test]
    fn a_removed_process_is_down_and_keeps_its_sums() {
        let mut record = Record::default();
        record.answered(vec![process(2)], &usage(1, 1.0));
        record.answered(Vec::new(), &[]);
        let entry = record.entries().next().unwrap();
        assert_eq!(entry.process.running, None);
        assert_eq!((entry.process.ready, entry.memory), (Some(false), Some(0)));
        record.answered(vec![process(1)], &usage(2, 0.5));
        assert_eq!(sums(&record), [(3, Some(1.5))]);
    }

    #[test]
    fn a_process_without_measurements_has_no_value() {
        let mut record = Record::default();
        record.answered(vec![process(0)], &[]);
        let entry = record.entries().next().unwrap();
        assert_eq!((entry.memory, entry.cpu()), (None, None));
    }
}
