//! Clients of other services: one connection that is kept alive, a deadline for every call, and a
//! limited number of retries for calls that are safe to repeat.

use std::{error::Error as _, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use telemetry::{
    grpc::{Client, ClientLayer},
    metrics,
};
use tokio::time::Instant;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint, Uri},
};
use tower::Layer as _;

/// A channel with telemetry for its calls.
pub type ObservedChannel = Client<Channel>;

/// Maximum number of attempts after the first.
const RETRIES: usize = 3;

/// A channel to another service. It connects at the first call, and reconnects after a lost
/// connection. So the other service may start later.
#[must_use]
pub fn channel(uri: Uri, methods: &'static [&'static str]) -> ObservedChannel {
    let layer = ClientLayer::new(methods, &uri);
    let channel = Endpoint::from(uri)
        .connect_timeout(Duration::from_secs(1))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .keep_alive_while_idle(true)
        .connect_lazy();
    layer.layer(channel)
}

/// Parses the address of a service, `HOST:PORT` or a URL, for a setting.
///
/// # Errors
/// When the text is not such an address. The error is a message for the operator.
pub fn address(text: &str) -> Result<Uri, String> {
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err("must not hold a user name or password".to_owned());
    }
    match (uri.scheme_str(), uri.port_u16()) {
        (Some("http"), Some(1..)) if uri.host() != Some("") && matches!(uri.path(), "" | "/") => {
            Ok(uri)
        }
        _ => Err("not of the form HOST:PORT or http://HOST:PORT".to_owned()),
    }
}

/// Makes a call that must not be repeated, within `deadline`. Pass the deadline to [`request`]
/// too.
///
/// # Errors
/// The status of the call. Lost connections and exceeded deadlines are reported as `UNAVAILABLE`.
pub async fn once<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(deadline, call).await {
        Ok(outcome) => outcome.map_err(unanswered),
        Err(_) => Err(Status::unavailable("no answer within the deadline")),
    }
}

/// Makes a call that may be repeated. It is retried on `UNAVAILABLE` only, after an exponential delay
/// with jitter, within one `deadline` for all attempts.
///
/// `call` gets the remaining time. Pass it to [`request`], so that the server stops its work when
/// the caller gives up. An attempt that could not begin in time is not made.
///
/// # Errors
/// The last status. Lost connections and exceeded deadlines are reported as `UNAVAILABLE`: both
/// mean that the service does not answer.
pub async fn retry<T, F, C>(deadline: Duration, mut call: F) -> Result<T, Status>
where
    F: FnMut(Duration) -> C,
    C: Future<Output = Result<T, Status>>,
{
    let end = Instant::now() + deadline;
    let delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(25))
        .with_factor(2.0)
        .with_max_delay(Duration::from_millis(500))
        .with_max_times(RETRIES)
        .with_jitter();
    let attempts = (|| {
        let attempt = call(end.saturating_duration_since(Instant::now()));
        async move { attempt.await.map_err(unanswered) }
    })
    .retry(delays)
    .when(|status| status.code() == Code::Unavailable)
    .adjust(|_, delay| delay.filter(|delay| Instant::now() + *delay < end))
    .notify(|status, delay| {
        // A process can have several services, each with a counter of its own. Retries are rare.
        metrics::RPC_CLIENT_CALL_RETRIES
            .counter(env!("CARGO_PKG_NAME"))
            .add(1, &[]);
        tracing::debug!(error = %status.message(), delay_ms = delay.as_millis() as u64, "retrying");
    });
    match tokio::time::timeout_at(end, attempts).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Status::unavailable("no answer within the deadline")),
    }
}

/// A request with a timeout, after which the server need not answer.
#[must_use]
pub fn request<T>(message: T, within: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(within);
    request
}

/// Replaces the codes of a service that does not answer by `UNAVAILABLE`.
///
/// A status with a source comes from this process, for a connection that failed or was lost. A status
/// from the server has no source.
fn unanswered(status: Status) -> Status {
    match status.code() {
        _ if status.source().is_some() => Status::unavailable(status.message()),
        Code::Cancelled | Code::DeadlineExceeded => Status::unavailable(status.message()),
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    async fn attempts(code: Code) -> usize {
        let count = AtomicUsize::new(0);
        let outcome: Result<(), Status> = retry(Duration::from_secs(5), |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { Err(Status::new(code, "x")) }
        })
        .await;
        assert_eq!(outcome.unwrap_err().code(), code);
        count.into_inner()
    }

    #[test]
    fn addresses_are_host_and_port() {
        for good in [
            "127.0.0.1:8080",
            "user:8080",
            "http://user:8080",
            "http://[::1]:8080/",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "user",
            "https://user:1",
            "http://user:1/x",
            ":1",
            "user:",
            "user:0",
            "user:99999",
            "a b:1",
            "ann@user:1",
            "http://ann:s3cr3t@user:1",
        ] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn only_unavailable_is_repeated() {
        assert_eq!(attempts(Code::Unavailable).await, 1 + RETRIES);
        assert_eq!(attempts(Code::Internal).await, 1);
        assert_eq!(attempts(Code::ResourceExhausted).await, 1);
    }

    #[tokio::test]
    async fn the_deadline_bounds_all_attempts() {
        let started = Instant::now();
        let outcome: Result<(), Status> =
            retry(Duration::from_millis(50), |_| std::future::pending()).await;
        assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
        assert!(started.elapsed() < Duration::from_secs(2));
    }

    #[tokio::test]
    async fn each_attempt_gets_the_remaining_time() {
        let deadline = Duration::from_secs(5);
        let mut told = Vec::new();
        let outcome: Result<(), Status> = retry(deadline, |left| {
            told.push(left);
            std::future::ready(Err(Status::deadline_exceeded("x")))
        })
        .await;
        assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
        assert_eq!(told.len(), 1 + RETRIES);
        assert!(told[0] <= deadline);
        // The shortest delay between two attempts.
        let delay = Duration::from_millis(25);
        assert!(
            told.is_sorted_by(|before, after| *after + delay <= *before),
            "{told:?}"
        );
        let request = request((), told[0]);
        assert!(request.metadata().contains_key("grpc-timeout"));
    }

    #[tokio::test]
    async fn no_attempt_begins_after_the_deadline() {
        let mut attempts = 0;
        // The deadline is shorter than the shortest delay.
        let outcome: Result<(), Status> = retry(Duration::from_millis(20), |_| {
            attempts += 1;
            std::future::ready(Err(Status::unavailable("the reason")))
        })
        .await;
        assert_eq!(outcome.unwrap_err().message(), "the reason");
        assert_eq!(attempts, 1);
    }

    #[tokio::test]
    async fn a_missing_server_is_unavailable() {
        let uri = Uri::from_static("http://127.0.0.1:1");
        let client = tonic_health::pb::health_client::HealthClient::new(channel(uri, &[]));
        let outcome = retry(Duration::from_secs(5), |_| {
            let mut client = client.clone();
            async move {
                client
                    .check(tonic_health::pb::HealthCheckRequest::default())
                    .await
            }
        })
        .await;
        assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    }
}
