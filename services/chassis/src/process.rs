//! The life of a process: listen, run, stop.

use std::{io, net::SocketAddr, process::ExitCode};

use anyhow::Context as _;
use telemetry::Settings;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{console, systemd};

/// Runs a process: binds its address, starts telemetry, and serves until `service` ends.
///
/// The exit code is 0 after a clean stop and 1 where it could not start or failed.
pub async fn run<F, S>(
    settings: &Settings,
    name: &'static str,
    version: &'static str,
    address: SocketAddr,
    service: F,
) -> ExitCode
where
    F: FnOnce(TcpListener) -> S,
    S: Future<Output = anyhow::Result<()>>,
{
    let start = async {
        let listener = listen(address).await?;
        let telemetry = telemetry::init(settings, name, version)?;
        anyhow::Ok((listener, telemetry))
    };
    let (listener, telemetry) = match start.await {
        Ok(started) => started,
        Err(error) => return failed(&error),
    };

    let outcome = tokio::select! {
        outcome = service(listener) => outcome,
        never = systemd::attend(address) => match never {},
    };

    // Flushed even when the service failed: its last spans say why.
    telemetry.shutdown().await;
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Binds an address.
///
/// # Errors
/// When the address cannot be bound; the text says what to do where the port is taken.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => anyhow::anyhow!(
                "cannot listen on {address}: another process is using the port; \
                 stop that process or choose another port"
            ),
            io::ErrorKind::PermissionDenied => anyhow::Error::new(error).context(format!(
                "cannot listen on {address}: ports under 1024 need a privilege"
            )),
            _ => anyhow::Error::new(error).context(format!("cannot listen on {address}")),
        })
}

/// Ends when the process is asked to stop, by SIGTERM or SIGINT.
///
/// The handlers are in place when this returns, not only when the future is first polled.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn shutdown() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
        systemd::stopping();
    })
}

/// A setting that only turned out to be wrong when it was used. Put it into the chain of an
/// error: the process then ends with exit code 2, as for settings that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct BadSetting {
    /// The setting's name in the environment.
    pub name: &'static str,
    /// What is wrong with it. Never its value: it may be a secret.
    pub reason: String,
}

/// Says on stderr why the process ends. Not by the log: its reader is whoever started it.
#[must_use]
pub fn failed(error: &anyhow::Error) -> ExitCode {
    console::print_error(&format!("error: {error:#}"));
    let is_bad_setting = |error: &(dyn std::error::Error + 'static)| {
        error.is::<BadSetting>() || error.is::<telemetry::BadSetting>()
    };
    if error.chain().any(is_bad_setting) {
        return ExitCode::from(2);
    }
    ExitCode::FAILURE
}
