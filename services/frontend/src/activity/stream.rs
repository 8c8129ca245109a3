//! One reader of the events.

use std::{sync::Arc, time::Duration, vec};

use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::timeout,
};
use uuid::Uuid;

use super::{Entry, Source, store::Store};

/// The shortest time between two looks at the store: nobody reads faster, and however many events
/// there are, a reader takes no more than are kept.
const PACE: Duration = Duration::from_millis(200);

/// What a reader is told.
#[derive(Debug)]
pub(crate) enum News {
    Entry(Arc<Entry>),
    Source(Source),
}

/// Everything that a reader has missed, then everything that comes.
#[derive(Debug)]
pub(crate) struct Stream {
    store: watch::Receiver<Store>,
    /// How many arrivals the reader has been given, or has them in `next`.
    arrivals: u64,
    source: Source,
    next: vec::IntoIter<Arc<Entry>>,
    is_paced: bool,
    /// Given back when the reader is gone.
    _place: OwnedSemaphorePermit,
}

impl Stream {
    pub(super) fn new(
        store: watch::Receiver<Store>,
        last: Option<Uuid>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let (arrivals, missed) = {
            let store = store.borrow();
            (store.arrivals(), store.after_event(last))
        };
        Self {
            store,
            arrivals,
            // What the page said when it was asked for may have changed since.
            source: Source::Off,
            next: missed.into_iter(),
            is_paced: false,
            _place: place,
        }
    }

    /// The next to tell; nothing when the process is about to stop.
    pub(crate) async fn next(&mut self) -> Option<News> {
        loop {
            if self.store.borrow().is_closed {
                return None;
            }
            if let Some(entry) = self.next.next() {
                return Some(News::Entry(entry));
            }
            if self.is_paced {
                let closed = self.store.wait_for(|store| store.is_closed);
                // Closed or not, the next round sees it.
                let _ = timeout(PACE, closed).await;
            }
            self.is_paced = true;
            let (arrivals, source) = (self.arrivals, self.source);
            let is_news = |store: &Store| {
                store.is_closed || store.arrivals() > arrivals || store.source != source
            };
            let store = self.store.wait_for(is_news).await.ok()?;
            self.next = store.after_arrival(arrivals).into_iter();
            self.arrivals = store.arrivals();
            if store.source != source {
                self.source = store.source;
                return Some(News::Source(store.source));
            }
        }
    }
}
