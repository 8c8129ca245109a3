//! The load generator as a process: telemetry, health checks, signals, the report on stdout.

use std::{io, process::ExitCode, time::Duration};

use anyhow::Context as _;
use chassis::{Health, server::Contract};
use tokio::{net::TcpListener, sync::oneshot};
use tonic::service::Routes;

use crate::{Config, Report};

/// The services of the port: health checks only.
const CONTRACT: Contract = Contract {
    service: "loadgen",
    methods: &[],
    descriptors: &[],
};

/// Makes the load and writes the report to stdout.
///
/// The exit code is 0 if all answers were expected. It is 1 if an answer was unexpected or there
/// was no answer.
///
/// # Errors
/// When the generator cannot start, or the target does not become ready.
pub async fn start(config: Config) -> anyhow::Result<ExitCode> {
    let listener = match config.listen_address {
        Some(address) => Some(chassis::listen(address, "LOADGEN_LISTEN").await?),
        None => None,
    };
    let mut settings = config.telemetry.clone();
    if config.json {
        // Log records would go to stdout too, which must be one JSON document. This filter enables
        // no target, so nothing is logged.
        settings.log.filter = Default::default();
    }
    let telemetry = telemetry::init(&settings, env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))?;

    let load = async |shutdown| serve(&config, listener, shutdown).await;
    let report = chassis::process::observed(telemetry, Duration::ZERO, load).await?;
    write(&report, config.json).context("cannot write the report")?;
    Ok(ExitCode::from(u8::from(!report.passed)))
}

/// The `health` subcommand: asks the load generator at `--listen` whether it is ready.
///
/// # Errors
/// When `--listen` is not set.
pub async fn health(config: &Config, health: Health) -> anyhow::Result<ExitCode> {
    let address = config
        .listen_address
        .context("no health checks without --listen (environment: LOADGEN_LISTEN)")?;
    Ok(chassis::health::probe(address, CONTRACT.service, health).await)
}

/// Runs, and serves health checks from the start. Otherwise a supervisor might restart the process
/// while it waits for the target.
async fn serve(
    config: &Config,
    listener: Option<TcpListener>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<Report> {
    let (end, ended) = oneshot::channel::<()>();
    let ended = async { ended.await.unwrap_or_default() };
    let health = async {
        let Some(listener) = listener else {
            ended.await;
            return Ok(());
        };
        let no_wait = Duration::ZERO;
        chassis::server::serve(CONTRACT, Routes::default(), listener, no_wait, ended).await
    };
    let load = async {
        let outcome = crate::run(config, shutdown).await;
        drop(end);
        outcome
    };
    let ((), report) = tokio::try_join!(health, load)?;
    Ok(report)
}

fn write(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        report.write_json(&mut out)
    } else {
        report.write_text(&mut out)
    }
}
