//! Calls in a closed loop and their latencies, for benchmarks.

use std::{
    env, fmt,
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use tonic::Status;

/// Time before the measurement, in which caches fill and connections open.
const WARM_UP: Duration = Duration::from_millis(500);

/// The part of a benchmark that its first argument names, or all of it.
#[derive(Clone, Debug)]
pub struct Wanted(Option<String>);

impl Wanted {
    /// Whether this part is to be measured.
    #[must_use]
    pub fn has(&self, part: &str) -> bool {
        self.0.as_deref().is_none_or(|wanted| wanted == part)
    }
}

/// What is to be measured: nothing if `cargo test --benches` runs the benchmark with `--test`, to see that it builds.
///
/// # Errors
/// In a debug build.
pub fn wanted() -> anyhow::Result<Option<Wanted>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--test") {
        return Ok(None);
    }
    ensure!(
        !cfg!(debug_assertions),
        "only the release build can be measured: use cargo bench"
    );
    let first = arguments.into_iter().next();
    Ok(Some(Wanted(first.filter(|name| !name.starts_with('-')))))
}

/// The results of one round of calls.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The number of calls, including the warm-up.
    pub count: u64,
    /// Calls a second.
    pub rate: f64,
    /// Median duration in seconds.
    pub p50: f64,
    /// 99th percentile of the durations, in seconds.
    pub p99: f64,
}

/// A histogram of latencies in microseconds.
#[derive(Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty histogram.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, 60_000_000, 3)?))
    }

    /// Records a latency, capped at one minute.
    pub fn record(&mut self, elapsed: Duration) {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    /// Adds the latencies of another histogram.
    ///
    /// # Errors
    /// When the bounds differ, which cannot happen.
    pub fn add(&mut self, others: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&others.0)?)
    }

    /// The number of latencies.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this share of all does not exceed.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [0.5, 0.99, 1.0].map(|quantile| self.quantile(quantile));
        write!(
            formatter,
            "{} with p50 {p50:.1?}, p99 {p99:.1?}, max {max:.1?}",
            self.count()
        )
    }
}

/// Calls in a closed loop: each caller makes its next call after the answer to its last one.
///
/// `call` gets the number of its caller and the number of the call.
///
/// # Errors
/// When a call fails.
pub async fn drive<F, C>(callers: usize, round: Duration, call: F) -> anyhow::Result<Sample>
where
    F: Fn(usize, usize) -> C + Send + Sync + 'static + Clone,
    C: Future<Output = Result<(), Status>> + Send,
{
    let begin = Instant::now() + WARM_UP;
    let end = begin + round;
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let call = call.clone();
            tokio::spawn(async move {
                let mut latencies = Latencies::new()?;
                let mut count = 0;
                for number in 0.. {
                    let started = Instant::now();
                    if started >= end {
                        break;
                    }
                    call(caller, number).await?;
                    count += 1;
                    if started >= begin {
                        latencies.record(started.elapsed());
                    }
                }
                anyhow::Ok((latencies, count))
            })
        })
        .collect();
    let mut all = Latencies::new()?;
    let mut count = 0;
    for task in tasks {
        let (latencies, of_one) = task.await??;
        all.add(&latencies)?;
        count += of_one;
    }
    Ok(Sample {
        count,
        rate: all.count() as f64 / round.as_secs_f64(),
        p50: all.quantile(0.5).as_secs_f64(),
        p99: all.quantile(0.99).as_secs_f64(),
    })
}

/// The median round, by rate.
///
/// # Errors
/// When there are no rounds.
pub fn median(rounds: &mut [Sample]) -> anyhow::Result<Sample> {
    rounds.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    rounds.get(rounds.len() / 2).copied().context("no rounds")
}

/// An empty table.
#[must_use]
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Writes a table to stdout.
///
/// # Errors
/// When stdout is closed.
pub fn print(table: &Table) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{table}\n")?;
    Ok(())
}
