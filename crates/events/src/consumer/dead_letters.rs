//! Dead letters: copies of records that could not be handled, with headers that name the reason and
//! the original partition and offset.

use std::time::Duration;

use backon::BackoffBuilder as _;
use rdkafka::{
    Message as _,
    config::FromClientConfigAndContext as _,
    error::KafkaError,
    message::{BorrowedMessage, Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use telemetry::{
    KeyValue,
    metrics::{self, Counter},
    names,
};
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use crate::{
    client::{self, Quiet},
    topics,
};

/// Maximum length of an error text in a header.
const MAX_TEXT_BYTES: usize = 1024;

/// Time limit for the broker to acknowledge a record, after which it is sent again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The producer of the dead letters of a group.
pub(crate) struct DeadLetters {
    group: String,
    producer: FutureProducer<Quiet>,
    count: Counter<u64>,
}

impl DeadLetters {
    pub(crate) fn start(brokers: &str, group: &str) -> Result<Self, KafkaError> {
        let mut config = client::config(brokers, group);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("statistics.interval.ms", "0");
        Ok(Self {
            group: group.to_owned(),
            producer: FutureProducer::from_config_and_context(&config, Quiet::new())?,
            count: metrics::EVENTS_DEAD_LETTERED.counter(env!("CARGO_PKG_NAME")),
        })
    }

    /// Copies a record to the dead letters. Retries until the broker acknowledges it. Returns
    /// `false` if a stop comes first.
    pub(crate) async fn take(
        &self,
        message: &BorrowedMessage<'_>,
        failure: &Failure,
        stop: &CancellationToken,
    ) -> bool {
        let topic = topics::dead_letters(message.topic());
        let headers = self.headers(message, failure);
        let mut delays = client::delays().build();
        loop {
            let mut record = FutureRecord::<[u8], [u8]>::to(&topic).headers(headers.clone());
            record.key = message.key();
            record.payload = message.payload();
            let outcome = tokio::select! {
                outcome = self.producer.send(record, PATIENCE) => outcome,
                () = stop.cancelled() => return false,
            };
            match outcome {
                Ok(_) => break,
                Err((error, _)) => tracing::debug!(%error, "cannot write a dead letter; retrying"),
            }
            let Some(delay) = delays.next() else {
                return false;
            };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return false,
            }
        }
        self.count.add(
            1,
            &[
                KeyValue::new(
                    names::MESSAGING_DESTINATION_NAME,
                    message.topic().to_owned(),
                ),
                KeyValue::new(names::ERROR_TYPE, failure.name()),
            ],
        );
        true
    }

    /// Closes the client.
    pub(crate) async fn close(self) {
        client::close(self.producer).await;
    }

    /// The headers of the record, with those of a dead letter added.
    fn headers(&self, message: &BorrowedMessage<'_>, failure: &Failure) -> OwnedHeaders {
        let own = message.headers().map(|headers| headers.detach());
        let (partition, offset) = (
            message.partition().to_string(),
            message.offset().to_string(),
        );
        let error = failure.text(MAX_TEXT_BYTES);
        [
            ("dlq.reason", failure.name()),
            ("dlq.exception", error.as_str()),
            ("dlq.topic", message.topic()),
            ("dlq.partition", partition.as_str()),
            ("dlq.offset", offset.as_str()),
            ("dlq.group", self.group.as_str()),
        ]
        .into_iter()
        .fold(own.unwrap_or_default(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        })
    }
}
