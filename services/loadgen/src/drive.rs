//! The open loop: starts every journey at its scheduled time, even if earlier journeys have not
//! ended.
//!
//! At the limit of concurrent journeys, further ones wait. The schedule does not wait: latency
//! counts from the scheduled start. Otherwise the report would omit exactly the time in which the
//! target was slow (coordinated omission).

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::sync::{Semaphore, mpsc};

use crate::{
    record::{Outcome, Recorder, Snapshot},
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
    /// Number of journeys that were recorded or will be.
    sent: AtomicU64,
    slots: Arc<Semaphore>,
    max_in_flight: u32,
}

impl Drive {
    pub(crate) fn new(max_in_flight: u16) -> Self {
        Self {
            started: Instant::now(),
            recorder: Recorder::new(),
            sent: AtomicU64::new(0),
            slots: Arc::new(Semaphore::new(usize::from(max_in_flight))),
            max_in_flight: u32::from(max_in_flight),
        }
    }

    /// The results so far, and the number of running journeys.
    ///
    /// The free slots do not tell this number: the wait at the end takes them one by one.
    pub(crate) fn progress(&self) -> (Snapshot, u64) {
        // In this order, a journey that ends between the two reads counts as running.
        let ended = self.recorder.snapshot();
        let running = self.sent.load(Acquire).saturating_sub(ended.count);
        (ended, running)
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
            self.sent.fetch_add(1, Release);
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
        self.sent.fetch_add(1, Release);
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
    use std::pin::pin;

    use tokio::net::TcpListener;

    use super::*;
    use crate::{people::People, schedule::Shape, target::Target};

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
    async fn only_running_journeys_are_in_flight_at_the_end_of_the_plan() {
        // It accepts connections, and never answers.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("http://{}", listener.local_addr().unwrap());
        let timeout = Duration::from_secs(2);
        let world = Arc::new(World {
            target: Target::new(&target.parse().unwrap(), timeout, 100).unwrap(),
            people: People::new(),
        });
        let drive = Arc::new(Drive::new(100));
        let plan = Plan {
            count: Some(3),
            ..plan()
        };
        let running = Arc::clone(&drive);
        let run = tokio::spawn(async move {
            let never = pin!(std::future::pending());
            running.run(plan, &world, timeout, never).await
        });
        tokio::time::sleep(timeout / 2).await;
        let (ended, in_flight) = drive.progress();
        assert_eq!((ended.count, in_flight), (0, 3));
        run.await.unwrap().unwrap();
        let (ended, in_flight) = drive.progress();
        assert_eq!((ended.count, in_flight), (3, 0));
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
