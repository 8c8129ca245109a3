//! The life of one client that receives.

use std::sync::Arc;

use futures_util::StreamExt as _;
use rdkafka::{
    ClientContext, Statistics,
    config::{FromClientConfigAndContext as _, RDKafkaLogLevel},
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer},
    error::KafkaError,
};
use tokio_util::sync::CancellationToken;

use super::{
    Start, assignment,
    dead_letters::DeadLetters,
    partitions::Partitions,
    process::{Instruments, Outcome, Processor},
};
use crate::{
    Handler,
    client::{self, Connection},
};

pub(crate) type Client = StreamConsumer<Callbacks>;

/// What a client is for.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    /// It shares the partitions with others.
    Member { group: String, start: Start },
    /// It has all partitions, from the last events on.
    Follower { name: String, last: u32 },
}

/// A client, and what it does with what it receives.
pub(crate) struct Session {
    client: Arc<Client>,
    processor: Processor,
    topics: Vec<String>,
    mode: Mode,
}

impl Session {
    pub(crate) fn start(
        brokers: &str,
        topics: &[String],
        mode: &Mode,
        connection: &Arc<Connection>,
    ) -> Result<Self, KafkaError> {
        let (name, group) = match mode {
            Mode::Member { group, .. } => (group, Some(group.as_str())),
            Mode::Follower { name, .. } => (name, None),
        };
        let partitions = Partitions::start(group);
        let callbacks = Callbacks {
            partitions: Arc::clone(&partitions),
            connection: Arc::clone(connection),
        };
        let mut config = client::config(brokers, name);
        config
            .set("group.id", name)
            // Offsets are stored when the work is done, and committed from there: once a second,
            // when a partition goes to another member, and at the end.
            .set("enable.auto.offset.store", "false")
            .set(
                "enable.auto.commit",
                if group.is_some() { "true" } else { "false" },
            )
            .set("auto.commit.interval.ms", "1000")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // A member that was killed holds its partitions for so long.
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "3000")
            // How long the broker may think when there is nothing. One that waits to the end
            // although there is something, as the mock does, must not be noticed.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set(
                "auto.offset.reset",
                match mode {
                    Mode::Member {
                        start: Start::Latest,
                        ..
                    } => "latest",
                    Mode::Member { .. } | Mode::Follower { .. } => "earliest",
                },
            );
        let dead_letters = group
            .map(|group| DeadLetters::start(brokers, group))
            .transpose()?;
        Ok(Self {
            client: Arc::new(Client::from_config_and_context(&config, callbacks)?),
            processor: Processor {
                client: name.clone(),
                group: group.map(ToOwned::to_owned),
                partitions,
                dead_letters,
                instruments: Instruments::start(),
            },
            topics: topics.to_vec(),
            mode: mode.clone(),
        })
    }

    /// Receives until the end, or until the client fails.
    pub(crate) async fn run<H: Handler>(
        self,
        handler: &H,
        stop: &CancellationToken,
    ) -> Result<(), KafkaError> {
        let outcome = tokio::select! {
            outcome = self.assign() => outcome,
            outcome = self.receive(handler, stop) => outcome,
        };
        client::close(self.client).await;
        if let Some(dead_letters) = self.processor.dead_letters {
            dead_letters.close().await;
        }
        outcome
    }

    /// Gets partitions; ends only where that fails for good.
    async fn assign(&self) -> Result<(), KafkaError> {
        match &self.mode {
            Mode::Member { start, .. } => {
                if let Start::Tail(last) = start {
                    assignment::begin(&self.client, &self.topics, *last).await;
                }
                let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
                self.client.subscribe(&topics)?;
                std::future::pending().await
            }
            Mode::Follower { last, .. } => {
                assignment::assign_all(&self.client, &self.topics, *last).await
            }
        }
    }

    async fn receive<H: Handler>(
        &self,
        handler: &H,
        stop: &CancellationToken,
    ) -> Result<(), KafkaError> {
        let mut messages = self.client.stream();
        loop {
            let message = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(message) = messages.next() => message,
            };
            match message {
                Ok(message) => {
                    self.client.context().connection.back();
                    let outcome = self.processor.process(&message, handler, stop).await;
                    if outcome == Outcome::Stopped {
                        return Ok(());
                    }
                    // Fails where the partition went to another member meanwhile, which gets the
                    // event again.
                    if let Err(error) = self.client.store_offset_from_message(&message) {
                        tracing::debug!(%error, "cannot store an offset");
                    }
                }
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error),
                Err(error) => {
                    let reason = error.to_string();
                    self.client.context().connection.error(&error, &reason);
                }
            }
        }
    }
}

/// Takes what the client says between the records.
pub(crate) struct Callbacks {
    partitions: Arc<Partitions>,
    connection: Arc<Connection>,
}

impl ClientContext for Callbacks {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.connection.statistics(&statistics);
        self.partitions.statistics(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.connection.error(&error, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                tracing::info!(count = partitions.count(), "partitions assigned");
            }
            Rebalance::Revoke(partitions) => {
                self.partitions.forget(partitions);
                tracing::info!(count = partitions.count(), "partitions revoked");
            }
            Rebalance::Error(error) => tracing::warn!(%error, "cannot rebalance"),
        }
    }
}
