//! Common parts of all Kafka clients: configuration, retries, and the state of the broker.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use chassis::stop::CLOSE;
use rdkafka::{
    ClientConfig, ClientContext, Statistics, config::RDKafkaLogLevel, error::KafkaError,
    types::RDKafkaErrorCode,
};
use telemetry::Service;
use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// The longest delay between attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// A client of these brokers, under this name.
pub(crate) fn config(brokers: &str, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", name)
        .set("socket.keepalive.enable", "true")
        // Reconnects soon after the broker is back. The delays have jitter.
        .set("reconnect.backoff.max.ms", "2000")
        .set("statistics.interval.ms", "1000")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// The configuration of a producer without gaps: whatever fails, the broker has a prefix of the messages that
/// were sent to a partition.
pub(crate) fn producer(brokers: &str, name: &str) -> ClientConfig {
    let mut config = config(brokers, name);
    config
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        // Statistics show an idle producer that the broker is back. A delivery shows it sooner.
        .set("statistics.interval.ms", "5000")
        // No limit: if a message timed out, later ones would overtake it.
        .set("message.timeout.ms", "0")
        // Milliseconds that a message waits for its batch to fill.
        .set("linger.ms", "1");
    config
}

/// Why a Kafka client ended before it was stopped.
#[derive(Debug)]
pub(crate) struct ClientError {
    /// The error of the client.
    pub(crate) reason: String,
    /// Whether the client has sent or received a message.
    pub(crate) progress: bool,
}

impl From<KafkaError> for ClientError {
    fn from(error: KafkaError) -> Self {
        Self {
            reason: error.to_string(),
            progress: false,
        }
    }
}

/// Runs a client until it is stopped, and a new one after each failure. Repeated failures are logged
/// once, and the delay grows. A client that made progress, or that lasted longer than any delay,
/// resets both.
pub(crate) async fn supervise<F: Future<Output = Result<(), ClientError>>>(
    problem: &str,
    stop: &CancellationToken,
    client: impl Fn() -> F,
) {
    let mut delays = delays().build();
    let mut is_logged = false;
    loop {
        let started = Instant::now();
        let Err(error) = client().await else { return };
        if error.progress || started.elapsed() > LONGEST_DELAY {
            delays = self::delays().build();
            is_logged = false;
        }
        if !std::mem::replace(&mut is_logged, true) {
            tracing::warn!(reason = error.reason, "{problem}; retrying");
        }
        tokio::select! {
            () = tokio::time::sleep(delays.next().unwrap_or(LONGEST_DELAY)) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Delays between attempts, without a limit of attempts.
pub(crate) fn delays() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_factor(2.0)
        .with_max_delay(LONGEST_DELAY)
        .without_max_times()
        .with_jitter()
}

/// Runs a blocking Kafka call on a plain thread: at a shutdown the runtime would wait for a
/// `spawn_blocking` task, however long the call takes. A panic of the call is resumed in the caller.
pub(crate) async fn blocking<T, F>(work: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new()
        .name("kafka-wait".to_owned())
        .spawn(move || {
            // Fails if the caller was cancelled.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        })
        .expect("the system can start a thread");
    let outcome = receiver.await.expect("the thread sends even after a panic");
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Drops a client, which then disconnects from the broker, within a deadline.
pub(crate) async fn close<T: Send + 'static>(client: T) {
    let closed = tokio::time::timeout(CLOSE, blocking(move || drop(client)));
    if closed.await.is_err() {
        tracing::debug!("a Kafka client did not close within its deadline");
    }
}

/// Whether the broker answers. Each change is logged once.
#[derive(Debug, Default)]
pub(crate) struct BrokerStatus {
    away: AtomicBool,
    changed: Notify,
}

impl BrokerStatus {
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Waits for the next change; a change since the last call counts. Only one waiter is woken.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Records that the broker answers.
    pub(crate) fn back(&self) {
        if self.is_away() && self.away.swap(false, Ordering::Relaxed) {
            self.changed.notify_one();
            tracing::info!("the broker is back");
        }
    }

    /// Records that the broker does not answer, for this reason.
    pub(crate) fn lost(&self, reason: &str) {
        if !self.away.swap(true, Ordering::Relaxed) {
            self.changed.notify_one();
            tracing::warn!(reason, "the broker is away");
        }
    }

    /// Records an error of a client.
    pub(crate) fn error(&self, error: &KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.lost(reason);
        } else {
            tracing::debug!(reason, "error of a Kafka client");
        }
    }

    /// Records the statistics of a client, which list the brokers that are connected.
    pub(crate) fn statistics(&self, statistics: &Statistics) {
        if statistics
            .brokers
            .values()
            .any(|broker| broker.state == "UP")
        {
            self.back();
        }
    }
}

/// Callbacks of a client whose errors are returned by its calls, so that none is reported here.
pub(crate) struct Quiet(Service);

impl Quiet {
    /// The callbacks of a client of the current service.
    pub(crate) fn new() -> Self {
        Self(Service::current())
    }
}

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        let _scope = self.0.enter();
        log(facility, message);
    }

    fn stats(&self, _statistics: Statistics) {}

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

/// Logs a line of librdkafka at level debug only: while the broker is away, librdkafka repeats its
/// lines, and [`BrokerStatus`] logs the outage once.
pub(crate) fn log(facility: &str, message: &str) {
    tracing::debug!(facility, "librdkafka: {message}");
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, fs, sync::Mutex};

    use tempfile::NamedTempFile;

    use super::*;

    /// Deadline of each wait.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn failed(progress: bool) -> Result<(), ClientError> {
        Err(ClientError {
            reason: "of a test".to_owned(),
            progress,
        })
    }

    /// Runs clients that fail after `lasting`, with or without progress. The last one is stopped. Returns the
    /// delay before each client except the first, and the number of logged failures.
    async fn run(progress: &[bool], lasting: Duration) -> (Vec<Duration>, usize) {
        let log = NamedTempFile::new().unwrap();
        let writer = Mutex::new(log.reopen().unwrap());
        let subscriber = tracing_subscriber::fmt().with_writer(writer).finish();
        let guard = tracing::subscriber::set_default(subscriber);
        let stop = CancellationToken::new();
        let calls = RefCell::new(progress.iter());
        let times = RefCell::new(Vec::new());
        supervise("a test", &stop, || async {
            times.borrow_mut().push(Instant::now());
            tokio::time::sleep(lasting).await;
            let call = calls.borrow_mut().next();
            call.map_or(Ok(()), |progress| failed(*progress))
        })
        .await;
        drop(guard);
        let times = times.into_inner();
        let delays = times.windows(2).map(|pair| pair[1] - pair[0] - lasting);
        let delays = delays.collect();
        let logged = fs::read_to_string(log.path()).unwrap().lines().count();
        (delays, logged)
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_failure_is_logged_once_and_retried_with_growing_delays() {
        let (delays, logged) = run(&[false; 10], Duration::ZERO).await;
        assert_eq!(delays.len(), 10);
        assert!(delays[0] < Duration::from_millis(500), "{delays:?}");
        assert!(delays[9] >= LONGEST_DELAY, "{delays:?}");
        assert_eq!(logged, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_after_progress_is_logged_and_retried_at_once() {
        let progress = [false, false, false, false, false, false, true, false];
        let (delays, logged) = run(&progress, Duration::ZERO).await;
        assert!(delays[5] > Duration::from_secs(1), "{delays:?}");
        assert!(delays[6] < Duration::from_millis(500), "{delays:?}");
        assert!(delays[7] < Duration::from_millis(500), "{delays:?}");
        assert_eq!(logged, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_lasted_counts_as_progress() {
        let (delays, logged) = run(&[false; 5], LONGEST_DELAY * 2).await;
        assert!(delays[4] < Duration::from_millis(500), "{delays:?}");
        assert_eq!(logged, 5);
    }

    #[tokio::test]
    async fn a_panic_of_a_blocking_call_is_resumed_in_its_caller() {
        let call = tokio::spawn(blocking::<(), _>(|| panic!("of a test")));
        let outcome = tokio::time::timeout(PATIENCE, call).await.unwrap();
        assert!(outcome.unwrap_err().is_panic());
    }
}
