//! Test of a service as a unit of systemd with `Type=notify` and a watchdog.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use e2e::{Process, stack::variables};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use tokio::{net::UnixDatagram, time::timeout};

use crate::trial;

/// Time limit for a notification.
const PATIENCE: Duration = Duration::from_secs(30);

/// The value of `WatchdogSec=`.
const WATCHDOG: Duration = Duration::from_secs(1);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "systemd::a_service_notifies_that_it_is_ready_works_and_stops",
        async || notifies().await,
    )]
}

async fn notifies() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    let port = variables(folder.path())?
        .remove("USER_PORT")
        .context("no port")?;
    let settings = [
        ("PORT", port.as_str()),
        ("NOTIFY_SOCKET", path.to_str().context("no text")?),
        ("WATCHDOG_USEC", &WATCHDOG.as_micros().to_string()),
    ];
    let user = Process::start("user", &[], &settings, folder.path())?;

    ensure!(said(&socket, PATIENCE).await? == "READY=1");
    let mut health = Process::start("user", &["health"], &settings[..1], folder.path())?;
    ensure!(health.ended().await?.success(), "{:?}", health.output());
    for _ in 0..3 {
        ensure!(said(&socket, WATCHDOG).await? == "WATCHDOG=1");
    }

    user.signal(Signal::SIGSTOP)?;
    // Drops notifications from before SIGSTOP.
    while said(&socket, Duration::ZERO).await.is_ok() {}
    let told = said(&socket, 2 * WATCHDOG).await;
    ensure!(told.is_err(), "it hangs and sends {told:?}");
    user.signal(Signal::SIGCONT)?;
    ensure!(said(&socket, PATIENCE).await? == "WATCHDOG=1");

    user.signal(Signal::SIGTERM)?;
    let last = loop {
        let said = said(&socket, PATIENCE).await?;
        if said != "WATCHDOG=1" {
            break said;
        }
    };
    ensure!(last == "STOPPING=1", "{last}");
    Ok(())
}

/// The next notification of the process.
async fn said(socket: &UnixDatagram, within: Duration) -> anyhow::Result<String> {
    let mut buffer = [0; 64];
    let length = timeout(within, socket.recv(&mut buffer)).await??;
    let text = std::str::from_utf8(&buffer[..length])?.trim();
    match text {
        "READY=1" | "WATCHDOG=1" | "STOPPING=1" => Ok(text.to_owned()),
        other => bail!("it sends {other}"),
    }
}
