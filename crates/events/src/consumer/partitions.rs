//! The partitions of a consumer: the ids of recently handled events, and the lag.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rdkafka::{Statistics, TopicPartitionList};
use telemetry::{KeyValue, metrics, names};
use uuid::Uuid;

use crate::relay::WINDOW;

/// Number of ids that are kept for each partition: more than a relay can resend after a failure.
const MEMORY: usize = 2 * WINDOW;

/// The partitions of a consumer. Callbacks on other threads use it too.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    topics: Mutex<HashMap<String, HashMap<i32, Partition>>>,
}

#[derive(Debug, Default)]
struct Partition {
    known: HashSet<Uuid>,
    /// The same ids, oldest first.
    order: VecDeque<Uuid>,
    /// The offset after the last record that was handled.
    next: Option<i64>,
    /// The offset after the last record of the partition, as of the last report.
    end: Option<i64>,
}

impl Partitions {
    /// An empty set of partitions. It registers the metric of their lags, so call it once for each
    /// consumer, and not for each of its clients.
    pub(crate) fn start(group: Option<&str>) -> Arc<Self> {
        let partitions = Arc::new(Self::default());
        let observed = Arc::downgrade(&partitions);
        let group = group
            .map(|group| KeyValue::new(names::MESSAGING_CONSUMER_GROUP_NAME, group.to_owned()));
        metrics::EVENTS_CONSUMER_LAG.observed_up_down_counter(env!("CARGO_PKG_NAME"), move |lag| {
            let Some(partitions) = observed.upgrade() else {
                return;
            };
            for (topic, partition, events) in partitions.lags() {
                let mut attributes = vec![
                    KeyValue::new(names::MESSAGING_DESTINATION_NAME, topic),
                    KeyValue::new(
                        names::MESSAGING_DESTINATION_PARTITION_ID,
                        partition.to_string(),
                    ),
                ];
                attributes.extend(group.clone());
                lag.observe(events, &attributes);
            }
        });
        partitions
    }

    /// Whether an event was handled before.
    pub(crate) fn knows(&self, topic: &str, partition: i32, id: Uuid) -> bool {
        let topics = self.lock();
        let partition = topics.get(topic).and_then(|topic| topic.get(&partition));
        partition.is_some_and(|partition| partition.known.contains(&id))
    }

    /// Records that the record at this offset was handled; `id` is that of its event.
    pub(crate) fn handled(&self, topic: &str, partition: i32, offset: i64, id: Option<Uuid>) {
        let mut topics = self.lock();
        if !topics.contains_key(topic) {
            topics.insert(topic.to_owned(), HashMap::new());
        }
        let Some(topic) = topics.get_mut(topic) else {
            return;
        };
        let partition = topic.entry(partition).or_default();
        partition.next = Some(offset + 1);
        partition.end = partition.end.max(partition.next);
        if let Some(id) = id
            && partition.known.insert(id)
        {
            partition.order.push_back(id);
            if partition.order.len() > MEMORY
                && let Some(oldest) = partition.order.pop_front()
            {
                partition.known.remove(&oldest);
            }
        }
    }

    /// Forgets all partitions.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    /// Forgets partitions that were revoked.
    pub(crate) fn forget(&self, revoked: &TopicPartitionList) {
        let mut topics = self.lock();
        for element in revoked.elements() {
            if let Some(topic) = topics.get_mut(element.topic()) {
                topic.remove(&element.partition());
            }
        }
    }

    /// Records the ends of the partitions from the statistics of a client.
    pub(crate) fn statistics(&self, statistics: &Statistics) {
        let mut topics = self.lock();
        for (name, topic) in &statistics.topics {
            let Some(known) = topics.get_mut(name) else {
                continue;
            };
            for (number, partition) in &topic.partitions {
                if let Some(known) = known.get_mut(number)
                    && partition.hi_offset >= 0
                {
                    known.end = known.end.max(Some(partition.hi_offset));
                }
            }
        }
    }

    fn lags(&self) -> Vec<(String, i32, i64)> {
        let topics = self.lock();
        let mut lags = Vec::new();
        for (name, topic) in topics.iter() {
            for (number, partition) in topic {
                if let (Some(next), Some(end)) = (partition.next, partition.end) {
                    // The reported end may be older than the last handled record.
                    lags.push((name.clone(), *number, (end - next).max(0)));
                }
            }
        }
        lags
    }

    /// Locks the partitions. A poisoned lock is safe to use: no code under it leaves the map half changed.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<i32, Partition>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_ids_are_evicted() {
        let partitions = Partitions::default();
        let ids: Vec<Uuid> = (0..=MEMORY).map(|_| Uuid::now_v7()).collect();
        for (offset, id) in ids.iter().enumerate() {
            partitions.handled("a", 0, offset as i64, Some(*id));
        }
        assert!(!partitions.knows("a", 0, ids[0]));
        assert!(partitions.knows("a", 0, ids[1]));
        assert!(partitions.knows("a", 0, ids[MEMORY]));
        assert!(!partitions.knows("a", 1, ids[MEMORY]));
        assert!(!partitions.knows("b", 0, ids[MEMORY]));
    }

    #[test]
    fn a_revoked_partition_is_forgotten() {
        let partitions = Partitions::default();
        let id = Uuid::now_v7();
        partitions.handled("a", 0, 0, Some(id));
        partitions.handled("a", 1, 0, Some(id));
        let mut revoked = TopicPartitionList::new();
        revoked.add_partition("a", 0);
        partitions.forget(&revoked);
        assert!(!partitions.knows("a", 0, id));
        assert!(partitions.knows("a", 1, id));
    }
}
