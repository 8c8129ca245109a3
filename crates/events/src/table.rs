//! The table of the outbox, and the state that its writers share with its relay.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::SystemTime,
};

use database::microseconds;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use opentelemetry::{KeyValue, trace::SpanKind};
use telemetry::{
    names, propagate,
    trace::{Attributes, Span},
};
use tokio::sync::Notify;

use crate::Event;

/// The migrations that create the table.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

diesel::table! {
    outbox (sequence) {
        sequence -> BigInt,
        id -> Text,
        source -> Text,
        #[sql_name = "type"]
        kind -> Text,
        subject -> Nullable<Text>,
        time -> BigInt,
        topic -> Text,
        payload -> Binary,
        traceparent -> Nullable<Text>,
        tracestate -> Nullable<Text>,
    }
}

/// A stored event: the parts of its Kafka record.
#[derive(Clone, Debug, HasQuery, Insertable)]
#[diesel(table_name = outbox)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) kind: String,
    pub(crate) subject: Option<String>,
    /// Microseconds since the Unix epoch.
    pub(crate) time: i64,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) traceparent: Option<String>,
    pub(crate) tracestate: Option<String>,
}

/// State that an outbox shares with its relay.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) written: Notify,
    /// The number of events in the table. The relay corrects it after it has read all of them.
    pub(crate) length: AtomicI64,
    /// The time of the oldest event that is not acknowledged, in microseconds since the Unix
    /// epoch; 0 if there is none.
    pub(crate) oldest: AtomicI64,
}

impl Row {
    /// Converts an event, within the span `send TOPIC`, which is the parent of the consumers' spans. The
    /// span ends here, because delivery to the broker may happen minutes later. A metric measures the delivery.
    pub(crate) fn new(event: &Event) -> Self {
        let topic = event.data.topic();
        let mut span = Span::start(&event.trace, SpanKind::Producer, format!("send {topic}"));
        // Baggage belongs to the request, and is not sent to consumers.
        let mut headers = propagate::kafka::inject(span.context());
        let mut header = |name: &str| {
            let index = headers.iter().position(|(header, _)| header == name)?;
            let (_, value) = headers.swap_remove(index);
            String::from_utf8(value)
                .ok()
                .filter(|text| !text.is_empty())
        };
        let row = Self {
            id: event.id.to_string(),
            source: event.source.clone(),
            kind: event.data.kind().to_owned(),
            subject: event.subject.map(|id| id.to_string()),
            time: microseconds(event.time),
            topic: topic.to_owned(),
            payload: event.data.encode(),
            traceparent: header("traceparent"),
            tracestate: header("tracestate"),
        };
        let attributes = Attributes::new(vec![
            KeyValue::new(names::MESSAGING_SYSTEM, names::KAFKA),
            KeyValue::new(names::MESSAGING_DESTINATION_NAME, topic),
            KeyValue::new(names::MESSAGING_OPERATION_NAME, "send"),
            KeyValue::new(names::MESSAGING_OPERATION_TYPE, "send"),
            KeyValue::new(names::MESSAGING_CLIENT_ID, event.source.clone()),
            KeyValue::new(names::MESSAGING_MESSAGE_ID, row.id.clone()),
        ]);
        span.end(span.elapsed(), &attributes, false);
        row
    }

    /// The key of the record: the user's id, so that the events of a user stay in order. Without a
    /// user, it is the event's id.
    pub(crate) fn key(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.id)
    }
}

pub(crate) fn insert(connection: &mut SqliteConnection, rows: &[Row]) -> QueryResult<()> {
    for row in rows {
        diesel::insert_into(outbox::table)
            .values(row)
            .execute(connection)?;
    }
    Ok(())
}

impl State {
    /// Records that events were added; `time` is that of the oldest.
    pub(crate) fn add(&self, count: i64, time: i64) {
        self.length.fetch_add(count, Ordering::Relaxed);
        // Another event that waits already is older.
        let _ = self
            .oldest
            .compare_exchange(0, time, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The age of the oldest event that is not acknowledged, in seconds.
    pub(crate) fn oldest_age(&self) -> f64 {
        match self.oldest.load(Ordering::Relaxed) {
            0 => 0.0,
            oldest => (microseconds(SystemTime::now()) - oldest).max(0) as f64 / 1e6,
        }
    }
}
