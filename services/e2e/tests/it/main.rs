//! The real processes together, as people and machines use them.

mod browser;
mod load;
mod system;
mod telemetry;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = [
        browser::trials(),
        load::trials(),
        system::trials(),
        telemetry::trials(),
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
fn trial_with<F>(name: &str, missing: Vec<&'static str>, test: F) -> Trial
where
    F: AsyncFnOnce() -> anyhow::Result<()> + Send + 'static,
{
    Trial::ignorable_test(name, move || {
        if !missing.is_empty() {
            let reason = format!("not on PATH: {}", missing.join(", "));
            return Ok(Completion::ignored_with(reason));
        }
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| Failed::from(error.to_string()))?
            .block_on(test())
            .map(|()| Completion::Completed)
            .map_err(|error| Failed::from(format!("{error:?}")))
    })
}
