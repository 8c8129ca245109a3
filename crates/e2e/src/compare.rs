//! Systems that differ in one thing, measured side by side: for benchmarks.
//!
//! All run at once and take turns in short rounds, so that what else the machine does falls on all
//! alike. The ratios are of one round each, to the mean of both that are without the thing; the
//! median of them counts.

use std::time::Duration;

use anyhow::bail;
use comfy_table::Table;

use crate::{
    System,
    measure::{Sample, table},
};

/// One of them, and how it did.
#[derive(Debug)]
pub struct Candidate {
    name: &'static str,
    system: System,
    rounds: Vec<Round>,
}

#[derive(Clone, Copy, Debug)]
struct Round {
    calls: Sample,
    /// Seconds of processor time that `auth` and `user` spent on a call.
    processor: f64,
}

impl Candidate {
    /// One that has done nothing yet.
    #[must_use]
    pub fn new(name: &'static str, system: System) -> Self {
        Self {
            name,
            system,
            rounds: Vec::new(),
        }
    }

    async fn round(
        &mut self,
        call: &impl AsyncFn(&System) -> anyhow::Result<Sample>,
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
        Ok(self.system.user.cpu()? + self.system.auth.cpu()?)
    }
}

/// Lets the candidates take turns, and tells how they did. The first two are those without the
/// thing: how they differ is the noise.
///
/// # Errors
/// When a call fails, or there are no two candidates.
pub async fn compare(
    what: &str,
    candidates: &mut [Candidate],
    rounds: usize,
    call: impl AsyncFn(&System) -> anyhow::Result<Sample>,
) -> anyhow::Result<Table> {
    let count = candidates.len();
    for round in 0..rounds {
        // Another one begins each time.
        for turn in 0..count {
            candidates[(round + turn) % count].round(&call).await?;
        }
    }

    let mut report = table([
        what,
        "calls/s",
        "of off",
        "p50 ms",
        "of off",
        "p99 ms",
        "of off",
        "\u{b5}s processor a call",
        "of off",
        "user MB",
        "auth MB",
    ]);
    let [off, again, ..] = &*candidates else {
        bail!("no two candidates");
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
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let mut row = vec![candidate.name.to_owned()];
        row.extend(pair(|round| round.calls.rate, 1.0, 0));
        row.extend(pair(|round| round.calls.p50, 1e3, 2));
        row.extend(pair(|round| round.calls.p99, 1e3, 2));
        row.extend(pair(|round| round.processor, 1e6, 1));
        row.push(megabytes(candidate.system.user.memory()?));
        row.push(megabytes(candidate.system.auth.memory()?));
        report.add_row(row);
    }
    Ok(report)
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
