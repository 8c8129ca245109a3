//! The stream of one reader.

use std::{sync::Arc, time::Duration, vec};

use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};
use uuid::Uuid;

use super::{Entry, Source, places::Place, store::Store};

/// The shortest time between two reads of the store. In a burst, a stream skips events that were
/// evicted in between, and so sends no more than the store holds.
const PACE: Duration = Duration::from_millis(200);

/// A message to a reader.
#[derive(Debug)]
pub(crate) enum News {
    Entry(Arc<Entry>),
    Source(Source),
}

/// All events that a reader has missed, then all new ones.
#[derive(Debug)]
pub(crate) struct Stream {
    store: watch::Receiver<Store>,
    /// How many arrivals the reader has got, counting those in `next`.
    arrivals: u64,
    source: Source,
    next: vec::IntoIter<Arc<Entry>>,
    is_paced: bool,
    place: Place,
}

impl Stream {
    pub(super) fn new(store: watch::Receiver<Store>, last: Option<Uuid>, place: Place) -> Self {
        let (arrivals, missed) = {
            let store = store.borrow();
            (store.arrivals(), store.after_event(last))
        };
        Self {
            store,
            arrivals,
            // The source may have changed since the page was rendered.
            source: Source::Off,
            next: missed.into_iter(),
            is_paced: false,
            place,
        }
    }

    /// The next message. `None` when the process is about to stop or the lifetime is over.
    pub(crate) async fn next(&mut self) -> Option<News> {
        loop {
            if self.store.borrow().is_closed || Instant::now() >= self.place.until() {
                return None;
            }
            if let Some(entry) = self.next.next() {
                return Some(News::Entry(entry));
            }
            if self.is_paced {
                let closed = self.store.wait_for(|store| store.is_closed);
                // The next iteration checks whether it is closed.
                let _ = timeout(PACE, closed).await;
            }
            self.is_paced = true;
            let (arrivals, source) = (self.arrivals, self.source);
            let is_news = |store: &Store| {
                store.is_closed || store.arrivals() > arrivals || store.source != source
            };
            let news = self.store.wait_for(is_news);
            let store = timeout_at(self.place.until(), news).await.ok()?.ok()?;
            self.next = store.after_arrival(arrivals).into_iter();
            self.arrivals = store.arrivals();
            if store.source != source {
                self.source = store.source;
                return Some(News::Source(store.source));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::SystemTime};

    use super::{
        super::{Kind, places::Places},
        *,
    };

    const LIFETIME: Duration = Duration::from_millis(400);

    fn open(store: &watch::Sender<Store>) -> Stream {
        let places = Arc::new(Places::new(LIFETIME));
        let place = places.take(Ipv4Addr::LOCALHOST.into()).unwrap();
        Stream::new(store.subscribe(), None, place)
    }

    #[tokio::test]
    async fn a_stream_without_news_ends_after_its_lifetime() {
        let opened = Instant::now();
        let store = watch::Sender::new(Store::new(Source::Off));
        assert!(open(&store).next().await.is_none());
        assert!(opened.elapsed() >= LIFETIME / 2);
    }

    #[tokio::test]
    async fn a_stream_that_always_has_news_ends_after_its_lifetime() {
        let opened = Instant::now();
        let store = watch::Sender::new(Store::new(Source::Live));
        let mut stream = open(&store);
        let mut count = 0;
        while stream.next().await.is_some() {
            count += 1;
            let entry = Entry {
                id: Uuid::from_u128(count),
                time: SystemTime::UNIX_EPOCH,
                kind: Kind::SignedIn,
                account: None,
                trace: None,
            };
            store.send_if_modified(|store| store.insert(entry));
        }
        assert!(opened.elapsed() >= LIFETIME / 2);
        assert!(count > 0);
    }
}
