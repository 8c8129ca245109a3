//! The frontend's process: settings, telemetry, one server.

use std::process::ExitCode;

use chassis::Command;
use frontend::Config;

/// Faster than the system's allocator, and what a burst has taken, such as the memory of password
/// hashes, goes back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    chassis::process::main(program())
}

async fn program() -> ExitCode {
    let cli = chassis::parse::<Config>(clap::command!());
    let config = cli.config;
    let address = config.address();
    let settings = config.telemetry.clone();
    match cli.command {
        Some(Command::Health(health)) => chassis::health::probe(address, health).await,
        None => {
            chassis::process::run(
                &settings,
                env!("CARGO_PKG_NAME"),
                env!("CARGO_PKG_VERSION"),
                address,
                |listener, shutdown| frontend::run(config, listener, shutdown),
            )
            .await
        }
    }
}
