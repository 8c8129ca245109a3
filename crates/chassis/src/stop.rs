//! Time limits of a stop, from the signal to the end of the process.
//!
//! If a supervisor kills a process before [`STOP`], requests are cut off and telemetry is lost. The time of a [`LameDuck`]
//! comes on top.

use std::{pin::Pin, time::Duration};

use clap::Args;
use tokio::time::timeout;

/// Time limit for requests under way to end.
pub const DRAIN: Duration = Duration::from_secs(4);

/// Time limit for sending the events in the outbox. The rest is sent after the next start.
pub const FLUSH: Duration = Duration::from_secs(1);

/// Time limit for closing a client of the broker, and for a receiver of telemetry in the process.
pub const CLOSE: Duration = Duration::from_millis(500);

/// Time that is reserved for flushing telemetry. If the other steps were faster than their limits, the
/// flush may take up to four times as long.
pub(crate) const TELEMETRY: Duration = Duration::from_millis(500);

/// Time limit of the whole stop.
pub const STOP: Duration = DRAIN
    .saturating_add(FLUSH)
    .saturating_add(CLOSE)
    .saturating_add(TELEMETRY);

/// The longest time of a [`LameDuck`].
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// The time between the request to stop and the drain.
///
/// Load balancers learn late that a process stops. Until then they send it connections, which would be refused.
#[derive(Args, Clone, Copy, Debug, Default)]
#[group(skip)]
pub struct LameDuck {
    /// Time for which a process that was asked to stop still accepts connections and calls, while its health checks say that
    /// it is not ready; such as 5s behind a load balancer
    #[arg(long, env = "LAME_DUCK", value_name = "TIME", default_value = "0s", value_parser = lame_duck)]
    pub lame_duck: Duration,
}

fn lame_duck(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) => Err("longer than 5 minutes".to_owned()),
        Err(error) => Err(format!("not a time such as 5s: {error}")),
    }
}

/// The outcome of `work`; `None` if `shutdown` ends first. For the steps of a service before it serves.
pub async fn until<T>(
    shutdown: Pin<&mut impl Future<Output = ()>>,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        outcome = work => Some(outcome),
        () = shutdown => None,
    }
}

/// Waits for the requests under way, for [`DRAIN`] at most.
pub(crate) async fn drain(requests: impl Future<Output = ()>) {
    if timeout(DRAIN, requests).await.is_err() {
        tracing::warn!(
            drain_seconds = DRAIN.as_secs(),
            "requests were still under way at the end of the drain"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lame_duck_lives_for_five_minutes_at_most() {
        assert_eq!(lame_duck("0s"), Ok(Duration::ZERO));
        assert_eq!(lame_duck("1500ms"), Ok(Duration::from_millis(1500)));
        assert_eq!(lame_duck("5m"), Ok(LONGEST));
        for wrong in ["5m 1s", "5", "-1s", "", "soon", "9999years"] {
            assert!(lame_duck(wrong).is_err(), "{wrong}");
        }
    }
}
