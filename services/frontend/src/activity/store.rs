//! The newest events, ordered by time.

use std::{collections::BTreeMap, sync::Arc};

use uuid::Uuid;

use super::{entry::Entry, source::Source};

/// How many events are kept and shown.
pub(crate) const KEPT: usize = 200;

/// The kept events.
///
/// Events do not arrive in the order of their times: each topic is read separately, and after a
/// start older events are read first. So there are two orders: pages use ids, streams use arrival.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) source: Source,
    pub(super) is_closed: bool,
    entries: BTreeMap<Uuid, Kept>,
    arrivals: u64,
}

#[derive(Debug)]
struct Kept {
    entry: Arc<Entry>,
    arrival: u64,
}

impl Store {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            is_closed: false,
            entries: BTreeMap::new(),
            arrivals: 0,
        }
    }

    /// Inserts an event, unless it is a duplicate, or the store is full and the event is older than
    /// all others. So an evicted event that is delivered again is ignored. Returns whether the
    /// event was inserted.
    pub(super) fn insert(&mut self, entry: Entry) -> bool {
        let id = entry.id;
        if self.entries.contains_key(&id) {
            return false;
        }
        self.arrivals += 1;
        let kept = Kept {
            entry: Arc::new(entry),
            arrival: self.arrivals,
        };
        self.entries.insert(id, kept);
        if self.entries.len() <= KEPT {
            return true;
        }
        self.entries
            .pop_first()
            .is_some_and(|(oldest, _)| oldest != id)
    }

    /// How many events have arrived.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    pub(super) fn newest(&self) -> Vec<Arc<Entry>> {
        let kept = self.entries.values().rev();
        kept.map(|kept| Arc::clone(&kept.entry)).collect()
    }

    /// The events after the first `arrival` arrivals, oldest first.
    pub(super) fn after_arrival(&self, arrival: u64) -> Vec<Arc<Entry>> {
        self.select(|_, kept| kept.arrival > arrival)
    }

    /// The events that a client may have missed after `last`, oldest first: those that arrived here
    /// after it, and those with a newer id, because the client may have got `last` from another
    /// instance. All events if `last` is unknown.
    pub(super) fn after_event(&self, last: Option<Uuid>) -> Vec<Arc<Entry>> {
        let known = last.and_then(|last| Some((last, self.entries.get(&last)?.arrival)));
        self.select(|id, kept| known.is_none_or(|(last, at)| *id > last || kept.arrival > at))
    }

    fn select(&self, wanted: impl Fn(&Uuid, &Kept) -> bool) -> Vec<Arc<Entry>> {
        let entries = self.entries.iter();
        entries
            .filter(|(id, kept)| wanted(id, kept))
            .map(|(_, kept)| Arc::clone(&kept.entry))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::{super::entry::Kind, *};

    fn entry(id: u128) -> Entry {
        Entry {
            id: Uuid::from_u128(id),
            time: SystemTime::UNIX_EPOCH,
            kind: Kind::SignedIn,
            account: None,
            trace: None,
        }
    }

    fn store(ids: impl IntoIterator<Item = u128>) -> Store {
        let mut store = Store::new(Source::Live);
        for id in ids {
            store.insert(entry(id));
        }
        store
    }

    fn ids(entries: &[Arc<Entry>]) -> Vec<u128> {
        entries.iter().map(|entry| entry.id.as_u128()).collect()
    }

    #[test]
    fn an_event_is_kept_once() {
        let mut store = store([1, 2]);
        assert!(!store.insert(entry(1)));
        assert!(store.insert(entry(3)));
        assert_eq!(ids(&store.newest()), [3, 2, 1]);
    }

    #[test]
    fn an_evicted_event_is_not_inserted_again() {
        let full = KEPT as u128;
        let mut store = store(1..=full);
        assert!(store.insert(entry(full + 1)));
        assert!(!store.insert(entry(1)));
        assert!(!store.insert(entry(0)));
        let kept = ids(&store.newest());
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0], kept[KEPT - 1]), (full + 1, 2));
    }

    #[test]
    fn missed_events_arrived_later_or_have_newer_ids() {
        let store = store([10, 30, 20]);
        let missed = |last| ids(&store.after_event(Some(Uuid::from_u128(last))));
        assert_eq!(missed(10), [20, 30]);
        assert_eq!(missed(30), [20]);
        assert_eq!(missed(20), [30]);
        assert_eq!(missed(99), [10, 20, 30]);
        assert_eq!(ids(&store.after_event(None)), [10, 20, 30]);
        assert_eq!(ids(&store.after_arrival(1)), [20, 30]);
    }
}
