//! One instance of a service: its connection, the calls under way, and whether it sits out.

use std::{
    error::Error as _,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, Request, Response};
use hyper_util::client::legacy::connect::HttpConnector;
use telemetry::{Service, grpc::ClientLayer};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tonic::{
    Code, Status, TimeoutExpired,
    body::Body,
    transport::{Channel as Transport, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::{Layer as _, Service as _, service_fn};

use super::{
    CallError, Future, addresses,
    addresses::Address,
    attempts::{Attempt, cause},
    pool::Pool,
};
use crate::requests::Requests;

/// Time limit for opening a connection.
const CONNECT: Duration = Duration::from_secs(1);

/// Interval of HTTP/2 pings on a connection with a call under way. Servers close connections with more frequent pings, or
/// with pings while idle (`too_many_pings`). A frozen process is found by [`QUIET`] and [`ANSWER`] much earlier, and a
/// machine that is gone by [`GONE`].
const PING: Duration = Duration::from_secs(30);

/// Time after which the system closes a connection, idle or not, whose other end does not acknowledge anything.
const GONE: Duration = Duration::from_secs(15);

/// Time without an answer to a call after which its instance must show that it is alive.
const QUIET: Duration = Duration::from_millis(300);

/// Time limit for the answer to a health check. An instance that exceeds it during a call is frozen. Other calls may take
/// longer, because they can wait for a password to be hashed.
const ANSWER: Duration = Duration::from_millis(500);

/// The shortest time that an instance sits out. Each failed health check doubles it.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest time that an instance sits out before its next health check.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Timeouts in a row after which an instance sits out, although it answers health checks.
const TIMEOUTS: u32 = 3;

/// A call with a shorter timeout tells nothing about the instance.
const SHORT: Duration = Duration::from_millis(500);

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// One instance, which has one connection.
#[derive(Debug)]
pub(super) struct Instance {
    /// Unique in the process.
    pub(super) id: u64,
    /// The index in the list of addresses.
    pub(super) source: usize,
    pub(super) address: SocketAddr,
    transport: Transport,
    layer: ClientLayer,
    calls: Requests,
    is_out: AtomicBool,
    /// How often it was taken out. An answer to an earlier call does not bring it back.
    exits: AtomicU32,
    /// Failures and failed health checks since the last answer to a call.
    streak: AtomicU32,
    /// Timeouts since the last answer to a call.
    timeouts: AtomicU32,
    /// When it last answered a health check during a call. The lock is held during the check, so that one check serves all
    /// calls.
    checked: Mutex<Option<Instant>>,
}

impl Instance {
    pub(super) fn new(
        source: usize,
        name: &Address,
        address: SocketAddr,
        layer: ClientLayer,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let transport = Endpoint::from(addresses::url(address))
            .origin(name.uri().clone())
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(false)
            .connect_with_connector_lazy(connector());
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            source,
            address,
            transport,
            layer,
            calls: Requests::default(),
            is_out: AtomicBool::new(false),
            exits: AtomicU32::new(0),
            streak: AtomicU32::new(0),
            timeouts: AtomicU32::new(0),
            checked: Mutex::default(),
        }
    }

    /// Whether it sits out.
    pub(super) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
    }

    /// The number of calls whose answers are not complete.
    pub(super) fn under_way(&self) -> usize {
        self.calls.under_way()
    }

    /// Makes a call, with a span.
    pub(super) fn call(self: Arc<Self>, pool: Arc<Pool>, request: Request<Body>) -> Future {
        let (layer, calls) = (self.layer.clone(), self.calls.clone());
        // Boxed at once, because the layers would copy a large future.
        let call =
            service_fn(move |request| Box::pin(Arc::clone(&self).send(Arc::clone(&pool), request)));
        Box::pin(calls.layer(layer.layer(call)).call(request))
    }

    async fn send(
        self: Arc<Self>,
        pool: Arc<Pool>,
        request: Request<Body>,
    ) -> Result<Response<Body>, CallError> {
        let attempt = request.extensions().get::<Attempt>().cloned();
        let may_move = attempt.as_ref().is_some_and(Attempt::may_move);
        let mut unanswered = Unanswered {
            instance: &self,
            began: Instant::now(),
            limit: attempt.map(|attempt| attempt.left()),
        };
        let exits = self.exits.load(Ordering::Relaxed);
        let mut transport = self.transport.clone();
        let mut answer = pin!(async move {
            std::future::poll_fn(|cx| transport.poll_ready(cx)).await?;
            transport.call(request).await
        });
        let outcome = if pool.has_several() {
            let moves_on = async {
                self.frozen(exits).await;
                if !(may_move && pool.has_other(self.id)) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                outcome = &mut answer => outcome,
                () = moves_on => {
                    unanswered.limit = None;
                    return Err(CallError::Silent(self.address));
                }
            }
        } else {
            answer.await
        };
        match outcome {
            Ok(response) => {
                let status = response.headers().get(GRPC_STATUS);
                let code = status.map(|value| Code::from_bytes(value.as_bytes()));
                if code == Some(Code::DeadlineExceeded) {
                    unanswered.ends_in_time();
                } else {
                    unanswered.limit = None;
                    self.answered(exits);
                }
                Ok(response)
            }
            Err(error) => {
                // The client's own timer ends a call at its timeout too.
                if cause::<TimeoutExpired>(&error).is_some() {
                    unanswered.ends_in_time();
                } else {
                    unanswered.limit = None;
                    // A server that closes an old connection accepts a new one. If it does not, the next call fails.
                    if !cause(&error).is_some_and(hyper::Error::is_canceled) {
                        let cause = error.source().map(ToString::to_string);
                        self.take_out(&cause.unwrap_or_else(|| error.to_string()));
                    }
                }
                Err(error.into())
            }
        }
    }

    /// Notes an answer to a call that began after `exits` exits.
    fn answered(&self, exits: u32) {
        if self.timeouts.load(Ordering::Relaxed) != 0 {
            self.timeouts.store(0, Ordering::Relaxed);
        }
        if self.streak.load(Ordering::Relaxed) != 0 && self.exits.load(Ordering::Relaxed) == exits {
            self.streak.store(0, Ordering::Relaxed);
            self.take_in();
        }
    }

    fn timed_out(self: &Arc<Self>) {
        if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 >= TIMEOUTS {
            self.timeouts.store(0, Ordering::Relaxed);
            self.take_out("calls time out");
        }
    }

    /// Takes it out, until it answers a health check after a pause.
    fn take_out(self: &Arc<Self>, reason: &str) {
        if self.is_out.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(address = %self.address, reason, "an instance of a service failed");
        let exits = self.exits.fetch_add(1, Ordering::Relaxed) + 1;
        let streak = self.streak.fetch_add(1, Ordering::Relaxed) + 1;
        let checks = checks(Arc::downgrade(self), exits, pause(streak));
        tokio::spawn(Service::current().run(checks));
    }

    fn take_in(&self) {
        if self.is_out.swap(false, Ordering::Relaxed) {
            tracing::info!(address = %self.address, "an instance of a service is back");
        }
    }

    /// Ends when the instance is found frozen during a call, and has been taken out.
    async fn frozen(self: &Arc<Self>, exits: u32) {
        loop {
            sleep(QUIET).await;
            let mut checked = self.checked.lock().await;
            if self.exits.load(Ordering::Relaxed) != exits {
                return;
            }
            if checked.is_some_and(|at| at.elapsed() < QUIET) {
                continue;
            }
            // Boxed, because it is large, and this future is part of every call.
            if let Ok(outcome) = timeout(ANSWER, Box::pin(self.check())).await {
                // If the connection fails, so does the call.
                if outcome.is_ok() {
                    *checked = Some(Instant::now());
                }
            } else {
                self.take_out("it does not answer");
                return;
            }
        }
    }

    /// Asks whether the whole server is ready. An error means that there was no answer.
    async fn check(&self) -> Result<bool, Status> {
        let mut client = HealthClient::new(self.transport.clone());
        match client.check(HealthCheckRequest::default()).await {
            Ok(answer) => Ok(answer.into_inner().status() == ServingStatus::Serving),
            // A status without a source comes from the server. One without health checks is ready if it answers.
            Err(status) if status.source().is_none() => Ok(status.code() == Code::Unimplemented),
            Err(status) => Err(status),
        }
    }
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_nodelay(true);
    connector.set_keepalive(Some(GONE / 3));
    connector.set_keepalive_interval(Some(GONE / 3));
    connector.set_keepalive_retries(Some(2));
    // The system sends no keep-alive while it repeats data.
    #[cfg(target_os = "linux")]
    connector.set_tcp_user_timeout(Some(GONE));
    connector
}

