//! The open loop: starts every journey at its time, whatever became of those before it.
//!
//! When as many requests are under way as there may be, the next ones wait for their turn. The
//! schedule does not wait with them: their latency counts from their intended start, or the
//! report would leave out just the time in which the target was slow (coordinated omission).

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

/// A run that is under way.
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

    /// Journeys under way.
    pub(crate) fn in_flight(&self) -> usize {
        (self.max_in_flight as usize).saturating_sub(self.slots.available_permits())
    }

    /// Makes the journeys of a plan, until it ends or `shutdown` does, and waits for those under
    /// way.
    ///
    /// What is still waiting for its turn one `timeout` after the end of the plan is given up
    /// and recorded as [`Kind::Unsent`]; what waits at a shutdown is not, since nobody expects an
    /// answer to it any more.
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
                // The plan was followed to its end, also if that was a quiet time.
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

        // Each request has its time-out, so this ends.
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
        // The first, the tenth, the hundredth: a target that is down must not fill the disk.
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

/// Hands out journeys when they are due.
///
/// A thread of its own, since tokio's timer counts in milliseconds: rounding up to the next one
/// would be reported as latency of the target.
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
                        // May end early, for no reason or because of the drop below.
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
    async fn nothing_is_due_before_its_time() {
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
