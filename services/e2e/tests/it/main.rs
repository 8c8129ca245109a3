//! The real processes together, as people and machines use them.

mod alerts;
mod backends;
mod browser;
mod clocks;
mod correlation;
mod dashboards;
mod input;
mod kafka;
mod load;
mod metrics;
mod outage;
mod sampling;
mod system;
mod systemd;
mod telemetry;
mod tree;
mod visibility;
mod whole;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        alerts::trials(),
        backends::trials(),
        browser::trials(),
        clocks::trials(),
        correlation::trials(),
        dashboards::trials(),
        input::trials(),
        kafka::trials(),
        load::trials(),
        metrics::trials(),
        outage::trials(),
        sampling::trials(),
        system::trials(),
        systemd::trials(),
        telemetry::trials(),
        visibility::trials(),
        whole::trials(),
    ];
    libtest_mimic::run(&arguments, trials.into_iter().flatten().collect()).exit_code()
}

/// A test that needs nothing but the workspace.
fn trial<F>(name: &str, test: F) -> Trial
where
    F: AsyncFnOnce() -> anyhow::Result<()> + Send + 'static,
{
    trial_with(name, Vec::new(), test)
}

/// A test that is ignored, by name, where a program is missing.
fn trial_with<F>(name: &str, missing: Vec<String>, test: F) -> Trial
where
    F: AsyncFnOnce() -> anyhow::Result<()> + Send + 'static,
{
    blocking_trial(name, missing, || runtime()?.block_on(test()))
}

/// The same of a test that brings a runtime of its own.
fn blocking_trial<F>(name: &str, missing: Vec<String>, test: F) -> Trial
where
    F: FnOnce() -> anyhow::Result<()> + Send + 'static,
{
    Trial::ignorable_test(name, move || {
        if !missing.is_empty() {
            let reason = format!("not on PATH: {}", missing.join(", "));
            return Ok(Completion::ignored_with(reason));
        }
        test()
            .map(|()| Completion::Completed)
            .map_err(|error| Failed::from(format!("{error:?}")))
    })
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}
