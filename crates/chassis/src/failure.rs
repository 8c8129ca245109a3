//! The end of a process that failed.

use std::process::ExitCode;

use crate::console;

/// A setting that only turned out to be wrong when it was used. Put it into the chain of an
/// error: the process then ends with exit code 2, as for settings that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct BadSetting {
    /// The setting's name in the environment.
    pub name: &'static str,
    /// What is wrong with it. Never its value: it may be a secret.
    pub reason: String,
}

/// Says on stderr why the process ends. Not by the log: its reader is whoever started it.
#[must_use]
pub fn failed(error: &anyhow::Error) -> ExitCode {
    console::print_error(&format!("error: {error:#}"));
    let is_bad_setting = |error: &(dyn std::error::Error + 'static)| {
        error.is::<BadSetting>() || error.is::<telemetry::BadSetting>()
    };
    if error.chain().any(is_bad_setting) {
        return ExitCode::from(2);
    }
    ExitCode::FAILURE
}
