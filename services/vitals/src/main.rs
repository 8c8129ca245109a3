//! The process, and the command that waits for all others.

use std::{env, process::ExitCode};

use chassis::Command;
use clap::{CommandFactory as _, Parser as _};
use vitals::{Config, Startup};

/// Faster than the system's allocator, and what a burst has taken, such as the memory of password
/// hashes, goes back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    chassis::process::main(program())
}

async fn program() -> ExitCode {
    if env::args_os().nth(1).is_some_and(|word| word == "startup") {
        let startup = Startup::parse_from(env::args_os().skip(1));
        return vitals::startup(&startup).await;
    }
    let command = clap::command!().subcommand(Startup::command());
    let cli = chassis::parse::<Config>(command);
    let address = cli.config.address();
    match cli.command {
        Some(Command::Health(health)) => chassis::health::probe(address, health).await,
        None => {
            let telemetry = cli.config.telemetry.clone();
            let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
            chassis::process::run(
                &telemetry,
                name,
                version,
                address,
                async |listener, shutdown| vitals::run(&cli.config, listener, shutdown).await,
            )
            .await
        }
    }
}
