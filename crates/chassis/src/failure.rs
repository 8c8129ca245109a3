//! The end of a process that failed.

use std::process::ExitCode;

use crate::console;

/// A setting whose value was parsed but cannot be used. If it is in the chain of an error, the
/// process ends with exit code 2, as for settings that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct BadSetting {
    /// The setting's name in the environment.
    pub name: &'static str,
    /// The reason why it is wrong, without its value, which may be a secret.
    pub reason: String,
}

/// Prints the error to stderr and returns the exit code. It does not use the log, because the message
/// is for the shell or supervisor that started the process.
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
