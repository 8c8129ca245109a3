//! The commands that talk to a running lens: for tests, scripts and CI.

mod check;
mod client;
mod transfer;

use std::{process::ExitCode, time::Duration};

use clap::{Args, CommandFactory as _, Parser};

use self::{
    check::{Assert, Wait},
    client::Client,
    transfer::{Export, Import},
};
use crate::Token;

/// Shortest time between two requests for the same.
const PACE: Duration = Duration::from_millis(200);

/// Exit code for a command that cannot be carried out as it is written.
const USAGE: u8 = 2;

/// A command that talks to a running lens.
#[derive(Clone, Debug)]
pub struct Command(Kind);

#[derive(Clone, Debug, Parser)]
#[command(name = "lens")]
enum Kind {
    /// Waits until traces or log records match a filter; exits with 0 if enough match in time, else with 1
    Wait(Wait),
    /// Checks how many traces or log records match a filter; exits with 0 if as many match as expected, else with 1
    Assert(Assert),
    /// Sends OTLP files to lens: export objects in JSON, or protobuf of one signal; compressed by gzip or not
    Import(Import),
    /// Writes everything that is stored as OTLP JSON, one export object a line
    Export(Export),
}

/// The lens to talk to.
#[derive(Args, Clone, Debug)]
struct Target {
    /// The lens to talk to
    #[arg(long, env = "LENS_URL", value_name = "URL", default_value = "http://127.0.0.1:8086", value_parser = client::base)]
    url: String,

    /// The secret of that lens, if it has one
    #[arg(
        long,
        env = "LENS_TOKEN",
        value_name = "SECRET",
        hide_env_values = true
    )]
    token: Option<Token>,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The command or the settings have to change.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Other(String),
}

impl Command {
    /// The command of the command line. `None` if it begins with another word: it is for the service then.
    #[must_use]
    pub fn read() -> Option<Self> {
        let first = std::env::args_os().nth(1)?;
        let is_known = Kind::command()
            .get_subcommands()
            .any(|command| command.get_name() == first);
        is_known.then(|| Self(Kind::parse()))
    }

    /// The command line of the service with these commands, for its help.
    #[must_use]
    pub fn describe(service: clap::Command) -> clap::Command {
        service.subcommands(Kind::command().get_subcommands().cloned())
    }

    /// Carries out the command.
    pub async fn run(self) -> ExitCode {
        let outcome = match self.0 {
            Kind::Wait(wait) => wait.run().await,
            Kind::Assert(assert) => assert.run().await,
            Kind::Import(import) => import.run().await,
            Kind::Export(export) => export.run().await,
        };
        outcome.unwrap_or_else(|failure| {
            chassis::print_error(&format!("error: {failure}"));
            match failure {
                Failure::Usage(_) => ExitCode::from(USAGE),
                Failure::Other(_) => ExitCode::FAILURE,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_valid() {
        Kind::command().debug_assert();
        Command::describe(clap::Command::new("service")).debug_assert();
    }

    #[test]
    fn wrong_arguments_are_refused() {
        for bad in [
            &["lens", "wait"][..],
            &["lens", "wait", "--count", "0", ""],
            &["lens", "wait", "--within", "30", ""],
            &["lens", "wait", "--within", "25h", ""],
            &["lens", "assert", "--within", "1year", ""],
            &["lens", "assert", "--none", "--count", "1", ""],
            &["lens", "assert", "--at-least", "10001", ""],
            &["lens", "assert", "--signal", "metrics", ""],
            &["lens", "import"],
            &["lens", "import", "--signal", "profiles", "file"],
            &["lens", "export", "--url", "ftp://host"],
            &["lens", "export", "--token", "short"],
        ] {
            assert!(Kind::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
