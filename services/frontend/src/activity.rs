//! The recent events of the Activity page, and the streams that carry new ones to browsers.
//!
//! Every instance reads all events and keeps the newest in memory. So any instance can serve any
//! browser, and resume a stream that another instance began. A slow reader must not delay other
//! readers, nor the consumer of events.

mod consumer;
mod entry;
mod places;
mod source;
pub(crate) mod sse;
mod store;
mod stream;

use std::{net::IpAddr, sync::Arc};

use telemetry::metrics::{self, Counter};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::{
    entry::{Entry, Kind},
    source::Source,
};
pub(crate) use self::{
    places::Full,
    store::KEPT,
    stream::{News, Stream},
};
use self::{places::Places, store::Store};

/// The newest events, and the streams that wait for more. Clones share them.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Readers wait for a change of the store and copy the events they lack. So there is no queue
    /// that a slow reader could fill.
    store: watch::Sender<Store>,
    places: Arc<Places>,
    refused: Counter<u64>,
}

impl Activity {
    /// An empty list.
    #[must_use]
    pub fn new(source: Source) -> Self {
        let scope = env!("CARGO_PKG_NAME");
        let places = Arc::<Places>::default();
        let observed = Arc::downgrade(&places);
        metrics::ACTIVITY_STREAMS.observed_up_down_counter(scope, move |streams| {
            if let Some(places) = observed.upgrade() {
                streams.observe(places.count() as i64, &[]);
            }
        });
        Self {
            store: watch::Sender::new(Store::new(source)),
            places,
            refused: metrics::ACTIVITY_STREAMS_REFUSED.counter(scope),
        }
    }

    /// Adds an event. Returns whether it is new: an event may be delivered more than once.
    pub fn push(&self, entry: Entry) -> bool {
        self.store.send_if_modified(|store| store.insert(entry))
    }

    /// Sets whether events can arrive.
    fn set_source(&self, source: Source) {
        self.store
            .send_if_modified(|store| std::mem::replace(&mut store.source, source) != source);
    }

    /// Ends all streams, because the process is about to stop.
    pub(crate) fn close(&self) {
        self.store.send_modify(|store| store.is_closed = true);
    }

    pub(crate) fn source(&self) -> Source {
        self.store.borrow().source
    }

    /// The kept events, newest first.
    pub(crate) fn newest(&self) -> Vec<Arc<Entry>> {
        self.store.borrow().newest()
    }

    /// Opens a stream: the events that a client may have missed after `last`, then all new ones.
    pub(crate) fn follow(&self, client: IpAddr, last: Option<Uuid>) -> Result<Stream, Full> {
        let place = self
            .places
            .take(client)
            .inspect_err(|_| self.refused.add(1, &[]))?;
        Ok(Stream::new(self.store.subscribe(), last, place))
    }
}
