//! What systemd is told (`sd_notify(3)`), where it asks for it: that the process is ready, that it still works,
//! and that it stops. Both of the former are what `PROGRAM health` says.

use std::{convert::Infallible, env, net::SocketAddr, time::Duration};

use sd_notify::NotifyState;

use crate::health;

/// Between two questions whether the process is ready.
const PAUSE: Duration = Duration::from_millis(20);

/// Tells systemd when the process at the address is ready, and from then on that it works, twice as often as the
/// unit's `WatchdogSec=` asks for. What does not answer is not told of, so that systemd starts it again.
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
        if health::check(&url, service).await.is_ok() {
            tell(&NotifyState::Watchdog);
        }
    }
}

/// Tells systemd that the process was asked to stop.
pub(crate) fn stopping() {
    tell(&NotifyState::Stopping);
}

fn tell(state: &NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(std::slice::from_ref(state)) {
        tracing::warn!(state = %state, %error, "cannot tell systemd");
    }
}
