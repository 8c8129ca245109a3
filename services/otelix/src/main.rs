//! The all-in-one process: `cargo run`.

use std::process::ExitCode;

use otelix::Config;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = chassis::parse::<Config>(clap::command!());
    let address = cli.config.address();
    match cli.command {
        Some(chassis::Command::Health(health)) => chassis::health::probe(address, health).await,
        None => {
            let mut telemetry = cli.config.telemetry.clone();
            telemetry.environment = Some("development");
            let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
            chassis::process::run(&telemetry, name, version, address, async |listener| {
                otelix::run(cli.config, listener, chassis::shutdown()?).await
            })
            .await
        }
    }
}
