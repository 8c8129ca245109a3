//! Calls in a closed loop, and how fast they were answered: for benchmarks.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};
use hdrhistogram::Histogram;
use tonic::Status;

/// What the first calls find cold is not measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// One round of calls.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Calls, with those of the warm-up.
    pub count: u64,
    /// Calls a second.
    pub rate: f64,
    /// Median duration in seconds.
    pub p50: f64,
    /// Duration in seconds that one call of a hundred exceeds.
    pub p99: f64,
}

/// Calls in a closed loop: each caller makes its next call when it has the answer to the last.
///
/// `call` is given the number of its caller, and its own.
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
                let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
                let mut count = 0;
                for number in 0.. {
                    let started = Instant::now();
                    if started >= end {
                        break;
                    }
                    call(caller, number).await?;
                    count += 1;
                    if started >= begin {
                        let micros = started.elapsed().as_micros();
                        latencies.saturating_record(u64::try_from(micros).unwrap_or(u64::MAX));
                    }
                }
                anyhow::Ok((latencies, count))
            })
        })
        .collect();
    let mut all = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let mut count = 0;
    for task in tasks {
        let (latencies, of_one) = task.await??;
        all.add(latencies)?;
        count += of_one;
    }
    let seconds = |quantile| all.value_at_quantile(quantile) as f64 / 1e6;
    Ok(Sample {
        count,
        rate: all.len() as f64 / round.as_secs_f64(),
        p50: seconds(0.5),
        p99: seconds(0.99),
    })
}

/// The round in the middle, by rate.
///
/// # Errors
/// When there is none.
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
