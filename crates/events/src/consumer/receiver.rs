//! A Kafka consumer client, from its start to its failure or stop.

use std::sync::Arc;

use chassis::stop::FLUSH;
use futures_util::StreamExt as _;
use rdkafka::{
    config::FromClientConfigAndContext as _, consumer::Consumer as _, error::KafkaError,
};
use telemetry::Service;
use tokio_util::sync::CancellationToken;

use super::{
    assignment,
    callbacks::{Callbacks, Client},
    dead_letters::DeadLetters,
    mode::{Mode, Start},
    partitions::Partitions,
    process::{Instruments, Outcome, Processor},
};
use crate::{
    Handler,
    client::{self, BrokerStatus, ClientError},
};

/// A Kafka consumer, which processes the records of its partitions.
pub(crate) struct Receiver<'a> {
    client: Arc<Client>,
    processor: Processor,
    topics: &'a [&'a str],
    mode: &'a Mode,
}

impl<'a> Receiver<'a> {
    pub(crate) fn start(
        brokers: &str,
        topics: &'a [&'a str],
        mode: &'a Mode,
        broker: &Arc<BrokerStatus>,
        partitions: &Arc<Partitions>,
    ) -> Result<Self, KafkaError> {
        let (Mode::Member { group: name, .. } | Mode::Follower { name, .. }) = mode;
        let group = mode.group();
        // Partitions of an earlier client may belong to another member by now.
        partitions.clear();
        let callbacks = Callbacks {
            partitions: Arc::clone(partitions),
            broker: Arc::clone(broker),
            service: Service::current(),
        };
        let mut config = client::config(brokers, name);
        config
            .set("group.id", name)
            // An offset is stored after its event was handled. librdkafka commits stored offsets once a
            // second, when a partition is revoked, and at the end.
            .set("enable.auto.offset.store", "false")
            .set(
                "enable.auto.commit",
                if group.is_some() { "true" } else { "false" },
            )
            .set("auto.commit.interval.ms", "1000")
            .set("partition.assignment.strategy", "cooperative-sticky")
            // Time after which a killed member loses its partitions.
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "3000")
            // Longest wait of a fetch without data. A broker answers at once when data arrives, but the
            // mock broker always waits for the full time. So this is the delay of events there, and
            // each wait costs processor time.
            .set("fetch.wait.max.ms", "250")
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
                partitions: Arc::clone(partitions),
                dead_letters,
                instruments: Instruments::start(),
            },
            topics,
            mode,
        })
    }

    /// Receives until the stop, or until the client fails.
    pub(crate) async fn run<H: Handler>(
        self,
        handler: &H,
        stop: &CancellationToken,
    ) -> Result<(), ClientError> {
        let mut progress = false;
        let outcome = tokio::select! {
            outcome = self.assign() => outcome,
            outcome = self.receive(handler, stop, &mut progress) => outcome,
            () = overdue(stop) => Ok(()),
        };
        tokio::join!(client::close(self.client), async {
            if let Some(dead_letters) = self.processor.dead_letters {
                dead_letters.close().await;
            }
        });
        outcome.map_err(|error| ClientError {
            progress,
            ..error.into()
        })
    }

    /// Takes partitions. Returns only if that fails.
    async fn assign(&self) -> Result<(), KafkaError> {
        match &self.mode {
            Mode::Member { start, .. } => {
                if let Start::Tail(last) = start {
                    assignment::begin(&self.client, self.topics, *last).await?;
                }
                self.client.subscribe(self.topics)?;
                std::future::pending().await
            }
            Mode::Follower { last, .. } => {
                assignment::assign_all(&self.client, self.topics, *last).await
            }
        }
    }

    async fn receive<H: Handler>(
        &self,
        handler: &H,
        stop: &CancellationToken,
        progress: &mut bool,
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
                    self.client.context().broker.back();
                    *progress = true;
                    let outcome = self.processor.process(&message, handler, stop).await;
                    if outcome == Outcome::Stopped {
                        return Ok(());
                    }
                    // Fails if the partition was revoked meanwhile. Its new owner receives the event
                    // again.
                    if let Err(error) = self.client.store_offset_from_message(&message) {
                        tracing::debug!(%error, "cannot store an offset");
                    }
                }
                Err(error @ KafkaError::MessageConsumptionFatal(_)) => return Err(error),
                Err(error) => {
                    let reason = error.to_string();
                    self.client.context().broker.error(&error, &reason);
                }
            }
        }
    }
}

/// Ends [`FLUSH`] after a stop: the time that the handler has to finish its event.
async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FLUSH).await;
    tracing::warn!(
        seconds = FLUSH.as_secs(),
        "a handler did not finish its event in time after a stop; the event is delivered again"
    );
}
