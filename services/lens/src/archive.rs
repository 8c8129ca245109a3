//! Keeps telemetry over restarts, in an SQLite file.
//!
//! Accepted requests are appended to a chunk of their signal. A chunk that is full or old is compressed and becomes a
//! row. At the start, the rows are inserted in the order of their arrival, while pages are served. Requests that arrive
//! meanwhile wait, so that the order of arrival decides what is evicted from memory first.
//!
//! The memory for what waits is bounded. If the disk is slower than the intake, the oldest chunks are dropped and
//! counted. If more requests arrive during the load than may wait, they are inserted at once.

mod load;
mod queue;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fmt, future,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use chassis::stop::FLUSH;
use database::{Database, Statement};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use otlp::Signal;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, sleep_until},
};

use self::{
    queue::{Chunk, Queue},
    table::{Extent, Row},
};
use crate::Lens;

const MIGRATIONS: &[EmbeddedMigrations] = &[embed_migrations!()];

const INSERT: Statement = Statement::new("INSERT chunks");
const SELECT: Statement = Statement::new("SELECT chunks");

/// The name of the file in the data folder.
const FILE: &str = "lens.db";

/// Maximum size of a full chunk, in bytes.
const CHUNK: usize = 4 << 20;

/// Time after which a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Keeps telemetry over restarts.
#[derive(Debug)]
pub struct Archive {
    database: Database,
    /// Maximum size of the file, in bytes.
    limit: u64,
    state: Mutex<State>,
    /// Tells the writer of chunks.
    changed: Notify,
    /// Becomes true at the stop.
    closed: watch::Sender<bool>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    /// `None` once everything is loaded.
    load: Option<Load>,
    failure: Option<Failure>,
    damaged: u64,
    size: u64,
}

/// The chunks of an earlier run that are not loaded yet.
#[derive(Debug)]
struct Load {
    extent: Extent,
    /// Number of loaded records.
    done: u64,
    /// Requests that arrived meanwhile, oldest first.
    waiting: VecDeque<(Signal, Vec<u8>)>,
    /// Size of these requests, in bytes.
    size: usize,
    /// Maximum size of these requests, in bytes.
    limit: usize,
}

/// How the archive is.
#[derive(Clone, Debug)]
pub struct Status {
    /// The load that is under way.
    pub loading: Option<Loading>,
    /// Why telemetry is not saved now.
    pub failure: Option<Failure>,
    /// Number of records that were not saved since the start, because writes failed or the disk was slow.
    pub dropped: u64,
    /// Number of damaged chunks that were not loaded.
    pub damaged: u64,
    /// Size of the file, in bytes.
    pub size: u64,
    /// Maximum size of the file, in bytes.
    pub limit: u64,
}

/// How much is loaded of what an earlier run stored. `Display` writes it for a header: `1200/606718`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Loading {
    /// Number of loaded records.
    pub done: u64,
    /// Number of all records.
    pub total: u64,
}

/// Why telemetry is not saved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The error of SQLite.
    pub reason: String,
    /// Time of the first failed write.
    pub since: SystemTime,
}

impl State {
    fn loading(&self) -> Option<Loading> {
        self.load.as_ref().map(|load| Loading {
            done: load.done,
            total: load.extent.records.try_into().unwrap_or_default(),
        })
    }
}

impl fmt::Display for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.done, self.total)
    }
}

/// Loads what an earlier run stored, and saves what arrives, until the archive is closed.
pub(crate) async fn keep(lens: &Arc<Lens>) {
    if let Some(archive) = &lens.archive {
        let load = async {
            tokio::select! {
                () = archive.load(lens) => {}
                () = lens.stopped() => {}
            }
        };
        tokio::join!(load, archive.save());
    }
}

