//! Tests of the real processes together.

mod alerts;
mod backends;
mod browser;
mod busy;
mod clocks;
mod correlation;
mod dashboards;
mod deadlines;
mod dependencies;
mod documentation;
mod grafana;
mod input;
mod isolation;
mod kafka;
mod lens;
mod limits;
mod links;
mod load;
mod metrics;
mod outage;
mod profiles;
mod propagation;
mod queries;
mod reach;
mod redaction;
mod references;
mod rules;
mod sampling;
mod sdks;
mod services;
mod settings;
mod shared;
mod system;
mod systemd;
mod telemetry;
mod tree;
mod visibility;
mod whole;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use e2e::{compose::ROOT, long::ignore_long};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::{Builder, Runtime};

use crate::{busy::Busy, shared::Shared};

/// Tests of the whole stack under load, and of its dashboards in a browser.
const LONG: &[&str] = &[
    "dashboards::every_query_gives_data",
    "grafana::",
    "isolation::a_hostile_sender_costs_no_other",
    "kafka::one_of_three_brokers",
    "kafka::with_one_of_three_brokers",
    "links::",
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let busy = Shared::<Busy>::new();
    let trials = [
        alerts::trials(),
        backends::trials(),
        browser::trials(),
        clocks::trials(),
        correlation::trials(),
        dashboards::trials(&busy),
        deadlines::trials(),
        dependencies::trials(),
        grafana::trials(&busy),
        input::trials(),
        isolation::trials(),
        kafka::trials(),
        lens::trials(),
        limits::trials(),
        links::trials(&busy),
        load::trials(),
        metrics::trials(),
        outage::trials(),
        profiles::trials(),
        propagation::trials(),
        reach::trials(),
        redaction::trials(),
        references::trials(),
        rules::trials(),
        sampling::trials(),
        sdks::trials(),
        services::trials(),
        settings::trials(),
        system::trials(),
        systemd::trials(),
        telemetry::trials(),
        visibility::trials(),
        whole::trials(),
    ];
    // Only its tests hold the stack from here on, so it ends with the last of them.
    drop(busy);
    let trials = ignore_long(trials.into_iter().flatten().collect(), LONG);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A test that only needs programs of the workspace.
fn trial<F>(name: &str, test: F) -> Trial
where
    F: AsyncFnOnce() -> anyhow::Result<()> + Send + 'static,
{
    trial_with(name, Vec::new(), test)
}

/// A test that is ignored, by name, if a program is missing.
fn trial_with<F>(name: &str, missing: Vec<String>, test: F) -> Trial
where
    F: AsyncFnOnce() -> anyhow::Result<()> + Send + 'static,
{
    blocking_trial(name, missing, || runtime()?.block_on(test()))
}

/// A test with a runtime of its own, which is ignored, by name, if a program is missing.
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

/// The files in a folder of the repository, sorted by name.
fn files(folder: &str, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join(folder))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}
