//! Processing of one record: decode, handle, retry, dead-letter.

use std::{error::Error, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures_util::FutureExt as _;
use opentelemetry::{
    context::FutureExt as _,
    trace::{SpanKind, TraceContextExt as _},
};
use rdkafka::{Message as _, message::BorrowedMessage};
use telemetry::{
    KeyValue,
    metrics::{self, Counter, Histogram},
    names,
    trace::{Attributes, Span},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{dead_letters::DeadLetters, failure::Failure, partitions::Partitions};
use crate::{Event, Handler, HandlerError, record};

/// Maximum number of attempts after the first.
const RETRIES: usize = 5;

/// Handles records, one after the other.
pub(crate) struct Processor {
    /// The client's name.
    pub(crate) client: String,
    pub(crate) group: Option<String>,
    pub(crate) partitions: Arc<Partitions>,
    /// Without dead letters, a failed event is only logged and counted.
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) instruments: Instruments,
}

/// The metrics of receiving.
pub(crate) struct Instruments {
    consumed: Counter<u64>,
    duration: Histogram,
    duplicates: Counter<u64>,
    skipped: Counter<u64>,
    retries: Counter<u64>,
}

/// The outcome of processing a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// Its offset can be committed.
    Done,
    /// A stop came first, so the record is delivered again.
    Stopped,
}

impl Instruments {
    pub(crate) fn start() -> Self {
        let scope = env!("CARGO_PKG_NAME");
        Self {
            consumed: metrics::MESSAGING_CLIENT_CONSUMED_MESSAGES.counter(scope),
            duration: metrics::MESSAGING_PROCESS_DURATION.histogram(scope),
            duplicates: metrics::EVENTS_CONSUMER_DUPLICATES.counter(scope),
            skipped: metrics::EVENTS_CONSUMER_SKIPPED.counter(scope),
            retries: metrics::EVENTS_CONSUMER_RETRIES.counter(scope),
        }
    }
}

impl Processor {
    /// Handles a record, within a span that is a child of the producer's and linked to it. An
    /// event of an unknown type or with a known id is only counted.
    pub(crate) async fn process<H: Handler>(
        &self,
        message: &BorrowedMessage<'_>,
        handler: &H,
        stop: &CancellationToken,
    ) -> Outcome {
        let (topic, partition) = (message.topic(), message.partition());
        let decoded = match record::decode(message) {
            Ok(Some(event)) => Ok(event),
            Ok(None) => {
                self.instruments.skipped.add(1, &[]);
                self.partitions
                    .handled(topic, partition, message.offset(), None);
                return Outcome::Done;
            }
            Err(error) => Err(error),
        };
        let id = decoded.as_ref().ok().map(|event| event.id);
        if id.is_some_and(|id| self.partitions.knows(topic, partition, id)) {
            self.instruments.duplicates.add(1, &[]);
            self.partitions
                .handled(topic, partition, message.offset(), id);
            return Outcome::Done;
        }

        let producer = record::context(message);
        let span = Span::start(&producer, SpanKind::Consumer, format!("process {topic}"))
            .linked(producer.span().span_context());
        let work = async {
            let outcome = match decoded {
                Ok(event) => self.attempts(&event, handler, stop).await,
                Err(error) => Some(Err(error.into())),
            };
            match outcome {
                None => None,
                Some(Ok(())) => Some(None),
                Some(Err(failure)) => {
                    let aside = self.set_aside(message, &failure, stop).await;
                    aside.then_some(Some(failure))
                }
            }
        };
        let outcome = work.with_context(span.context().clone()).await;
        let error = match &outcome {
            None => Some("cancelled"),
            Some(failure) => failure.as_ref().map(Failure::name),
        };
        self.observe(span, message, id, error);
        if outcome.is_none() {
            return Outcome::Stopped;
        }
        self.partitions
            .handled(topic, partition, message.offset(), id);
        Outcome::Done
    }

    /// Calls the handler, with retries if its error is retryable; `None` if a stop comes first.
    async fn attempts<H: Handler>(
        &self,
        event: &Event,
        handler: &H,
        stop: &CancellationToken,
    ) -> Option<Result<(), Failure>> {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_times(RETRIES)
            .with_jitter()
            .build();
        loop {
            let attempt = AssertUnwindSafe(handler.handle(event)).catch_unwind().await;
            let error = match attempt {
                Ok(Ok(())) => return Some(Ok(())),
                Ok(Err(error)) => error,
                Err(panic) => {
                    let reason = chassis::panics::reason(panic.as_ref());
                    HandlerError::Fatal(format!("a panic: {reason}").into())
                }
            };
            let delay = match &error {
                HandlerError::Retryable(_) => delays.next(),
                HandlerError::Fatal(_) => None,
            };
            let Some(delay) = delay else {
                return Some(Err(error.into()));
            };
            self.instruments.retries.add(1, &[]);
            tracing::debug!(
                error = &error as &dyn Error,
                delay_ms = delay.as_millis() as u64,
                "a handler failed; retrying"
            );
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    /// Logs a failure, and writes a dead letter if the consumer has them. Returns `false` if a stop
    /// comes before the broker has acknowledged it.
    async fn set_aside(
        &self,
        message: &BorrowedMessage<'_>,
        failure: &Failure,
        stop: &CancellationToken,
    ) -> bool {
        tracing::warn!(
            error = failure as &dyn Error,
            topic = message.topic(),
            partition = message.partition(),
            offset = message.offset(),
            "an event was not handled"
        );
        match &self.dead_letters {
            Some(dead_letters) => dead_letters.take(message, failure, stop).await,
            None => true,
        }
    }

    /// Ends the span of a record, and records its metrics.
    fn observe(
        &self,
        mut span: Span,
        message: &BorrowedMessage<'_>,
        id: Option<Uuid>,
        error: Option<&'static str>,
    ) {
        let elapsed = span.elapsed();
        let mut attributes = vec![
            KeyValue::new(names::MESSAGING_SYSTEM, names::KAFKA),
            KeyValue::new(names::MESSAGING_OPERATION_NAME, "process"),
            KeyValue::new(
                names::MESSAGING_DESTINATION_NAME,
                message.topic().to_owned(),
            ),
        ];
        attributes.extend(self.group_attribute());
        attributes.extend(error.map(|error| KeyValue::new(names::ERROR_TYPE, error)));
        self.instruments.consumed.add(1, &attributes);
        self.instruments.duration.record_in(
            span.context().span().span_context(),
            elapsed.as_secs_f64(),
            &attributes,
        );
        attributes.extend([
            KeyValue::new(
                names::MESSAGING_DESTINATION_PARTITION_ID,
                message.partition().to_string(),
            ),
            KeyValue::new(names::MESSAGING_KAFKA_OFFSET, message.offset()),
            KeyValue::new(names::MESSAGING_OPERATION_TYPE, "process"),
            KeyValue::new(names::MESSAGING_CLIENT_ID, self.client.clone()),
        ]);
        attributes.extend(id.map(|id| KeyValue::new(names::MESSAGING_MESSAGE_ID, id.to_string())));
        span.end(elapsed, &Attributes::new(attributes), error.is_some());
    }

    fn group_attribute(&self) -> Option<KeyValue> {
        let group = self.group.clone()?;
        Some(KeyValue::new(names::MESSAGING_CONSUMER_GROUP_NAME, group))
    }
}
