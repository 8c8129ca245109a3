//! The open loop: starts every journey at its scheduled time, even if earlier journeys have not
//! ended.
//!
//! At the limit of concurrent journeys, further ones wait. The schedule does not wait: latency
//! counts from the scheduled start. Otherwise the report would omit exactly the time in which the
//! target was slow (coordinated omission).

use std::{
    pin::Pin,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::sync::{Semaphore, mpsc};

use crate::{
    record::{Outcome, Recorder},
    report::Stage,
    schedule::{Plan, Planned, Schedule},
    target::Kind,
    visit::World,
};

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Drive {
    pub(crate) started: Instant,
    pub(crate) recorder: Recorder,
    slots: Arc<Semaphore>,
    max_in_flight: u32,
}

impl Drive {
    pub(crate) fn new(max_in_flight: u16) -> Self {
        Self {
            started: Instant::now(),
            recorder: Recorder::new(),
            slots: Arc::new(Semaphore::new(usize::from(max_in_flight))),
            max_in_flight: u32::from(max_in_flight),
        }
    }

    /// The number of running journeys.
    pub(crate) fn in_flight(&self) -> usize {
        (self.max_in_flight as usize).saturating_sub(self.slots.available_permits())
    }

    /// Starts the journeys of a plan until it or `shutdown` ends. Then waits for the running
    /// journeys.
    ///
    /// A journey that still waits one `timeout` after the end of the plan is dropped and recorded
    /// as [`Kind::Unsent`]. A journey that waits at a shutdown is not recorded.
    pub(crate) async fn run(
        self: &Arc<Self>,
        plan: Plan,
        world: &Arc<World>,
        timeout: Duration,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> anyhow::Result<()> {
        let end = plan.length.map(|length| self.started + length);
        let give_up = end.map(|end| end + timeout);
        let mut due = Pacer::start(Schedule::new(plan), self.started)?;
        let mut left = plan.count;

        loop {
            let planned = tokio::select! {
                biased;
                () = &mut shutdown => break,
                planned = due.next() => planned,
            };
            let Some(planned) = planned else {
                // No journey is left. The run still lasts until the end of the plan, because its
                // duration is part of the report.
                if let (Some(end), true) = (end, left != Some(0)) {
                    tokio::select! {
                        () = &mut shutdown => {}
                        () = tokio::time::sleep_until(end.into()) => {}
                    }
                }
                break;
            };
            left = left.map(|left| left - 1);

            let slot = tokio::select! {
                biased;
                () = &mut shutdown => break,
                slot = Arc::clone(&self.slots).acquire_owned() => slot?,
                () = until(give_up) => {
                    self.give_up(planned);
                    continue;
                }
            };
            let (drive, world) = (Arc::clone(self), Arc::clone(world));
            tokio::spawn(async move {
                let intended = drive.started + planned.at;
                let outcome = world.visit(planned, intended).await;
                drive.record(&outcome);
                drop(slot);
            });
        }

        // This ends, because each request has a timeout.
        let _all = self.slots.acquire_many(self.max_in_flight).await?;
        Ok(())
    }

    fn give_up(&self, planned: Planned) {
        let outcome = Outcome {
            journey: planned.case.journey(),
            input: planned.case.input(),
            latency: (self.started + planned.at).elapsed(),
            unexpected: Some((Stage::Request, Kind::Unsent)),
        };
        self.record(&outcome);
    }

    fn record(&self, outcome: &Outcome) {
        let seen = self.recorder.record(outcome);
        let (Some(seen), Some((stage, kind))) = (seen, &outcome.unexpected) else {
            return;
        };
        // Logs the first, the tenth, the hundredth: the log must stay small if the target is down.
        if seen == 10_u64.pow(seen.ilog10()) {
            tracing::warn!(
                journey = outcome.journey.name(),
                input = outcome.input.name(),
                stage = stage.name(),
                kind = %kind,
                seen,
                "unexpected answer"
            );
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end.into()).await,
        None => std::future::pending().await,
    }
}

/// A thread that sends each journey when it is due.
///
/// tokio's timer has a resolution of one millisecond and rounds up. The difference would be
/// reported as latency of the target.
struct Pacer {
    due: mpsc::Receiver<Planned>,
    thread: thread::Thread,
}

impl Pacer {
    fn start(schedule: Schedule, started: Instant) -> anyhow::Result<Self> {
        let (sender, due) = mpsc::channel(1);
        let thread = thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || {
                for planned in schedule {
                    loop {
                        if sender.is_closed() {
                            return;
                        }
                        let early = planned.at.saturating_sub(started.elapsed());
                        if early.is_zero() {
                            break;
                        }
                        // May return early: spuriously, or because of the drop below.
                        thread::park_timeout(early);
                    }
                    if sender.blocking_send(planned).is_err() {
                        return;
                    }
                }
            })
            .context("cannot start the pacer")?
            .thread()
            .clone();
        Ok(Self { due, thread })
    }

    async fn next(&mut self) -> Option<Planned> {
        self.due.recv().await
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.due.close();
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use crate::schedule::Shape;

    use super::*;

    fn plan() -> Plan {
        Plan {
            seed: 1,
            rate: 500.0,
            shape: Shape::Steady,
            mix: "me=1".parse().unwrap(),
            bad: 0.0,
            length: None,
            count: Some(100),
        }
    }

    #[tokio::test]
    async fn no_journey_starts_before_its_time() {
        let started = Instant::now();
        let mut pacer = Pacer::start(Schedule::new(plan()), started).unwrap();
        let mut count = 0;
        while let Some(planned) = pacer.next().await {
            assert!(started.elapsed() >= planned.at);
            count += 1;
        }
        assert_eq!(count, 100);
    }

    #[tokio::test]
    async fn a_slow_receiver_does_not_move_the_schedule() {
        let wanted: Vec<Duration> = Schedule::new(plan()).map(|planned| planned.at).collect();
        let mut pacer = Pacer::start(Schedule::new(plan()), Instant::now()).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut got = Vec::new();
        while let Some(planned) = pacer.next().await {
            got.push(planned.at);
        }
        assert_eq!(got, wanted);
    }
}
