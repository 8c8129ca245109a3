//! The load generator's process.

use std::process::ExitCode;

use chassis::{Cli, Command};
use loadgen::Config;

/// Faster than the system's allocator, and returns freed memory to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    chassis::process::main(program())
}

async fn program() -> ExitCode {
    let Cli { command, config } = chassis::parse::<Config>(clap::command!());
    let outcome = match command {
        Some(Command::Health(health)) => loadgen::health(&config, health).await,
        None => Box::pin(loadgen::start(config)).await,
    };
    outcome.unwrap_or_else(|error| chassis::failed(&error))
}
