//! The attempts of a call: which failures are retried, how often, and how soon.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable as _};
use telemetry::{grpc, metrics};
use tokio::time::Instant;
use tonic::{Code, ConnectError, Request, Status};
use tower::retry::budget::{Budget as _, TpsBudget};

use super::{Channel, pool::Pool};
use crate::status::RETRY_PUSHBACK;

/// Maximum number of attempts after the first.
pub(super) const RETRIES: usize = 3;

/// The retries of a channel: 10 per second, and one for every 5 calls of the last 10 s. So an outage costs the service that
/// comes back little more than its usual load, and not four times as much.
pub(super) fn budget() -> TpsBudget {
    TpsBudget::new(Duration::from_secs(10), 10, 0.2)
}

/// One attempt of a call.
#[derive(Clone, Debug)]
pub struct Attempt {
    left: Duration,
    call: Arc<Call>,
}

/// What the attempts of a call share.
#[derive(Debug, Default)]
struct Call {
    /// Whether the call may be repeated, so that it need not wait for an instance that is frozen.
    may_move: bool,
    /// The instances that were tried, in this order.
    tried: Mutex<Vec<u64>>,
}

impl Attempt {
    /// The request of this attempt. It tells the server how much time is left, so that it stops its work when the caller
    /// gives up, and the channel which instances were tried.
    #[must_use]
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.left);
        request.extensions_mut().insert(self.clone());
        request
    }

    /// The time that is left for it.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.left
    }

    pub(super) fn may_move(&self) -> bool {
        self.call.may_move
    }

    pub(super) fn tried(&self) -> MutexGuard<'_, Vec<u64>> {
        let tried = self.call.tried.lock();
        tried.unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time limit of a call, and its attempts.
struct Attempts {
    end: Instant,
    call: Arc<Call>,
}

impl Attempts {
    /// Ends after `deadline`, or earlier if the caller of the current call waits for a shorter time. `None` if that time is
    /// over.
    fn new(deadline: Duration, may_move: bool) -> Option<Self> {
        let limit = grpc::remaining().map_or(deadline, |left| left.min(deadline));
        if limit.is_zero() {
            return None;
        }
        Some(Self {
            end: Instant::now() + limit,
            call: Arc::new(Call {
                may_move,
                ..Call::default()
            }),
        })
    }

    fn next(&self) -> Attempt {
        Attempt {
            left: self.end.saturating_duration_since(Instant::now()),
            call: Arc::clone(&self.call),
        }
    }
}

impl Channel {
    /// Makes a call that must not be repeated, within `deadline` and within the time that the caller of the current call still
    /// waits. An attempt that reached no server does not count, so another instance is tried at once.
    ///
    /// `call` makes the call with the request of the attempt ([`Attempt::request`]).
    ///
    /// # Errors
    /// The status of the call. Lost connections and exceeded deadlines are reported as `UNAVAILABLE`.
    pub async fn once<T, F, C>(&self, deadline: Duration, mut call: F) -> Result<T, Status>
    where
        F: FnMut(Attempt) -> C,
        C: Future<Output = Result<T, Status>>,
    {
        let Some(attempts) = Attempts::new(deadline, false) else {
            return Err(too_late());
        };
        let calls = async {
            for _ in 0..RETRIES {
                let attempt = attempts.next();
                let failure = match call(attempt.clone()).await {
                    Ok(answer) => return Ok(answer),
                    Err(status) => Failure::new(status),
                };
                if !failure.is_repeated_at_once(&self.pool, &attempt) {
                    return Err(failure.status);
                }
                failure.count(Duration::ZERO);
            }
            call(attempts.next())
                .await
                .map_err(|status| Failure::new(status).status)
        };
        match tokio::time::timeout_at(attempts.end, calls).await {
            Ok(outcome) => outcome,
            Err(_) => Err(too_late()),
        }
    }

