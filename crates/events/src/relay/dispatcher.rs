//! A Kafka producer that sends the events of the outbox, from its start to its failure or stop.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chassis::stop::FLUSH;
use database::Database;
use diesel::prelude::*;
use rdkafka::{
    ClientContext, Message as _, Statistics,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseRecord, ProducerContext},
};
use telemetry::{
    KeyValue, Service,
    metrics::{self, Counter, Histogram},
    names,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::queries::{DELETE, SELECT, quietly};
use crate::{
    client::{self, BrokerStatus, ClientError},
    event::TOPICS,
    producer::Producer,
    record,
    table::{Row, State, outbox},
};

/// Maximum number of events that are sent and not acknowledged yet.
pub(crate) const WINDOW: usize = 8192;

/// Maximum number of events that one query reads.
const BATCH: usize = 1024;

/// Time that a written event waits for others, so that one query reads them all.
const GATHER: Duration = Duration::from_millis(2);

/// Interval of reading the outbox without a notification.
const POLL: Duration = Duration::from_secs(5);

/// Interval of deletions. Each deletion is a commit, which delays other writes.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(100);

/// Delay after a failure of the database.
const RETRY: Duration = Duration::from_secs(1);

/// Sends the events of an outbox by one Kafka producer, and keeps its progress.
pub(crate) struct Dispatcher {
    database: Database,
    state: Arc<State>,
    broker: Arc<BrokerStatus>,
    producer: Producer<Reports>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    observer: Observer,
    /// The events that were sent, in order; acknowledged ones are taken from its front.
    window: VecDeque<Sent>,
    /// The sequence number of the last event that was read.
    read: i64,
    /// The sequence number up to which the broker has acknowledged all events.
    acknowledged: i64,
    /// The number of acknowledged events that are still in the outbox.
    removable: usize,
    /// The time to read the outbox again.
    read_at: Instant,
    /// The time to delete events again.
    remove_at: Instant,
    /// The time to give up after a stop.
    deadline: Option<Instant>,
    /// Whether the last query reached the end of the outbox.
    read_all: bool,
    progress: bool,
}

struct Sent {
    sequence: i64,
    time: i64,
    at: Instant,
    delivered: bool,
}

/// The report of the producer on one event.
struct Delivery {
    sequence: i64,
    topic: &'static str,
    error: Option<KafkaError>,
}

impl Dispatcher {
    pub(crate) fn start(
        brokers: &str,
        name: &str,
        database: &Database,
        state: &Arc<State>,
        broker: &Arc<BrokerStatus>,
    ) -> Result<Self, KafkaError> {
        let (sender, deliveries) = mpsc::unbounded_channel();
        let reports = Reports {
            deliveries: sender,
            broker: Arc::clone(broker),
            service: Service::current(),
        };
        let config = client::producer(brokers, name);
        let now = Instant::now();
        Ok(Self {
            database: database.clone(),
            state: Arc::clone(state),
            broker: Arc::clone(broker),
            producer: Producer::start(&config, reports)?,
            deliveries,
            observer: Observer::start(),
            window: VecDeque::with_capacity(WINDOW),
            read: 0,
            acknowledged: 0,
            removable: 0,
            read_at: now,
            remove_at: now,
            deadline: None,
            read_all: false,
            progress: false,
        })
    }

    /// Sends until the stop, or until the producer fails.
    pub(crate) async fn run(mut self, stop: &CancellationToken) -> Result<(), ClientError> {
        let outcome = self.work(stop).await;
        while self.removable > 0 && self.remove().await.is_ok() {}
        client::close(self.producer).await;
        outcome.map_err(|error| ClientError {
            progress: self.progress,
            ..error.into()
        })
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<(), KafkaError> {
        let state = Arc::clone(&self.state);
        let mut batch = Vec::with_capacity(BATCH);
        while !self.is_done() {
            let deadline = self.deadline.unwrap_or(self.read_at);
            tokio::select! {
                biased;
                () = stop.cancelled(), if self.deadline.is_none() => {
                    let now = Instant::now();
                    self.deadline = Some(now + FLUSH);
                    self.read_at = now;
                    self.read_all = false;
                }
                () = sleep_until(deadline), if self.deadline.is_some() => return Ok(()),
                _ = self.deliveries.recv_many(&mut batch, BATCH) => self.take(&mut batch)?,
                () = state.written.notified() => {
                    self.read_at = self.read_at.min(Instant::now() + GATHER);
                }
                () = sleep_until(self.remove_at), if self.removable > 0 => {
                    if let Err(error) = self.remove().await {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "cannot remove events that were sent");
                        self.remove_at = Instant::now() + RETRY;
                    }
                }
                () = sleep_until(self.read_at), if self.window.len() + BATCH <= WINDOW => {
                    self.fill().await?;
                }
            }
        }
        Ok(())
    }

    /// Whether the work after a stop is done: all events are sent, or the broker is away.
    fn is_done(&self) -> bool {
        let is_empty = self.read_all && self.window.is_empty();
        self.deadline.is_some() && (is_empty || self.broker.is_away())
    }

    /// Reads the next events and gives them to the producer.
    async fn fill(&mut self) -> Result<(), KafkaError> {
        let read = self.read;
        let rows = self.database.read(SELECT, move |connection| {
            outbox::table
                .filter(outbox::sequence.gt(read))
                .order(outbox::sequence)
                .limit(BATCH as i64)
                .select((outbox::sequence, Row::as_select()))
                .load::<(i64, Row)>(connection)
        });
        let rows = match quietly(rows).await {
            Ok(rows) => rows,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot read the outbox");
                self.read_at = Instant::now() + RETRY;
                return Ok(());
            }
        };
        self.read_all = rows.len() < BATCH;
        let now = Instant::now();
        self.read_at = if self.read_all { now + POLL } else { now };
        for (sequence, row) in rows {
            self.send(sequence, &row)?;
        }
        if self.read_all {
            let length = self.window.len() + self.removable;
            self.state.length.store(length as i64, Ordering::Relaxed);
        }
        self.observe_oldest();
        Ok(())
    }

    fn send(&mut self, sequence: i64, row: &Row) -> Result<(), KafkaError> {
        let opaque = usize::try_from(sequence).unwrap_or_default();
        let record = BaseRecord::with_opaque_to(&row.topic, opaque)
            .key(row.key())
            .payload(&row.payload)
            .headers(record::headers(row));
        self.producer.send(record).map_err(|(error, _)| error)?;
        self.read = sequence;
        self.window.push_back(Sent {
            sequence,
            time: row.time,
            at: Instant::now(),
            delivered: false,
        });
        Ok(())
    }

    /// Processes reports. Returns the first failure. Events after it are sent again, even if the
    /// broker has acknowledged them.
    fn take(&mut self, deliveries: &mut Vec<Delivery>) -> Result<(), KafkaError> {
        let mut failure = None;
        for delivery in deliveries.drain(..) {
            let sequence = delivery.sequence;
            let Ok(index) = self
                .window
                .binary_search_by_key(&sequence, |sent| sent.sequence)
            else {
                continue;
            };
            let sent = &mut self.window[index];
            self.observer.observe(&delivery, sent.at.elapsed());
            sent.delivered = delivery.error.is_none();
            failure = failure.or(delivery.error);
        }
        let before = self.removable;
        while self.window.front().is_some_and(|sent| sent.delivered) {
            if let Some(sent) = self.window.pop_front() {
                self.acknowledged = sent.sequence;
                self.removable += 1;
            }
        }
        if self.removable > before {
            self.progress = true;
            self.broker.back();
            if before == 0 {
                self.remove_at = Instant::now() + REMOVAL_INTERVAL;
            }
        }
        self.observe_oldest();
        failure.map_or(Ok(()), Err)
    }

    /// Deletes the acknowledged events from the outbox.
    async fn remove(&mut self) -> Result<(), database::Error> {
        let acknowledged = self.acknowledged;
        let removed = self.database.write(DELETE, move |connection| {
            diesel::delete(outbox::table.filter(outbox::sequence.le(acknowledged)))
                .execute(connection)
        });
        let removed = quietly(removed).await?;
        self.state
            .length
            .fetch_sub(removed as i64, Ordering::Relaxed);
        self.removable = 0;
        Ok(())
    }

    fn observe_oldest(&self) {
        let oldest = self.window.front().map_or(0, |sent| sent.time);
        self.state.oldest.store(oldest, Ordering::Relaxed);
    }
}

