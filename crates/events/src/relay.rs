//! The relay: sends the events of an outbox in order, and deletes those that the broker
//! acknowledges.
//!
//! Events of a key stay in order when the producer or the broker fails. The producer never gives
//! up on a message and leaves no gaps, so the broker has a prefix of the events that were sent to a
//! partition. The next producer begins with the first event that is not acknowledged. So some events
//! are sent twice, and consumers deduplicate.

mod dispatcher;
mod queries;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use backon::BackoffBuilder as _;
use chassis::stop::FLUSH;
use database::Database;
use diesel::prelude::*;
use telemetry::{Service, metrics::Counter};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    Settings,
    client::{self, BrokerStatus},
    event::TOPICS,
    registry,
    table::{self, Row, State},
    topics,
};

use dispatcher::Dispatcher;
pub(crate) use dispatcher::WINDOW;
use queries::{INSERT, SELECT, quietly};

const FAILED: &str = "the relay of events failed";

/// Maximum number of events of [`crate::Outbox::later`] that are written in one transaction.
const BATCH: usize = 256;

/// The sender of an outbox's events.
#[derive(Debug)]
#[must_use = "events are sent only while it runs"]
pub struct Relay(Option<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    brokers: String,
    name: String,
    state: Arc<State>,
    later: mpsc::Receiver<Row>,
    dropped: Counter<u64>,
}

impl Relay {
    pub(crate) fn none() -> Self {
        Self(None)
    }

    pub(crate) fn new(
        settings: &Settings,
        brokers: &str,
        name: &str,
        state: Arc<State>,
        later: mpsc::Receiver<Row>,
        dropped: Counter<u64>,
    ) -> Self {
        Self(Some(Inner {
            settings: settings.clone(),
            brokers: brokers.to_owned(),
            name: name.to_owned(),
            state,
            later,
            dropped,
        }))
    }

    /// Sends events while `service` runs, and then the remaining ones, for a few seconds at most.
    /// Events that the broker has not acknowledged by then stay in the outbox until the next start.
    ///
    /// # Errors
    /// When the service or the relay fails. If the relay fails, the service is cancelled, so that a
    /// supervisor restarts the process.
    pub async fn during<T>(
        self,
        database: Database,
        service: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let Some(inner) = self.0 else {
            tracing::info!("no events are sent: KAFKA_BROKERS is not set");
            return service.await;
        };
        if let Err(error) = inner.count(&database).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "cannot count the events in the outbox");
        }
        let stop = CancellationToken::new();
        // The relay has its own task, so that a long poll of it does not delay the service.
        let work = Service::current().run(inner.run(database, stop.clone()));
        let mut relay = AbortOnDropHandle::new(tokio::spawn(work));
        let outcome = tokio::select! {
            outcome = service => outcome,
            ended = &mut relay => {
                ended.context(FAILED)?;
                bail!("{FAILED}: it ended before the service");
            }
        };
        stop.cancel();
        let ended = relay.await;
        let value = outcome?;
        ended.context(FAILED)?;
        Ok(value)
    }
}

impl Inner {
    async fn run(self, database: Database, stop: CancellationToken) {
        let Self {
            settings,
            brokers,
            name,
            state,
            later,
            dropped,
        } = self;
        let broker = Arc::new(BrokerStatus::default());
        // Cancelled after the stop, once every event is in the outbox.
        let written = CancellationToken::new();
        let write = async {
            let lost = write_later(&database, &state, later, &stop).await;
            dropped.add(lost, &[]);
            written.cancel();
        };
        let send = async {
            let stop = async {
                written.cancelled().await;
                if !broker.is_away() {
                    tokio::time::sleep(FLUSH).await;
                }
            };
            tokio::select! {
                () = topics::ensure(&settings, &brokers, TOPICS, &broker) => {}
                () = stop => return,
            }
            client::supervise("events cannot be sent", &written, || async {
                Dispatcher::start(&brokers, &name, &database, &state, &broker)?
                    .run(&written)
                    .await
            })
            .await;
        };
        let publish = async {
            if let Some(registry) = settings.registry() {
                tokio::select! {
                    () = registry::publish(registry, TOPICS) => {}
                    () = stop.cancelled() => {}
                }
            }
        };
        tokio::join!(write, send, publish);
    }

    /// Counts the events of earlier processes in the outbox.
    async fn count(&self, database: &Database) -> Result<(), database::Error> {
        let count = database.read(SELECT, |connection| {
            let events = table::outbox::table;
            let count = events.count().get_result(connection)?;
            let oldest = events
                .select(table::outbox::time)
                .order(table::outbox::sequence)
                .first(connection);
            Ok((count, oldest.optional()?))
        });
        let (count, oldest) = quietly(count).await?;
        self.state.add(count, oldest.unwrap_or(0));
        Ok(())
    }
}

