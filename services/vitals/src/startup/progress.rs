//! When each process became ready, as far as polling can tell.

use std::{collections::BTreeMap, time::Duration};

use crate::supervisor::Process;

/// The times at which processes became ready, since the start of the supervisor.
#[derive(Debug, Default)]
pub(super) struct Progress {
    ready: BTreeMap<String, When>,
    has_begun: bool,
}

/// The time of an event since the start of the supervisor, as a range.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct When {
    /// The latest possible time.
    pub(super) latest: Duration,
    /// The earliest possible time, if the event happened before the first query. Otherwise `latest`
    /// is precise.
    pub(super) earliest: Option<Duration>,
}

impl Progress {
    /// Records the state of the processes at `now`, a time since the start of the supervisor.
    pub(super) fn update(&mut self, now: Duration, processes: &[Process]) {
        for process in processes {
            if !process.is_settled() {
                self.ready.remove(&process.name);
                continue;
            }
            let has_begun = self.has_begun;
            self.ready.entry(process.name.clone()).or_insert_with(|| {
                // A running process became ready after its start. An ended one ran for `age`.
                let earliest = match process.running {
                    Some(_) => now.saturating_sub(process.age),
                    None => process.age,
                };
                When {
                    latest: now,
                    earliest: (!has_begun).then_some(earliest),
                }
            });
        }
        self.has_begun = true;
    }

    pub(super) fn ready(&self, process: &str) -> Option<When> {
        self.ready.get(process).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::Running;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn process(is_ready: bool, age: u64) -> Process {
        Process {
            name: "auth".to_owned(),
            namespace: "services".to_owned(),
            status: "Running".to_owned(),
            running: Some(Running {
                pid: 7,
                memory: None,
            }),
            ready: Some(is_ready),
            restarts: 0,
            exit_code: None,
            age: millis(age),
        }
    }

    fn ended(age: u64) -> Process {
        Process {
            status: "Completed".to_owned(),
            running: None,
            ready: None,
            exit_code: Some(0),
            ..process(true, age)
        }
    }

    fn after(latest: u64, earliest: Option<u64>) -> Option<When> {
        Some(When {
            latest: millis(latest),
            earliest: earliest.map(millis),
        })
    }

    #[test]
    fn a_process_became_ready_when_it_was_first_seen_ready() {
        let mut progress = Progress::default();
        for (now, is_ready, expected) in [
            (100, false, None),
            (150, true, after(150, None)),
            (200, true, after(150, None)),
            // The process failed and was restarted.
            (250, false, None),
            (300, true, after(300, None)),
        ] {
            progress.update(millis(now), &[process(is_ready, now)]);
            assert_eq!(progress.ready("auth"), expected);
        }
    }

    #[test]
    fn a_process_that_was_ready_before_the_first_query_has_a_range() {
        let mut progress = Progress::default();
        progress.update(millis(500), &[process(true, 200)]);
        progress.update(millis(550), &[process(true, 250)]);
        assert_eq!(progress.ready("auth"), after(500, Some(300)));

        let mut progress = Progress::default();
        progress.update(millis(500), &[ended(200)]);
        assert_eq!(progress.ready("auth"), after(500, Some(200)));
    }
}
