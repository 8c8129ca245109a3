//! Polls the supervisor.

use std::{convert::Infallible, sync::Mutex, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    record::{Record, lock},
    supervisor::Client,
    usage,
};

/// Interval of queries. It is shorter than that of exports, and cheap, because the supervisor
/// answers from memory.
const EVERY: Duration = Duration::from_secs(1);

/// Keeps the record up to date. Logs only changes: when the supervisor stops answering, and when it
/// answers again.
pub(crate) async fn watch(supervisor: &Client, record: &Mutex<Record>) -> Infallible {
    let mut turn = interval(EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turn.tick().await;
        let before = lock(record).is_up();
        match supervisor.processes().await {
            Ok(processes) => {
                let running = processes.iter().filter_map(|process| process.running);
                let usage = usage::measure(running.map(|running| running.pid).collect()).await;
                let count = processes.len();
                lock(record).answered(processes, &usage);
                if before != Some(true) {
                    tracing::info!(
                        url = supervisor.base(),
                        processes = count,
                        "the supervisor answers"
                    );
                }
            }
            Err(error) => {
                lock(record).silent();
                if before != Some(false) {
                    tracing::warn!(
                        url = supervisor.base(),
                        error = format!("{error:#}"),
                        "the supervisor does not answer"
                    );
                }
            }
        }
    }
}
