//! Notifications to systemd (`sd_notify(3)`), if the unit asks for them: the process is ready, still works, or
//! stops. The first two depend on the same check as `PROGRAM health`.

use std::{convert::Infallible, env, net::SocketAddr, time::Duration};

use sd_notify::NotifyState;

use crate::health;

/// Delay between two checks whether the process is ready.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends `READY=1` once the health check passes, then `WATCHDOG=1` at half of the unit's `WatchdogSec=`. If there is
/// no answer, nothing is sent, and systemd restarts the unit. A process that stops answers that it is not ready.
pub(crate) async fn attend(address: SocketAddr, service: &str) -> Infallible {
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return std::future::pending().await;
    }
    let url = health::url(address);
    while health::check(&url, service).await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
    tell(&NotifyState::Ready);
    let Some(period) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep(period / 2).await;
        if health::ask(&url, service).await.is_ok() {
            tell(&NotifyState::Watchdog);
        }
    }
}

/// Sends `STOPPING=1` when the process is asked to stop.
pub(crate) fn stopping() {
    tell(&NotifyState::Stopping);
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(state = %state, %error, "cannot notify systemd");
    }
}
