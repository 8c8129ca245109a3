//! The outbox: events in the database of the change that they tell of, until the broker has them.
//!
//! Its table is the service's own, made by a migration of the service; all services have the same.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use diesel::prelude::*;
use opentelemetry::{KeyValue, trace::SpanKind};
use telemetry::{
    metrics::{self, Counter},
    names, propagate,
    trace::{Attributes, Span},
};
use tokio::sync::{Notify, mpsc};

use crate::{Event, Relay, Settings};

/// Events that may wait to be written down by [`Outbox::later`].
const LATER: usize = 1024;

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

/// An event as it is stored: what the record will consist of.
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

/// Takes the events of a service. Clones share it.
#[derive(Clone, Debug)]
pub struct Outbox(Option<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    state: Arc<State>,
    later: mpsc::Sender<Row>,
    dropped: Counter<u64>,
}

/// What an outbox and its relay know of each other.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) written: Notify,
    /// Events in the table. Corrected by the relay whenever it has read all.
    pub(crate) length: AtomicI64,
    /// When the oldest event happened that the broker does not have, in microseconds since the
    /// Unix epoch; 0 without one.
    pub(crate) oldest: AtomicI64,
}

/// An event was written in a transaction. Return this from the transaction: when it is dropped,
/// the relay looks for the event, which it can only see when the transaction has ended.
#[derive(Debug, Default)]
#[must_use = "return it from the transaction"]
pub struct Written(Option<Arc<State>>);

impl Outbox {
    /// The outbox of the service of this name, and what sends its events. Without brokers both do
    /// nothing.
    ///
    /// Made once in a process and database: two relays would send each event twice.
    pub fn new(settings: &Settings, name: &str) -> (Self, Relay) {
        let Some(brokers) = settings.brokers() else {
            return (Self(None), Relay::none());
        };
        let scope = env!("CARGO_PKG_NAME");
        let state = Arc::new(State::default());
        let observed = Arc::downgrade(&state);
        metrics::EVENTS_OUTBOX_LENGTH.observed_up_down_counter(scope, move |length| {
            if let Some(state) = observed.upgrade() {
                length.observe(state.length.load(Ordering::Relaxed), &[]);
            }
        });
        let observed = Arc::downgrade(&state);
        metrics::EVENTS_OUTBOX_OLDEST_AGE.observed_gauge(scope, move |age| {
            if let Some(state) = observed.upgrade() {
                age.observe(state.oldest_age(), &[]);
            }
        });
        let (later, rows) = mpsc::channel(LATER);
        let dropped = metrics::EVENTS_OUTBOX_DROPPED.counter(scope);
        let shared = Arc::clone(&state);
        let relay = Relay::new(settings, brokers, name, shared, rows, dropped.clone());
        let inner = Inner {
            state,
            later,
            dropped,
        };
        (Self(Some(inner)), relay)
    }

    /// One that takes no events.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Writes an event in the transaction of the change that it tells of.
    ///
    /// # Errors
    /// Whatever the database says; the transaction must fail with it.
    pub fn insert(&self, connection: &mut SqliteConnection, event: &Event) -> QueryResult<Written> {
        let Some(inner) = &self.0 else {
            return Ok(Written(None));
        };
        insert(connection, &[Row::new(event)])?;
        inner.state.add(1, microseconds(event.time));
        Ok(Written(Some(Arc::clone(&inner.state))))
    }

    /// Queues an event of something that changed nothing, and returns at once. The event is
    /// written soon, together with others. It is lost if the process is killed before that. It is
    /// dropped and counted if the queue is full, or if the database is busy during a stop.
    pub fn later(&self, event: &Event) {
        let Some(inner) = &self.0 else {
            return;
        };
        if inner.later.try_send(Row::new(event)).is_err() {
            inner.dropped.add(1, &[]);
        }
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
    /// Events were added, of which the oldest happened then.
    pub(crate) fn add(&self, count: i64, time: i64) {
        self.length.fetch_add(count, Ordering::Relaxed);
        // If there is one already, that is older.
        let _ = self
            .oldest
            .compare_exchange(0, time, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// How old the oldest event is that the broker does not have, in seconds.
    fn oldest_age(&self) -> f64 {
        match self.oldest.load(Ordering::Relaxed) {
            0 => 0.0,
            oldest => (microseconds(SystemTime::now()) - oldest).max(0) as f64 / 1e6,
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(state) = &self.0 {
            state.written.notify_one();
        }
    }
}

impl Row {
    /// The event as it is stored, and the span `send TOPIC`, which the consumers' spans hang
    /// below. It is as long as this takes: for the request, the event is sent when it is in the
    /// outbox. How long the broker takes is a metric, and may be long after the trace.
    pub(crate) fn new(event: &Event) -> Self {
        let topic = event.data.topic();
        let mut span = Span::start(&event.trace, SpanKind::Producer, format!("send {topic}"));
        // The baggage is the request's, and none of the consumers' business.
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

    /// What keeps its place among others: the user, whose events stay in order, or where there is
    /// none the event itself.
    pub(crate) fn key(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.id)
    }
}

pub(crate) fn microseconds(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_micros().try_into().unwrap_or(i64::MAX)
}
