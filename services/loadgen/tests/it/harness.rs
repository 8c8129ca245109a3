//! Runs of the load generator, in the test process and as a program.

use std::process::{Command, Output, Stdio};

use clap::{Args as _, FromArgMatches as _};
use loadgen::{Config, Report};

/// Runs in the test process until the plan ends.
pub(crate) async fn run(target: &str, args: &[&str]) -> Report {
    let command = Config::augment_args(clap::Command::new("loadgen"));
    let matches = command
        .try_get_matches_from([&["loadgen", "--target", target], args].concat())
        .unwrap();
    let config = Config::from_arg_matches(&matches).unwrap();
    loadgen::run(&config, std::future::pending()).await.unwrap()
}

/// The program, without environment variables.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command
        .env_clear()
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