impl Archive {
    /// Opens the file in this folder, or creates both. `memory` is the memory for telemetry, in bytes.
    ///
    /// # Errors
    /// When the file cannot be written, is in use by another process, or is not one of this version of lens.
    pub(crate) async fn open(folder: &Path, memory: usize) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        tracing::info!(path = %path.display(), "opening the database");
        let open = move || Database::open_recent(&path, MIGRATIONS);
        let database = telemetry::spawn_blocking(open).await?;
        let (extent, size) = database
            .read(SELECT, table::extent)
            .await
            .context("cannot read the database of an earlier run")?;
        let waiting = memory / 8;
        Ok(Self {
            database,
            limit: memory as u64,
            state: Mutex::new(State {
                queue: Queue::new(CHUNK.min(waiting / 8), waiting),
                load: Some(Load {
                    extent,
                    done: 0,
                    waiting: VecDeque::new(),
                    size: 0,
                    limit: waiting,
                }),
                failure: None,
                damaged: 0,
                size,
            }),
            changed: Notify::new(),
            closed: watch::Sender::new(false),
        })
    }

    /// How the archive is.
    pub fn status(&self) -> Status {
        let state = self.lock();
        Status {
            loading: state.loading(),
            failure: state.failure.clone(),
            dropped: state.queue.dropped,
            damaged: state.damaged,
            size: state.size,
            limit: self.limit,
        }
    }

    /// The load that is under way.
    pub(crate) fn loading(&self) -> Option<Loading> {
        self.lock().loading()
    }

    /// Takes a request that is not inserted yet, unless the load is over or too many requests wait. The load inserts
    /// it later, so its client does not learn whether data points are rejected.
    pub(crate) fn defer(
        &self,
        signal: Signal,
        records: u64,
        message: Vec<u8>,
    ) -> Result<(), Vec<u8>> {
        let mut state = self.lock();
        let Some(load) = &mut state.load else {
            return Err(message);
        };
        if load.size + message.len() > load.limit {
            return Err(message);
        }
        self.add(&mut state, signal, records, &message);
        if let Some(load) = &mut state.load {
            load.size += message.len();
            load.waiting.push_back((signal, message));
        }
        Ok(())
    }

    /// Takes a request that has been inserted.
    pub(crate) fn append(&self, signal: Signal, records: u64, message: &[u8]) {
        self.add(&mut self.lock(), signal, records, message);
    }

    fn add(&self, state: &mut State, signal: Signal, records: u64, message: &[u8]) {
        let now = Instant::now();
        if state.queue.append(signal, records, message, now) {
            self.changed.notify_one();
        }
    }

    /// Ends [`keep`] once all chunks are written, or the time that a stop has for it is over.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Writes chunks until the archive is closed, and then the rest.
    async fn save(&self) {
        let save = async {
            while let Some(chunk) = self.next_chunk().await {
                self.write(chunk).await;
            }
            true
        };
        let late = async {
            self.closing().await;
            sleep(FLUSH).await;
            false
        };
        let is_complete = tokio::select! {
            is_complete = save => is_complete,
            is_complete = late => is_complete,
        };
        let mut state = self.lock();
        let dropped = state.queue.clear();
        if !is_complete {
            tracing::warn!(dropped, "the disk is too slow to save the newest telemetry");
        } else if let Some(failure) = &state.failure {
            let dropped = state.queue.dropped;
            tracing::error!(
                dropped,
                error = failure.reason,
                "the newest telemetry is not saved"
            );
        }
    }

    /// Waits for a chunk that is full or due. After the close, every chunk is due; `None` if there is none.
    async fn next_chunk(&self) -> Option<Chunk> {
        loop {
            let is_closed = *self.closed.borrow();
            let (chunk, due) = {
                let queue = &mut self.lock().queue;
                (queue.take(Instant::now(), is_closed), queue.due())
            };
            if chunk.is_some() || is_closed {
                return chunk;
            }
            let due = async {
                match due {
                    Some(due) => sleep_until(due.into()).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = due => {}
                () = self.closing() => {}
            }
        }
    }

    /// Ends when the archive is closed.
    async fn closing(&self) {
        // The sender lives as long as `self`.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Writes a chunk. Tries again as long as that fails, except at the stop.
    async fn write(&self, chunk: Chunk) {
        let records = chunk.records;
        let row = telemetry::spawn_blocking(move || Row::pack(&chunk, SystemTime::now())).await;
        let row = Arc::new(row);
        loop {
            let (written, limit) = (Arc::clone(&row), self.limit);
            let insert = move |connection: &mut _| table::insert(connection, &written, limit);
            match self.database.write(INSERT, insert).await {
                Ok(size) => return self.succeeded(size),
                Err(error) => self.failed(&error),
            }
            if *self.closed.borrow() {
                self.lock().queue.dropped += records;
                return;
            }
            tokio::select! {
                () = sleep(RETRY) => {}
                () = self.closing() => {}
            }
        }
    }

    fn succeeded(&self, size: u64) {
        let mut state = self.lock();
        state.size = size;
        if state.failure.take().is_some() {
            let dropped = state.queue.dropped;
            tracing::info!(dropped, "telemetry is saved again");
        }
    }

    fn failed(&self, error: &database::Error) {
        let mut state = self.lock();
        if state.failure.is_some() {
            return;
        }
        let reason = match error {
            database::Error::Failed(source) => source.to_string(),
            error => error.to_string(),
        };
        tracing::error!(
            error = reason,
            "telemetry is not saved; writes are tried again"
        );
        state.failure = Some(Failure {
            reason,
            since: SystemTime::now(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