/// Checks an instance that sits out, until it is ready, was taken in, or is gone.
async fn checks(instance: Weak<Instance>, exits: u32, first: Duration) {
    let mut pause_before = first;
    loop {
        sleep(pause_before).await;
        let Some(instance) = instance.upgrade() else {
            return;
        };
        let outcome = timeout(ANSWER, instance.check()).await;
        if instance.exits.load(Ordering::Relaxed) != exits || !instance.is_out() {
            return;
        }
        if matches!(outcome, Ok(Ok(true))) {
            instance.take_in();
            return;
        }
        pause_before = pause(instance.streak.fetch_add(1, Ordering::Relaxed) + 1);
    }
}

/// The pause after so many failures, with jitter.
fn pause(streak: u32) -> Duration {
    let exponent = streak.saturating_sub(1).min(16);
    let pause = (PAUSE * 2_u32.pow(exponent)).min(LONGEST_PAUSE);
    pause.mul_f64(0.8 + 0.2 * fastrand::f64())
}

/// A call without an answer. If it is dropped at its limit, that is a timeout.
struct Unanswered<'a> {
    instance: &'a Arc<Instance>,
    began: Instant,
    /// The time that the call has; `None` once its end is known, or if it has no limit.
    limit: Option<Duration>,
}

impl Unanswered<'_> {
    /// Notes that the call has ended at its limit.
    fn ends_in_time(&mut self) {
        if self.limit.take().is_some_and(|limit| limit >= SHORT) {
            self.instance.timed_out();
        }
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        // The clocks of the timers differ a little.
        let is_over = |limit: Duration| self.began.elapsed() >= limit - limit / 10;
        if self.limit.is_some_and(is_over) {
            self.ends_in_time();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_a_limit() {
        for (streak, most) in [
            (1, 500),
            (2, 1000),
            (3, 2000),
            (5, 8000),
            (6, 10_000),
            (900, 10_000),
        ] {
            let most = Duration::from_millis(most);
            for _ in 0..100 {
                let pause = pause(streak);
                assert!(
                    pause <= most && pause >= most.mul_f64(0.79),
                    "{streak}: {pause:?}"
                );
            }
        }
    }
}
