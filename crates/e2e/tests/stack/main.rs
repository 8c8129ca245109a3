//! Tests of the whole stack under the real supervisor, and of its files.
//!
//! They measure times, so they run one after the other.

mod chaos;
mod files;
mod supervisor;
mod variants;

use std::process::ExitCode;

use e2e::{Stack, compose::find, long::ignore_long};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Builder;

/// The process that ends by itself and is not supervised.
const ONE_SHOT: &str = "preflight";

/// Tests that kill and stop each process in turn.
const LONG: &[&str] = &["chaos::"];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = [files::trials(), variants::trials(), chaos::trials()];
    let trials = ignore_long(trials.into_iter().flatten().collect(), LONG);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The programs of these processes that this machine lacks, and the supervisor if it is missing too.
fn missing(processes: &[&[&str]]) -> Vec<String> {
    let mut missing: Vec<_> = processes.iter().copied().flat_map(Stack::missing).collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if find("process-compose", &path).is_none() {
        missing.push("process-compose".to_owned());
    }
    missing
}

/// A test that is ignored, by name, if a program is missing.
fn trial<F>(name: &str, missing: Vec<String>, test: F) -> Trial
where
    F: AsyncFnOnce() -> anyhow::Result<()> + Send + 'static,
{
    Trial::ignorable_test(name, move || {
        if !missing.is_empty() {
            let reason = format!("not on PATH: {}", missing.join(", "));
            return Ok(Completion::ignored_with(reason));
        }
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        runtime
            .block_on(test())
            .map(|()| Completion::Completed)
            .map_err(|error| Failed::from(format!("{error:?}")))
    })
}
