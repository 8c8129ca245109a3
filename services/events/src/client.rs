//! What all clients of a broker have in common.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use backon::ExponentialBuilder;
use chassis::stop::CLOSE;
use rdkafka::{
    ClientConfig, ClientContext, Statistics, config::RDKafkaLogLevel, error::KafkaError,
    types::RDKafkaErrorCode,
};
use tokio::sync::{Notify, oneshot, watch};

/// A client of these brokers, under this name.
pub(crate) fn config(brokers: &str, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("client.id", name)
        .set("socket.keepalive.enable", "true")
        // A broker that is back should not wait for us. The delays have jitter.
        .set("reconnect.backoff.max.ms", "2000")
        .set("statistics.interval.ms", "1000")
        .set_log_level(RDKafkaLogLevel::Warning);
    config
}

/// A client that produces without gaps: what the broker has of a partition is a prefix of what
/// was sent, whatever fails.
pub(crate) fn producer(brokers: &str, name: &str) -> ClientConfig {
    let mut config = config(brokers, name);
    config
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        // For ever: a message that gives up would let later ones overtake it.
        .set("message.timeout.ms", "0")
        // Milliseconds that a message waits for others.
        .set("linger.ms", "1");
    config
}

/// Delays between attempts, without end.
pub(crate) fn delays() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_factor(2.0)
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter()
}

/// Runs what waits for the broker on a thread of its own. The runtime would wait for one of its
/// own at the end of the process, however long that takes.
pub(crate) async fn blocking<T, F>(work: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let thread = thread::Builder::new().name("kafka-wait".to_owned());
    let spawned = thread.spawn(move || {
        // Nobody waits for it any more.
        let _ = sender.send(work());
    });
    match (spawned, receiver.await) {
        (Ok(_), Ok(value)) => value,
        // The work has panicked, or there are no threads: it never ends.
        _ => std::future::pending().await,
    }
}

/// Drops a client, which waits for the broker to say goodbye to it; not for ever.
pub(crate) async fn close<T: Send + 'static>(client: T) {
    let closed = tokio::time::timeout(CLOSE, blocking(move || drop(client)));
    if closed.await.is_err() {
        tracing::debug!("a client of the broker does not end");
    }
}

/// Ends when the sender is gone.
pub(crate) async fn ended(stop: &mut watch::Receiver<()>) {
    while stop.changed().await.is_ok() {}
}

/// Whether the broker answers. Says in the log when it goes away, and when it is back, once.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    away: AtomicBool,
    changed: Notify,
}

impl Connection {
    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Waits until the broker goes away or is back, or has been since somebody last waited. Of
    /// several that wait one is told.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The broker is there.
    pub(crate) fn back(&self) {
        if self.is_away() && self.away.swap(false, Ordering::Relaxed) {
            self.changed.notify_one();
            tracing::info!("the broker is back");
        }
    }

    /// The broker is not there, for this reason.
    pub(crate) fn lost(&self, reason: &str) {
        if !self.away.swap(true, Ordering::Relaxed) {
            self.changed.notify_one();
            tracing::warn!(reason, "the broker is away");
        }
    }

    /// Takes an error of a client.
    pub(crate) fn error(&self, error: &KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.lost(reason);
        } else {
            tracing::debug!(reason, "error of a client of the broker");
        }
    }

    /// Takes the statistics of a client.
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

/// A client that has nothing to say by itself: what it is asked for fails with the reason.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(facility, message);
    }

    fn stats(&self, _statistics: Statistics) {}

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

/// Passes on what librdkafka has to say. It repeats itself while a broker is away, which
/// [`Connection`] says once.
pub(crate) fn log(facility: &str, message: &str) {
    tracing::debug!(facility, "librdkafka: {message}");
}
