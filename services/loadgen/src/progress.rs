//! The progress of a run: some lines that are redrawn on a terminal, or else regular log records.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    drive::Drive,
    report::{P50, P99, human_duration},
    terminal::Terminal,
};

/// Interval of redraws on a terminal.
const FRAME: Duration = Duration::from_millis(200);

/// Interval of log records.
const RECORD: Duration = Duration::from_secs(10);

/// Shows the progress of a run until it is dropped.
#[derive(Debug)]
pub(crate) struct Shown {
    task: tokio::task::JoinHandle<()>,
    terminal: Arc<Terminal>,
}

/// Starts to show the progress of `drive`, below a title.
pub(crate) fn show(terminal: &Arc<Terminal>, drive: Arc<Drive>, title: String) -> Shown {
    let shared = Arc::clone(terminal);
    let task = tokio::spawn(async move {
        let period = if shared.is_watched() { FRAME } else { RECORD };
        let mut ticks = interval_at(Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            ticks.tick().await;
            if shared.is_watched() {
                shared.show(picture(&title, &drive));
            } else {
                record(&drive);
            }
        }
    });
    Shown {
        task,
        terminal: Arc::clone(terminal),
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        self.terminal.clear();
    }
}

fn picture(title: &str, drive: &Drive) -> String {
    let (now, in_flight) = drive.progress();
    let elapsed = drive.started.elapsed();
    let percentile = |latency, least| {
        if now.count < least {
            return "-".to_owned();
        }
        human_duration(latency)
    };
    format!(
        "{title}\n\
         elapsed    {}\n\
         sent       {}   {:.1}/s   in flight {in_flight}\n\
         latency    p50 {}   p99 {}\n\
         unexpected {}",
        humantime::format_duration(Duration::from_secs(elapsed.as_secs())),
        now.count + in_flight,
        now.count as f64 / elapsed.as_secs_f64(),
        percentile(now.p50, P50),
        percentile(now.p99, P99),
        now.unexpected,
    )
}

fn record(drive: &Drive) {
    let (now, in_flight) = drive.progress();
    let per_second = now.count as f64 / drive.started.elapsed().as_secs_f64();
    tracing::info!(
        sent = now.count + in_flight,
        per_second = (per_second * 10.0).round() / 10.0,
        in_flight,
        p50_ms = now.p50.as_micros() as f64 / 1e3,
        p99_ms = now.p99.as_micros() as f64 / 1e3,
        unexpected = now.unexpected,
        "progress"
    );
}
