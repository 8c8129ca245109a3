//! Inserts what an earlier run stored.

use std::{sync::Arc, time::Instant};

use super::{
    Archive, RETRY, SELECT,
    table::{self, Row},
};
use crate::{Lens, intake, state};

impl Archive {
    /// Inserts all rows, oldest first, and then the requests that arrived meanwhile.
    pub(super) async fn load(&self, lens: &Arc<Lens>) {
        let started = Instant::now();
        let Some(extent) = self.lock().load.as_ref().map(|load| load.extent) else {
            return;
        };
        let mut after = 0;
        while after < extent.last {
            let next = move |connection: &mut _| table::next(connection, after, extent.last);
            match self.database.read(SELECT, next).await {
                Ok(Some(row)) => {
                    after = row.id;
                    self.insert(lens, row).await;
                }
                Ok(None) => break,
                Err(database::Error::Busy) => tokio::time::sleep(RETRY).await,
                Err(error) => {
                    after += 1;
                    self.skip(after, &error);
                }
            }
        }
        while let Some((signal, message)) = self.next_waiting() {
            let insert = move |lens: &Lens| intake::insert_encoded(lens, signal, &message, None);
            if let Err(error) = state::insert(lens, insert).await {
                tracing::error!(error = %error, "a request cannot be decoded again");
            }
        }
        let milliseconds = started.elapsed().as_millis() as u64;
        let records = extent.records;
        tracing::info!(records, milliseconds, "loaded what an earlier run stored");
    }

    async fn insert(&self, lens: &Arc<Lens>, row: Row) {
        let (id, records) = (row.id, row.records());
        let insert = move |lens: &Lens| {
            let (signal, message) = row.unpack()?;
            let arrived = Some(row.arrived());
            anyhow::Ok(intake::insert_encoded(lens, signal, &message, arrived)?)
        };
        if let Err(error) = state::insert(lens, insert).await {
            self.skip(id, &*error);
        }
        if let Some(load) = &mut self.lock().load {
            load.done += records;
        }
    }

    fn skip(&self, id: i64, error: &dyn std::error::Error) {
        let mut state = self.lock();
        state.damaged += 1;
        // One record says it. The number is on the page.
        if state.damaged == 1 {
            tracing::warn!(id, error = %error, "a damaged chunk of an earlier run is left out");
        }
    }

    /// The next request that arrived meanwhile. If there is none, the load is over.
    fn next_waiting(&self) -> Option<(otlp::Signal, Vec<u8>)> {
        let mut state = self.lock();
        let load = state.load.as_mut()?;
        let next = load.waiting.pop_front();
        match &next {
            Some((_, message)) => load.size -= message.len(),
            None => state.load = None,
        }
        next
    }
}
