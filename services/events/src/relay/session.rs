//! The life of one producer: events go from the outbox to the broker, until something fails.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chassis::stop::FLUSH;
use database::{Database, Statement};
use diesel::prelude::*;
use rdkafka::{
    ClientContext, Message as _, Statistics,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    error::KafkaError,
    message::DeliveryResult,
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
};
use telemetry::{
    KeyValue,
    metrics::{self, Counter, Histogram},
    names,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{SELECT, quietly};
use crate::{
    client::{self, Connection, ended},
    event::TOPICS,
    outbox::{Row, State, outbox},
    record,
};

const DELETE: Statement = Statement::new("DELETE outbox");

/// Events that are sent and not yet with the broker, at most.
pub(crate) const WINDOW: usize = 8192;

/// Events that are read at once.
const BATCH: usize = 1024;

/// How long an event waits for others, once it is written.
const GATHER: Duration = Duration::from_millis(2);

/// How often the outbox is read when nobody says that there is something in it.
const POLL: Duration = Duration::from_secs(5);

/// How often events are removed: each removal is a commit, for which changes wait.
const REMOVAL_INTERVAL: Duration = Duration::from_millis(100);

/// How long to wait when the database fails.
const RETRY: Duration = Duration::from_secs(1);

/// How a session ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It was asked to.
    Stopped,
    /// The producer can send no more, or not without a gap.
    Failed {
        /// What it says.
        reason: String,
        /// Whether it had sent something.
        progress: bool,
    },
}

/// A producer, and what it has to do.
pub(crate) struct Session {
    database: Database,
    state: Arc<State>,
    connection: Arc<Connection>,
    producer: ThreadedProducer<Reports>,
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    observer: Observer,
    /// What was sent, in order; what the broker has is taken from its front.
    window: VecDeque<Sent>,
    /// The last event that was read.
    read: i64,
    /// The last event that the broker has, as all before it.
    acknowledged: i64,
    /// How many of those are still in the outbox.
    removable: usize,
    /// When the outbox is read again.
    read_at: Instant,
    /// When events are removed again.
    remove_at: Instant,
    /// After a stop: when to give up.
    deadline: Option<Instant>,
    /// Whether the outbox had no more than was read.
    read_all: bool,
    progress: bool,
}

struct Sent {
    sequence: i64,
    time: i64,
    at: Instant,
    delivered: bool,
}

/// What became of an event.
struct Delivery {
    sequence: i64,
    topic: &'static str,
    error: Option<KafkaError>,
}

impl Session {
    pub(crate) fn start(
        brokers: &str,
        name: &str,
        database: &Database,
        state: Arc<State>,
        connection: Arc<Connection>,
    ) -> Result<Self, KafkaError> {
        let (sender, deliveries) = mpsc::unbounded_channel();
        let reports = Reports {
            deliveries: sender,
            connection: Arc::clone(&connection),
        };
        let config = client::producer(brokers, name);
        let now = Instant::now();
        Ok(Self {
            database: database.clone(),
            state,
            connection,
            producer: ThreadedProducer::from_config_and_context(&config, reports)?,
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

    /// Sends until the end, or until something fails.
    pub(crate) async fn run(mut self, stop: &mut watch::Receiver<()>) -> End {
        let outcome = self.work(stop).await;
        while self.removable > 0 && self.remove().await.is_ok() {}
        client::close(self.producer).await;
        match outcome {
            Ok(()) => End::Stopped,
            Err(error) => End::Failed {
                reason: error.to_string(),
                progress: self.progress,
            },
        }
    }

    async fn work(&mut self, stop: &mut watch::Receiver<()>) -> Result<(), KafkaError> {
        let state = Arc::clone(&self.state);
        let mut batch = Vec::with_capacity(BATCH);
        while !self.is_done() {
            let deadline = self.deadline.unwrap_or(self.read_at);
            tokio::select! {
                biased;
                () = ended(stop), if self.deadline.is_none() => {
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

    /// Whether, after a stop, nothing is left or nobody is there to take it.
    fn is_done(&self) -> bool {
        let is_empty = self.read_all && self.window.is_empty();
        self.deadline.is_some() && (is_empty || self.connection.is_away())
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

    /// Takes what the broker has said. After the first failure nothing counts any more: what the
    /// broker has of the rest is sent again.
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
            self.connection.back();
            if before == 0 {
                self.remove_at = Instant::now() + REMOVAL_INTERVAL;
            }
        }
        self.observe_oldest();
        failure.map_or(Ok(()), Err)
    }

    /// Removes the events that the broker has.
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

/// Takes the producer's reports, on a thread of its own.
struct Reports {
    deliveries: mpsc::UnboundedSender<Delivery>,
    connection: Arc<Connection>,
}

impl ClientContext for Reports {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.connection.statistics(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sequence: usize) {
        let (message, error) = match result {
            Ok(message) => (message, None),
            Err((error, message)) => (message, Some(error.clone())),
        };
        // Nobody is there any more at the end.
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

/// What is told of sending.
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