    /// Makes a call that may be repeated, within `deadline` for all attempts, and within the time that the caller of the
    /// current call still waits. It is retried on `UNAVAILABLE` only, after an exponential delay with jitter, and while the
    /// budget of the channel allows it. An attempt that reached no server is repeated at another instance at once, and costs
    /// no budget.
    ///
    /// `call` makes the call with the request of the attempt ([`Attempt::request`]), which goes to an instance that was not
    /// tried, if there is one. If the server is frozen, the attempt ends early as long as there is another instance.
    ///
    /// A status with [`do_not_retry`](crate::status::do_not_retry) is not retried: the server has retried what failed
    /// behind it.
    ///
    /// # Errors
    /// The last status. Lost connections and exceeded deadlines are reported as `UNAVAILABLE`: both mean that the service
    /// does not answer.
    pub async fn retry<T, F, C>(&self, deadline: Duration, mut call: F) -> Result<T, Status>
    where
        F: FnMut(Attempt) -> C,
        C: Future<Output = Result<T, Status>>,
    {
        let Some(attempts) = Attempts::new(deadline, true) else {
            return Err(too_late());
        };
        self.budget.deposit();
        let delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(25))
            .with_factor(2.0)
            .with_max_delay(Duration::from_millis(500))
            .with_max_times(RETRIES)
            .with_jitter();
        let calls = (|| {
            let attempt = call(attempts.next());
            async move { attempt.await.map_err(Failure::new) }
        })
        .retry(delays)
        .when(|failure| failure.status.code() == Code::Unavailable)
        .adjust(|failure, delay| {
            let delay = delay?;
            if failure.is_repeated_at_once(&self.pool, &attempts.next()) {
                return Some(Duration::ZERO);
            }
            let delay = match failure.pushback {
                None => delay,
                Some(Pushback::After(delay)) => delay,
                Some(Pushback::Never) => return None,
            };
            // An attempt that could not begin in time is not made.
            let is_in_time = Instant::now() + delay < attempts.end;
            (is_in_time && self.budget.withdraw()).then_some(delay)
        })
        .notify(Failure::count);
        match tokio::time::timeout_at(attempts.end, calls).await {
            Ok(outcome) => outcome.map_err(|failure| failure.status),
            Err(_) => Err(too_late()),
        }
    }
}

fn too_late() -> Status {
    Status::unavailable("no answer within the deadline")
}

/// A failed attempt.
struct Failure {
    /// The status for the caller.
    status: Status,
    unsent: Option<Unsent>,
    pushback: Option<Pushback>,
}

/// Why an attempt reached no server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Unsent {
    /// No connection could be opened.
    Connect,
    /// The server closed the connection, before the request was written to it.
    Closed,
}

/// When the server wants a retry (gRFC A6, `grpc-retry-pushback-ms`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pushback {
    After(Duration),
    Never,
}

impl Failure {
    /// A status with a source comes from this process, for a connection that failed or was lost. A status from the server has
    /// no source.
    fn new(status: Status) -> Self {
        let (mut unsent, mut pushback) = (None, None);
        let status = match (status.source(), status.code()) {
            (Some(source), _) => {
                if cause::<ConnectError>(source).is_some() {
                    unsent = Some(Unsent::Connect);
                } else if cause(source).is_some_and(hyper::Error::is_canceled) {
                    unsent = Some(Unsent::Closed);
                }
                Status::unavailable(status.message())
            }
            // The service does not answer.
            (None, Code::Cancelled | Code::DeadlineExceeded) => {
                Status::unavailable(status.message())
            }
            (None, _) => {
                pushback = status.metadata().get(RETRY_PUSHBACK).map(|value| {
                    let delay = value.to_str().ok().and_then(|text| text.parse().ok());
                    delay.map_or(Pushback::Never, |delay| {
                        Pushback::After(Duration::from_millis(delay))
                    })
                });
                status
            }
        };
        Self {
            status,
            unsent,
            pushback,
        }
    }

    /// Whether the attempt reached no server, and another attempt may reach one at once.
    fn is_repeated_at_once(&self, pool: &Pool, attempt: &Attempt) -> bool {
        match self.unsent {
            Some(Unsent::Connect) => pool.has_untried(attempt),
            // A new connection may do.
            Some(Unsent::Closed) => attempt.tried().len() <= 1 || pool.has_untried(attempt),
            None => false,
        }
    }

    /// Counts the retry that follows.
    fn count(&self, delay: Duration) {
        // A process can have several services, each with a counter of its own. Retries are rare.
        metrics::RPC_CLIENT_CALL_RETRIES
            .counter(env!("CARGO_PKG_NAME"))
            .add(1, &[]);
        tracing::debug!(error = %self.status.message(), delay_ms = delay.as_millis() as u64, "retrying");
    }
}

/// The first error of this type in a chain of causes.
pub(super) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
