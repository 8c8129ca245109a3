//! The user service's process.

use std::process::ExitCode;

use user::Config;

/// Faster than the system's allocator, and what a burst has taken, such as the memory of password
/// hashes, goes back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    chassis::process::main(program())
}

async fn program() -> ExitCode {
    let cli = chassis::parse::<Config>(clap::command!());
    let address = cli.config.address();
    match cli.command {
        Some(chassis::Command::Health(health)) => chassis::health::probe(address, health).await,
        None => {
            let telemetry = cli.config.telemetry.clone();
            let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
            chassis::process::run(
                &telemetry,
                name,
                version,
                address,
                async |listener, shutdown| user::run(cli.config, listener, shutdown).await,
            )
            .await
        }
    }
}
