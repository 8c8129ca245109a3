//! Comparison of systems that differ in one feature, for benchmarks.
//!
//! All systems run at the same time and take turns in short rounds, so other work of the machine
//! affects all of them alike. In each round, the ratio is that to the mean of the two systems without
//! the feature. The median of these ratios counts.

use std::time::Duration;

use anyhow::bail;
use comfy_table::Table;

use crate::{
    Process, System,
    measure::{Sample, table},
};

/// What can be compared.
pub trait Measured {
    /// The processes that do the work of a call.
    fn processes(&self) -> Vec<&Process>;
}

impl Measured for System {
    fn processes(&self) -> Vec<&Process> {
        vec![&self.user, &self.auth]
    }
}

/// A system and its results.
#[derive(Debug)]
pub struct Candidate<S> {
    name: &'static str,
    system: S,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    calls: Sample,
    /// Processor time of the processes for each call, in seconds.
    processor: f64,
}

impl<S: Measured> Candidate<S> {
    /// A candidate without results.
    #[must_use]
    pub fn new(name: &'static str, system: S) -> Self {
        Self {
            name,
            system,
            rounds: Vec::new(),
        }
    }

    async fn round(
        &mut self,
        call: &impl AsyncFn(&S) -> anyhow::Result<Sample>,
    ) -> anyhow::Result<()> {
        let before = self.processor()?;
        let calls = call(&self.system).await?;
        let spent = self.processor()? - before;
        self.rounds.push(Round {
            processor: spent.as_secs_f64() / calls.count as f64,
            calls,
        });
        Ok(())
    }

    fn processor(&self) -> anyhow::Result<Duration> {
        let processes = self.system.processes();
        processes.into_iter().map(Process::cpu).sum()
    }

    fn memory(&self) -> anyhow::Result<u64> {
        let processes = self.system.processes();
        processes.into_iter().map(Process::memory).sum()
    }
}

/// Measures the candidates in turns, and returns a table of the results. The first two are the ones
/// without the feature. Their difference is the noise.
///
/// # Errors
/// When a call fails, or there are fewer than two candidates.
pub async fn compare<S: Measured>(
    what: &str,
    candidates: &mut [Candidate<S>],
    rounds: usize,
    call: impl AsyncFn(&S) -> anyhow::Result<Sample>,
) -> anyhow::Result<Table> {
    let count = candidates.len();
    for round in 0..rounds {
        // Each round begins with another candidate.
        for turn in 0..count {
            candidates[(round + turn) % count].round(&call).await?;
        }
    }

    let mut report = table([
        what,
        "calls/s",
        "ratio",
        "p50 ms",
        "ratio",
        "p99 ms",
        "ratio",
        "\u{b5}s processor a call",
        "ratio",
        "MB",
    ]);
    let [off, again, ..] = &*candidates else {
        bail!("fewer than two candidates");
    };
    for candidate in &*candidates {
        let value = |figure: fn(&Round) -> f64| median(candidate.rounds.iter().map(figure));
        let ratio = |figure: fn(&Round) -> f64| {
            let off = off.rounds.iter().zip(&again.rounds);
            let off = off.map(|(one, other)| (figure(one) + figure(other)) / 2.0);
            let rounds = candidate.rounds.iter().zip(off);
            median(rounds.map(|(this, off)| figure(this) / off))
        };
        let pair = |figure: fn(&Round) -> f64, scale: f64, digits: usize| {
            [
                format!("{:.digits$}", value(figure) * scale),
                format!("{:.3}", ratio(figure)),
            ]
        };
        let mut row = vec![candidate.name.to_owned()];
        row.extend(pair(|round| round.calls.rate, 1.0, 0));
        row.extend(pair(|round| round.calls.p50, 1e3, 2));
        row.extend(pair(|round| round.calls.p99, 1e3, 2));
        row.extend(pair(|round| round.processor, 1e6, 1));
        row.push(format!("{:.1}", candidate.memory()? as f64 / 1e6));
        report.add_row(row);
    }
    Ok(report)
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
