//! The load generator's process.

use std::process::ExitCode;

use chassis::{Cli, Command};
use loadgen::Config;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, config } = chassis::parse::<Config>(clap::command!());
    let outcome = match command {
        Some(Command::Health(health)) => loadgen::health(&config, health).await,
        None => loadgen::start(config).await,
    };
    outcome.unwrap_or_else(|error| chassis::process::failed(&error))
}
