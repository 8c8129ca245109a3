//! The relay: sends the events of an outbox in order, and removes them when the broker has them.
//!
//! Events of a key stay in order whatever fails. The producer never gives up on a message and
//! leaves no gaps, so what the broker has of a partition is a prefix of what was sent. Whatever
//! ends a producer, the next one begins with the first event that is not known to be with the
//! broker: some come twice, and consumers drop the second.

mod session;

use std::sync::Arc;

use anyhow::{Context as _, bail};
use database::{Database, Statement};
use diesel::prelude::*;
use opentelemetry::context::FutureExt as _;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    Settings,
    client::{self, BrokerStatus},
    event::TOPICS,
    outbox::{self, Row, State},
    registry, topics,
};

use session::Session;
pub(crate) use session::WINDOW;

const INSERT: Statement = Statement::new("INSERT outbox");
const SELECT: Statement = Statement::new("SELECT outbox");

const FAILED: &str = "the relay of events failed";

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
    ///
    /// # Errors
    /// When the service fails, or the relay: then the service is cancelled, so that a supervisor
    /// restarts the process instead of leaving it without a relay.
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
        // A task of its own, so that a long turn of the relay does not hold up the service.
        let mut relay = AbortOnDropHandle::new(tokio::spawn(inner.run(database, stop.clone())));
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
        } = self;
        let broker = Arc::new(BrokerStatus::default());
        // Cancelled after the stop, when every event is in the outbox.
        let written = CancellationToken::new();
        let write = async {
            write_later(&database, &state, later, &stop).await;
            written.cancel();
        };
        let send = async {
            let stop = async {
                written.cancelled().await;
                if !broker.is_away() {
                    tokio::time::sleep(session::FLUSH).await;
                }
            };
            tokio::select! {
                () = topics::ensure(&settings, &brokers, TOPICS, &broker) => {}
                () = stop => return,
            }
            client::sessions("events cannot be sent", &written, || async {
                Session::start(&brokers, &name, &database, &state, &broker)?
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

/// Writes what [`crate::Outbox::later`] took, until the end.
async fn write_later(
    database: &Database,
    state: &Arc<State>,
    mut later: mpsc::Receiver<Row>,
    stop: &CancellationToken,
) {
    let mut rows = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            () = stop.cancelled(), if !later.is_closed() => {
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
    let quiet = opentelemetry::Context::new().with_telemetry_suppressed();
    work.with_context(quiet).await
}
