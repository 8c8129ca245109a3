//! The frontend's process: settings, telemetry, one server.

use std::process::ExitCode;

use chassis::Command;
use frontend::Config;

#[tokio::main]
async fn main() -> ExitCode {
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
                |listener| async { frontend::run(config, listener, chassis::shutdown()?).await },
            )
            .await
        }
    }
}
