//! The user service's process.

use std::process::ExitCode;

use user::Config;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = chassis::parse::<Config>(clap::command!());
    let address = cli.config.address();
    match cli.command {
        Some(chassis::Command::Health(health)) => chassis::health::probe(address, health).await,
        None => {
            let telemetry = cli.config.telemetry.clone();
            let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
            chassis::process::run(&telemetry, name, version, address, async |listener| {
                user::run(cli.config, listener, chassis::shutdown()?).await
            })
            .await
        }
    }
}
