//! The phases of a process: listen, run, stop.

use std::{io, net::SocketAddr, pin::Pin, process::ExitCode, sync::OnceLock, time::Duration};

use anyhow::Context as _;
use setup::Sockets;
use telemetry::{Settings, Telemetry};
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Cli, Command, Config, cli,
    failure::failed,
    health,
    stop::{CLOSE, STOP, TELEMETRY},
    systemd,
};

/// A future that ends when the process is asked to stop.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a program to its end, with the highest limit of open files that the system allows.
///
/// It does not wait for remaining blocking work, such as a migration that a stop has cancelled.
pub fn main(program: impl Future<Output = ExitCode>) -> ExitCode {
    // If this fails, the limit stays as it is.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let runtime = match Runtime::new().context("cannot start the runtime") {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let code = runtime.block_on(program);
    runtime.shutdown_background();
    code
}

/// Runs the program of a service to its end: reads its settings, then runs the service or the subcommand.
/// `command` is `clap::command!()`.
///
/// The exit code is 0 after a clean stop. It is 1 if the service could not start, failed or did not stop in
/// time, and 2 if a setting cannot be used.
pub fn service<C, F, S>(command: clap::Command, service: F) -> ExitCode
where
    C: Config,
    F: FnOnce(C, TcpListener, Shutdown) -> S,
    S: Future<Output = anyhow::Result<()>>,
{
    let prepare = async |config: C| {
        Ok(Prepared {
            telemetry: config.telemetry(),
            parts: config,
            end: Box::pin(async {}),
        })
    };
    prepared(command, prepare, service)
}

/// What a program prepares before telemetry starts.
#[expect(
    missing_debug_implementations,
    reason = "a future has nothing to show, and this value lives only during the start"
)]
pub struct Prepared<P> {
    /// The settings of telemetry.
    pub telemetry: Settings,
    /// What the service needs.
    pub parts: P,
    /// The work after telemetry has been flushed, for up to [`CLOSE`].
    pub end: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Like [`service`], for a program that receives its own telemetry, so that a part of it starts earlier and ends later
/// than telemetry.
pub fn prepared<C, P, F, S>(
    command: clap::Command,
    prepare: impl AsyncFnOnce(C) -> anyhow::Result<Prepared<P>>,
    service: F,
) -> ExitCode
where
    C: Config,
    F: FnOnce(P, TcpListener, Shutdown) -> S,
    S: Future<Output = anyhow::Result<()>>,
{
    let name = command.get_name().to_owned();
    let version = command.get_version().unwrap_or_default().to_owned();
    main(async move {
        let Cli { command, config } = cli::parse::<C>(command);
        let address = config.address();
        match command {
            Some(Command::Health(health)) => health::probe(address, C::SERVICE, health).await,
            None => {
                let lame_duck = config.lame_duck();
                let start = async {
                    let listener = listen(address, "PORT").await?;
                    let prepared = prepare(config).await?;
                    let telemetry = telemetry::init(&prepared.telemetry, &name, &version)?;
                    anyhow::Ok((listener, telemetry, prepared))
                };
                let (listener, telemetry, prepared) = match Box::pin(start).await {
                    Ok(started) => started,
                    Err(error) => return failed(&error),
                };
                let attended = async |shutdown| {
                    tokio::select! {
                        outcome = Box::pin(service(prepared.parts, listener, shutdown)) => outcome,
                        never = systemd::attend(address, C::SERVICE) => match never {},
                    }
                };
                let outcome = observed(telemetry, lame_duck, attended).await;
                // If this takes longer, the process ends anyway.
                let _ = timeout(CLOSE, prepared.end).await;
                match outcome {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => failed(&error),
                }
            }
        }
    })
}

/// Runs a service to its end, and then flushes telemetry. After a signal, both together may take [`STOP`], after the time
/// `lame_duck` in which the service still accepts calls.
///
/// # Errors
/// When the service fails or does not stop in time, or when spans are no longer sent.
pub async fn observed<T, S>(
    mut telemetry: Telemetry,
    lame_duck: Duration,
    service: impl FnOnce(Shutdown) -> S,
) -> anyhow::Result<T>
where
    S: Future<Output = anyhow::Result<T>>,
{
    let end = OnceLock::new();
    let serve = async {
        let asked = asked_to_stop()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let overdue = async {
            asked.await;
            let end = *end.get_or_init(|| Instant::now() + lame_duck + STOP);
            drop(stop);
            sleep_until(end - TELEMETRY).await;
        };
        tokio::select! {
            // The drop of the sender, which is an error here, means the stop.
            outcome = service(Box::pin(async { stopped.await.unwrap_or_default() })) => outcome,
            error = telemetry.failed() => Err(error.into()),
            () = overdue => Err(anyhow::anyhow!(
                "the process did not stop within {} s of the signal", (lame_duck + STOP).as_secs()
            )),
        }
    };
    let outcome = serve.await;

    // The flush also happens after a failure, because the last spans may show its cause.
    let left = end.get().map_or(STOP, |end| *end - Instant::now());
    let limit = left.min(4 * TELEMETRY);
    if timeout(limit, telemetry.shutdown()).await.is_err() {
        tracing::warn!("telemetry was not flushed in time");
    }
    outcome
}

/// Binds an address. `variable` is the setting of its port.
///
/// # Errors
/// When the address cannot be bound. If the port is in use, the message names the variable and, if it
/// can be found, the process that has the port.
pub async fn listen(address: SocketAddr, variable: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                let holder = Sockets::read().holder(address.port());
                let holder = holder.as_deref().unwrap_or("another process");
                anyhow::anyhow!(
                    "cannot listen on {address}: {holder} is using the port; \
                     stop that process or set {variable} to another port"
                )
            }
            io::ErrorKind::PermissionDenied => anyhow::Error::new(error).context(format!(
                "cannot listen on {address}: ports under 1024 need a privilege"
            )),
            _ => anyhow::Error::new(error).context(format!("cannot listen on {address}")),
        })
}

/// A future that ends at SIGTERM, SIGINT or SIGHUP. The signal handlers are installed before this returns, and
/// not at the first poll.
fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut hangup = if is_hangup_ignored() {
        None
    } else {
        Some(signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?)
    };
    Ok(async move {
        let hung_up = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            _ = hung_up => "SIGHUP",
        };
        tracing::info!(signal = name, "stopping");
        systemd::stopping();
    })
}

/// Whether the process was started by `nohup`, or in another way that lets it outlive its terminal.
#[cfg(target_os = "linux")]
fn is_hangup_ignored() -> bool {
    let status = procfs::process::Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.sigign & 1 != 0)
}

/// Whether the process was started by `nohup`, or in another way that lets it outlive its terminal.
#[cfg(not(target_os = "linux"))]
fn is_hangup_ignored() -> bool {
    // A child process inherits ignored signals.
    let mut command = std::process::Command::new("/bin/sh");
    let status = command.args(["-c", "kill -HUP $$"]).status();
    status.is_ok_and(|status| status.success())
}
