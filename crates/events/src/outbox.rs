//! The outbox: a table that holds events until the broker acknowledges them. It is in the database
//! of the service, so that a change and its event are one transaction.
//!
//! A service that has an outbox applies [`MIGRATIONS`](crate::MIGRATIONS) beside its own.

use std::sync::{Arc, atomic::Ordering};

use database::microseconds;
use diesel::prelude::*;
use telemetry::metrics::{self, Counter};
use tokio::sync::mpsc;

use crate::{
    Event, Relay, Settings,
    table::{self, Row, State},
};

/// The capacity of the queue of [`Outbox::later`].
const LATER: usize = 1024;

/// The outbox of a service, which takes its events. Clones share it.
#[derive(Clone, Debug)]
pub struct Outbox(Option<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    state: Arc<State>,
    later: mpsc::Sender<Row>,
    dropped: Counter<u64>,
}

/// A notification that an event was written. Return it from the transaction, because dropping it wakes
/// the relay, which can see the event only after the commit.
#[derive(Debug, Default)]
#[must_use = "return it from the transaction and call `committed` after the commit"]
pub struct Written(Option<NewEvent>);

#[derive(Debug)]
struct NewEvent {
    state: Arc<State>,
    /// The time of the event, in microseconds since the Unix epoch.
    time: i64,
}

impl Outbox {
    /// The outbox of the service of this name, and its relay. Without brokers, both do nothing.
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
    /// When the database fails. The transaction must fail with that error.
    pub fn insert(&self, connection: &mut SqliteConnection, event: &Event) -> QueryResult<Written> {
        let Some(inner) = &self.0 else {
            return Ok(Written(None));
        };
        table::insert(connection, &[Row::new(event)])?;
        Ok(Written(Some(NewEvent {
            state: Arc::clone(&inner.state),
            time: microseconds(event.time),
        })))
    }

    /// Queues an event that belongs to no change, such as a failed sign-in, and returns at once. The
    /// event is written soon, in a batch. It is lost if the process is killed before that. It is
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

impl Written {
    /// Counts the event. Call it after the commit of its transaction.
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

#[cfg(test)]
mod tests {
    use database::{Database, Statement};
    use proto::events::v1::UserRegistered;

    use super::*;
    use crate::{Data, MIGRATIONS};

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
