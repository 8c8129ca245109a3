//! The outbox: a table that holds events until the broker acknowledges them. It is in the database
//! of the service, so that a change and its event are one transaction.
//!
//! A service that has an outbox applies [`MIGRATIONS`] beside its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use database::microseconds;
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use opentelemetry::{KeyValue, trace::SpanKind};
use telemetry::{
    metrics::{self, Counter},
    names, propagate,
    trace::{Attributes, Span},
};
use tokio::sync::{Notify, mpsc};

use crate::{Event, Relay, Settings};

/// The migrations that create the table.
pub const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// The capacity of the queue of [`Outbox::later`].
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

/// An event as it is stored: the parts of its Kafka record.
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

/// The sending side of a service's events. Clones share it.
#[derive(Clone, Debug)]
pub struct Outbox(Option<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    state: Arc<State>,
    later: mpsc::Sender<Row>,
    dropped: Counter<u64>,
}

/// State that an outbox shares with its relay.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) written: Notify,
    /// Events in the table. The relay corrects it when it has read all of them.
    pub(crate) length: AtomicI64,
    /// The time of the oldest event that is not acknowledged, in microseconds since the Unix
    /// epoch; 0 if there is none.
    pub(crate) oldest: AtomicI64,
}

/// A notification that an event was written. Return it from the transaction: dropping it wakes the
/// relay, which can only see the event after the commit.
#[derive(Debug, Default)]
#[must_use = "return it from the transaction, and call `committed` after the commit"]
pub struct Written(Option<NewEvent>);

#[derive(Debug)]
struct NewEvent {
    state: Arc<State>,
    /// When it happened, in microseconds since the Unix epoch.
    time: i64,
}

impl Outbox {
    /// The outbox of the service of this name, and its relay. Without brokers both do nothing.
    ///
    /// Call this once for each database: two relays would send each event twice.
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

    /// An outbox that ignores events.
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }

    /// Writes an event in the transaction of its change.
    ///
    /// # Errors
    /// Whatever the database says; the transaction must fail with it.
    pub fn insert(&self, connection: &mut SqliteConnection, event: &Event) -> QueryResult<Written> {
        let Some(inner) = &self.0 else {
            return Ok(Written(None));
        };
        insert(connection, &[Row::new(event)])?;
        Ok(Written(Some(NewEvent {
            state: Arc::clone(&inner.state),
            time: microseconds(event.time),
        })))
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
    /// Records that events were added; `time` is that of the oldest.
    pub(crate) fn add(&self, count: i64, time: i64) {
        self.length.fetch_add(count, Ordering::Relaxed);
        // An event that is there already is older.
        let _ = self
            .oldest
            .compare_exchange(0, time, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The age of the oldest event that is not acknowledged, in seconds.
    fn oldest_age(&self) -> f64 {
        match self.oldest.load(Ordering::Relaxed) {
            0 => 0.0,
            oldest => (microseconds(SystemTime::now()) - oldest).max(0) as f64 / 1e6,
        }
    }
}

impl Written {
    /// Counts the event, now that its transaction is committed.
    pub fn committed(self) {
        if let Some(event) = &self.0 {
            event.state.add(1, event.time);
        }
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if let Some(event) = &self.0 {
            event.state.written.notify_one();
        }
    }
}

impl Row {
    /// Converts an event, within the span `send TOPIC`, the parent of the consumers' spans. The
    /// span ends here: delivery to the broker may happen minutes later, and is measured by a
    /// metric.
    pub(crate) fn new(event: &Event) -> Self {
        let topic = event.data.topic();
        let mut span = Span::start(&event.trace, SpanKind::Producer, format!("send {topic}"));
        // Baggage belongs to the request, and does not go to consumers.
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

    /// The key of the record. Events of a user stay in order, so it is the user's id; without a
    /// user it is the event's id.
    pub(crate) fn key(&self) -> &str {
        self.subject.as_deref().unwrap_or(&self.id)
    }
}

#[cfg(test)]
mod tests {
    use database::{Database, Statement};
    use proto::events::v1::UserRegistered;

    use super::*;
    use crate::Data;

    const INSERT: Statement = Statement::new("INSERT outbox");

    #[tokio::test]
    async fn an_event_counts_once_it_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("x.db"), &[MIGRATIONS]).unwrap();
        let (outbox, _relay) = Outbox::new(&Settings::of("127.0.0.1:1").unwrap(), "test");
        let state = Arc::clone(&outbox.0.as_ref().unwrap().state);
        let insert = |is_broken: bool| {
            let outbox = outbox.clone();
            let data = Data::UserRegistered(UserRegistered::default());
            let event = Event::new("test", None, data);
            let work = move |connection: &mut SqliteConnection| {
                let written = outbox.insert(connection, &event)?;
                if is_broken {
                    return Err(diesel::result::Error::RollbackTransaction);
                }
                Ok(written)
            };
            database.write_then(INSERT, work, Written::committed)
        };
        assert!(insert(true).await.is_err());
        assert_eq!(state.length.load(Ordering::Relaxed), 0);
        assert_eq!(state.oldest.load(Ordering::Relaxed), 0);
        insert(false).await.unwrap();
        assert_eq!(state.length.load(Ordering::Relaxed), 1);
        assert_ne!(state.oldest.load(Ordering::Relaxed), 0);
    }
}
