//! The relay: sends the events of an outbox in order, and removes them when the broker has them.
//!
//! Events of a key stay in order whatever fails. The producer never gives up on a message and
//! leaves no gaps, so what the broker has of a partition is a prefix of what was sent. Whatever
//! ends a producer, the next one begins with the first event that is not known to be with the
//! broker: some come twice, and consumers drop the second.

mod session;

use std::sync::Arc;

use backon::BackoffBuilder as _;
use chassis::stop::FLUSH;
use database::{Database, Statement};
use diesel::prelude::*;
use opentelemetry::{Context, context::FutureExt as _};
use rdkafka::error::KafkaError;
use tokio::sync::{mpsc, watch};

use crate::{
    Settings,
    client::{self, Connection, ended},
    event::TOPICS,
    outbox::{self, Row, State},
    registry, topics,
};

pub(crate) use session::WINDOW;
use session::{End, Session};

const INSERT: Statement = Statement::new("INSERT outbox");
const SELECT: Statement = Statement::new("SELECT outbox");

/// Events that [`crate::Outbox::later`] took and that are written in one transaction.
const BATCH: usize = 256;

/// Sends the events of an outbox.
#[derive(Debug)]
#[must_use = "events are sent while it runs"]
pub struct Relay(Option<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    brokers: String,
    name: String,
    state: Arc<State>,
    later: mpsc::Receiver<Row>,
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
    ) -> Self {
        Self(Some(Inner {
            settings: settings.clone(),
            brokers: brokers.to_owned(),
            name: name.to_owned(),
            state,
            later,
        }))
    }

    /// Sends events while `service` runs, and then, for a few seconds at most, what is left. What
    /// the broker does not have at the end stays in the outbox until the next start.
    pub async fn during<T>(self, database: Database, service: impl Future<Output = T>) -> T {
        let Some(inner) = self.0 else {
            tracing::info!("no events are sent: KAFKA_BROKERS is not set");
            return service.await;
        };
        if let Err(error) = inner.count(&database).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "cannot count the events in the outbox");
        }
        let (stop, stopped) = watch::channel(());
        // A task of its own, as what it does takes longer than a future of many should.
        let relay = tokio::spawn(inner.run(database, stopped));
        let outcome = service.await;
        drop(stop);
        if let Err(error) = relay.await {
            tracing::error!(%error, "the relay of events failed");
        }
        outcome
    }
}

impl Inner {
    async fn run(self, database: Database, stop: watch::Receiver<()>) {
        let Self {
            settings,
            brokers,
            name,
            state,
            later,
        } = self;
        let connection = Arc::new(Connection::default());
        let (wrote, written) = watch::channel(());
        let write = async {
            write_later(&database, &state, later, stop.clone()).await;
            // Only now is everything in the outbox.
            drop(wrote);
        };
        let send = async {
            let mut written = written.clone();
            let stop = async {
                ended(&mut written).await;
                if !connection.is_away() {
                    tokio::time::sleep(FLUSH).await;
                }
            };
            tokio::select! {
                () = topics::ensure(&settings, &brokers, TOPICS, &connection) => {}
                () = stop => return,
            }
            let start = || {
                let (state, connection) = (Arc::clone(&state), Arc::clone(&connection));
                Session::start(&brokers, &name, &database, state, connection)
            };
            send(start, written).await;
        };
        let publish = async {
            let mut stop = stop.clone();
            if let Some(registry) = settings.registry() {
                tokio::select! {
                    () = registry::publish(registry, TOPICS) => {}
                    () = ended(&mut stop) => {}
                }
            }
        };
        tokio::join!(write, send, publish);
    }

    /// Counts the events that an earlier process has left.
    async fn count(&self, database: &Database) -> Result<(), database::Error> {
        let count = database.read(SELECT, |connection| {
            let events = outbox::outbox::table;
            let count = events.count().get_result(connection)?;
            let oldest = events
                .select(outbox::outbox::time)
                .order(outbox::outbox::sequence)
                .first(connection);
            Ok((count, oldest.optional()?))
        });
        let (count, oldest) = quietly(count).await?;
        self.state.add(count, oldest.unwrap_or(0));
        Ok(())
    }
}

/// Sends until the end, by one producer after the other if need be.
async fn send(start: impl Fn() -> Result<Session, KafkaError>, mut stop: watch::Receiver<()>) {
    let mut delays = client::delays().build();
    let mut is_said = false;
    loop {
        let reason = match start() {
            Ok(session) => match session.run(&mut stop).await {
                End::Stopped => return,
                End::Failed { reason, progress } => {
                    if progress {
                        delays = client::delays().build();
                        is_said = false;
                    }
                    reason
                }
            },
            Err(error) => error.to_string(),
        };
        // One that repeats itself is not said again before something went well.
        if !std::mem::replace(&mut is_said, true) {
            tracing::warn!(reason, "events cannot be sent; they are tried again");
        }
        let Some(delay) = delays.next() else { return };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = ended(&mut stop) => return,
        }
    }
}

/// Writes what [`crate::Outbox::later`] took, until the end.
async fn write_later(
    database: &Database,
    state: &Arc<State>,
    mut later: mpsc::Receiver<Row>,
    mut stop: watch::Receiver<()>,
) {
    let mut rows = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            () = ended(&mut stop), if !later.is_closed() => {
                later.close();
                continue;
            }
            count = later.recv_many(&mut rows, BATCH) => if count == 0 {
                return;
            },
        }
        let count = rows.len();
        let oldest = rows.first().map_or(0, |row| row.time);
        let batch = std::mem::replace(&mut rows, Vec::with_capacity(BATCH));
        let write = database.write(INSERT, move |connection| outbox::insert(connection, &batch));
        match quietly(write).await {
            Ok(()) => {
                state.add(count as i64, oldest);
                state.written.notify_one();
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, count, "events are lost");
            }
        }
    }
}

/// Without spans: what the relay does all the time belongs to no request. Metrics count it.
async fn quietly<T>(work: impl Future<Output = T>) -> T {
    let quiet = Context::new().with_telemetry_suppressed();
    work.with_context(quiet).await
}
