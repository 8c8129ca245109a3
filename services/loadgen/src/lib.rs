//! An open-loop load generator for the frontend and for auth.
//!
//! A seed determines when journeys start. They do not wait for the answers to earlier ones, as real
//! users would not. So if the target stalls, requests accumulate, and their latency counts from the
//! scheduled start. [`run`] makes the load and returns a [`Report`].
//!
//! Log records, spans and reports must not contain a password, a token or an email.

mod config;
mod drive;
mod journey;
mod people;
mod prepare;
mod process;
mod progress;
mod record;
mod report;
mod schedule;
mod target;
mod terminal;
mod visit;

pub use crate::{
    config::Config,
    process::{health, start},
};

// For tests, which check the report of a run.
#[doc(hidden)]
pub use crate::{
    journey::{Input, Journey},
    report::{Errors, Latency, Report, Row},
};

use std::{pin::pin, sync::Arc};

use crate::{
    drive::Drive, people::People, report::Settings, schedule::Plan, target::Target,
    terminal::Terminal, visit::World,
};

/// Puts load on the target until the run or `shutdown` ends.
///
/// # Errors
/// When the target does not become ready in time, or the generator cannot start.
#[doc(hidden)] // For tests; the program begins with `start`.
pub async fn run(config: &Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<Report> {
    let mut shutdown = pin!(shutdown);
    let plan = Plan {
        // 32 bits are short enough to type, and exact in every JSON parser.
        seed: config.seed.unwrap_or_else(|| rand::random::<u32>().into()),
        rate: config.rate,
        shape: config.shape,
        mix: config.mix,
        bad: config.bad,
        length: config.duration.bound(),
        count: config.count.map(Into::into),
    };
    let max_in_flight = config.max_in_flight.get();
    let world = Arc::new(World {
        target: Target::new(&config.target, config.timeout, usize::from(max_in_flight))?,
        people: People::new(),
    });

    let is_prepared = tokio::select! {
        outcome = prepare::prepare(&world, config) => outcome.map(|()| true)?,
        () = &mut shutdown => false,
    };

    let drive = Arc::new(Drive::new(max_in_flight));
    if is_prepared {
        tracing::info!(url = %config.target, seed = plan.seed, rate = plan.rate, "load started");
        let terminal = Arc::new(Terminal::new());
        let title = format!("{} at {}/s, seed {}", config.target, plan.rate, plan.seed);
        let _shown = progress::show(&terminal, Arc::clone(&drive), title);
        drive.run(plan, &world, config.timeout, shutdown).await?;
    }

    let elapsed = drive.started.elapsed();
    let (total, rows, errors) = drive.recorder.rows(elapsed);
    Ok(Report {
        version: env!("CARGO_PKG_VERSION"),
        target: config.target.to_string(),
        seed: plan.seed,
        settings: Settings {
            rate: plan.rate,
            shape: plan.shape,
            duration: plan.length.map(|length| length.as_secs_f64()),
            count: plan.count,
            mix: plan.mix,
            bad: plan.bad,
            max_in_flight: usize::from(max_in_flight),
            timeout: config.timeout.as_secs_f64(),
            accounts: usize::from(config.accounts),
        },
        elapsed: elapsed.as_secs_f64(),
        passed: Report::passes(&total),
        total,
        rows,
        errors,
    })
}