/// Writes the events of [`crate::Outbox::later`] until the stop, and then the remaining ones.
/// Returns the number of lost events.
async fn write_later(
    database: &Database,
    state: &State,
    mut later: mpsc::Receiver<Row>,
    stop: &CancellationToken,
) -> u64 {
    loop {
        let mut rows = Vec::with_capacity(BATCH);
        tokio::select! {
            () = stop.cancelled(), if !later.is_closed() => {
                later.close();
                continue;
            }
            count = later.recv_many(&mut rows, BATCH) => if count == 0 {
                return 0;
            },
        }
        let rows: Arc<[Row]> = rows.into();
        if let Err(error) = write_batch(database, &rows, stop).await {
            // The other writes would fail too, and the stop has a deadline.
            later.close();
            let mut lost = rows.len() as u64;
            while later.recv().await.is_some() {
                lost += 1;
            }
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                count = lost,
                "failed sign-ins have no event: cannot write to the outbox"
            );
            return lost;
        }
        let oldest = rows.first().map_or(0, |row| row.time);
        state.add(rows.len() as i64, oldest);
        state.written.notify_one();
    }
}

/// Writes these events, with retries until it succeeds. After the stop, there is one attempt.
async fn write_batch(
    database: &Database,
    rows: &Arc<[Row]>,
    stop: &CancellationToken,
) -> Result<(), database::Error> {
    let mut delays = client::delays().build();
    let mut is_logged = false;
    loop {
        let batch = Arc::clone(rows);
        let write = database.write(INSERT, move |connection| table::insert(connection, &batch));
        let Err(error) = quietly(write).await else {
            return Ok(());
        };
        if stop.is_cancelled() {
            return Err(error);
        }
        if !std::mem::replace(&mut is_logged, true) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot write events to the outbox; retrying");
        }
        tokio::select! {
            () = tokio::time::sleep(delays.next().unwrap_or_default()) => {}
            () = stop.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use diesel::{QueryableByName, connection::SimpleConnection as _, sql_types::BigInt};
    use proto::events::v1::LoginFailed;

    use super::*;
    use crate::{Data, Event, MIGRATIONS};

    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }

    async fn execute(database: &Database, sql: &'static str) {
        let write = database.write(INSERT, move |connection| connection.batch_execute(sql));
        write.await.unwrap();
    }

    async fn length(database: &Database) -> i64 {
        let read = database.read(SELECT, |connection| {
            let query = "SELECT count(*) AS count FROM outbox";
            diesel::sql_query(query).get_result::<Count>(connection)
        });
        read.await.unwrap().count
    }

    /// A database that refuses events as a busy one does, and a queue with `events` events.
    async fn busy(
        events: usize,
    ) -> (
        tempfile::TempDir,
        Database,
        mpsc::Sender<Row>,
        mpsc::Receiver<Row>,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("test.db"), &[MIGRATIONS]).unwrap();
        let refuse = "CREATE TRIGGER busy BEFORE INSERT ON outbox
            BEGIN SELECT RAISE(ABORT, 'the database is locked'); END";
        execute(&database, refuse).await;
        let (sender, receiver) = mpsc::channel(events);
        for _ in 0..events {
            let event = Event::new("test", None, Data::LoginFailed(LoginFailed::default()));
            sender.try_send(Row::new(&event)).unwrap();
        }
        (folder, database, sender, receiver)
    }

    /// Deadline of each wait.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn events_that_a_busy_database_refuses_are_written_when_it_is_free() {
        let (_folder, database, sender, receiver) = busy(300).await;
        let (state, stop) = (State::default(), CancellationToken::new());
        let free = async {
            // Waits until the first batch is taken for its first attempt.
            while sender.capacity() == 0 {
                tokio::task::yield_now().await;
            }
            // The database has one writer, so this runs after that attempt has failed.
            execute(&database, "DROP TRIGGER busy").await;
            while length(&database).await < 300 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stop.cancel();
        };
        let write = write_later(&database, &state, receiver, &stop);
        let both = async { tokio::join!(write, free) };
        let (lost, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
        assert_eq!(lost, 0);
        assert_eq!(state.length.load(std::sync::atomic::Ordering::Relaxed), 300);
    }

    #[tokio::test]
    async fn events_that_a_busy_database_refuses_after_the_stop_are_counted_as_lost() {
        let (_folder, database, _sender, receiver) = busy(300).await;
        let (state, stop) = (State::default(), CancellationToken::new());
        stop.cancel();
        assert_eq!(write_later(&database, &state, receiver, &stop).await, 300);
        assert_eq!(length(&database).await, 0);
    }
}