/// The callbacks of the producer, called on the thread that polls it.
struct Reports {
    deliveries: mpsc::UnboundedSender<Delivery>,
    broker: Arc<BrokerStatus>,
    service: Service,
}

impl ClientContext for Reports {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        let _scope = self.service.enter();
        client::log(facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let _scope = self.service.enter();
        self.broker.statistics(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let _scope = self.service.enter();
        self.broker.error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sequence: usize) {
        let (message, error) = match result {
            Ok(message) => (message, None),
            Err((error, message)) => (message, Some(error.clone())),
        };
        // Fails if the producer has ended.
        let _ = self.deliveries.send(Delivery {
            sequence: i64::try_from(sequence).unwrap_or_default(),
            topic: TOPICS
                .iter()
                .find(|topic| **topic == message.topic())
                .unwrap_or(&names::OTHER),
            error,
        });
    }
}

/// The metrics of sending.
struct Observer {
    sent: Counter<u64>,
    duration: Histogram,
}

impl Observer {
    fn start() -> Self {
        let scope = env!("CARGO_PKG_NAME");
        Self {
            sent: metrics::MESSAGING_CLIENT_SENT_MESSAGES.counter(scope),
            duration: metrics::MESSAGING_CLIENT_OPERATION_DURATION.histogram(scope),
        }
    }

    fn observe(&self, delivery: &Delivery, elapsed: Duration) {
        let mut attributes = vec![
            KeyValue::new(names::MESSAGING_SYSTEM, names::KAFKA),
            KeyValue::new(names::MESSAGING_OPERATION_NAME, "send"),
            KeyValue::new(names::MESSAGING_DESTINATION_NAME, delivery.topic),
        ];
        if let Some(error) = &delivery.error {
            let code = error.rdkafka_error_code();
            let name = code.map_or_else(|| names::OTHER.to_owned(), |code| format!("{code:?}"));
            attributes.push(KeyValue::new(names::ERROR_TYPE, name));
        }
        self.sent.add(1, &attributes);
        attributes.push(KeyValue::new(names::MESSAGING_OPERATION_TYPE, "send"));
        self.duration.record(elapsed.as_secs_f64(), &attributes);
    }
}
