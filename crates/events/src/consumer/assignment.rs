//! Assignment of partitions and start offsets to a client.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};

use super::callbacks::Client;
use crate::client;

/// Deadline of a request to the broker.
const PATIENCE: Duration = Duration::from_secs(5);

/// Interval of metadata requests while a topic is missing.
const RETRY: Duration = Duration::from_millis(250);

/// Interval of metadata requests that look for added partitions.
const REFRESH: Duration = Duration::from_secs(30);

type Partition = (String, i32);

/// Assigns all partitions of these topics to the client. The first partitions begin with their last
/// events, and partitions that are added later with their oldest.
pub(crate) async fn assign_all(
    client: &Arc<Client>,
    topics: &[&str],
    last: u32,
) -> Result<(), KafkaError> {
    let mut known = BTreeSet::new();
    loop {
        let found = partitions(client, topics).await.unwrap_or_default();
        let mut added = TopicPartitionList::new();
        for (topic, partition) in found.difference(&known) {
            let is_later = known.iter().any(|(known, _)| known == topic);
            let offset = match last {
                _ if is_later => Offset::Beginning,
                0 => Offset::End,
                last => Offset::OffsetTail(last.into()),
            };
            added.add_partition_offset(topic, *partition, offset)?;
        }
        if added.count() > 0 {
            client.incremental_assign(&added)?;
            tracing::debug!(count = added.count(), "partitions assigned");
        }
        known.extend(found);
        let topics_found: HashSet<&str> = known.iter().map(|(topic, _)| topic.as_str()).collect();
        let is_complete = topics_found.len() == topics.len();
        tokio::time::sleep(if is_complete { REFRESH } else { RETRY }).await;
    }
}

/// Sets the start of a new group: commits the position `last` events before the end, in partitions
/// without a committed offset. Retries until the broker answers. If the group has other members, the
/// broker refuses this commit, because they have set the positions already.
///
/// # Errors
/// When the broker refuses the commit for any other reason. The group must not begin with the
/// default position then.
pub(crate) async fn begin(
    client: &Arc<Client>,
    topics: &[&str],
    last: u32,
) -> Result<(), KafkaError> {
    loop {
        let found = partitions(client, topics).await;
        if let Ok(found) = found
            && !found.is_empty()
        {
            let asked = Arc::clone(client);
            let outcome = client::blocking(move || commit_tail(&asked, &found, last)).await;
            match outcome {
                Ok(()) => return Ok(()),
                Err(KafkaError::ConsumerCommit(
                    RDKafkaErrorCode::UnknownMemberId
                    | RDKafkaErrorCode::IllegalGeneration
                    | RDKafkaErrorCode::RebalanceInProgress,
                )) => {
                    tracing::debug!("the group has begun already");
                    return Ok(());
                }
                Err(error @ KafkaError::ConsumerCommit(_)) => return Err(error),
                Err(error) => tracing::debug!(%error, "cannot set the start of the group yet"),
            }
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn commit_tail(client: &Client, found: &BTreeSet<Partition>, last: u32) -> KafkaResult<()> {
    let mut wanted = TopicPartitionList::new();
    for (topic, partition) in found {
        wanted.add_partition(topic, *partition);
    }
    let committed = client.committed_offsets(wanted, PATIENCE)?;
    let mut begin = TopicPartitionList::new();
    for element in committed.elements() {
        if element.offset() == Offset::Invalid {
            let (topic, partition) = (element.topic(), element.partition());
            let (first, end) = client.fetch_watermarks(topic, partition, PATIENCE)?;
            let offset = Offset::Offset((end - i64::from(last)).max(first));
            begin.add_partition_offset(topic, partition, offset)?;
        }
    }
    if begin.count() > 0 {
        client.commit(&begin, CommitMode::Sync)?;
    }
    Ok(())
}

/// The partitions of these topics; a topic that does not exist has none.
async fn partitions(client: &Arc<Client>, topics: &[&str]) -> KafkaResult<BTreeSet<Partition>> {
    let client = Arc::clone(client);
    let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
    client::blocking(move || {
        let mut found = BTreeSet::new();
        for name in topics {
            let metadata = client.fetch_metadata(Some(&name), PATIENCE)?;
            for topic in metadata
                .topics()
                .iter()
                .filter(|topic| topic.error().is_none())
            {
                let partitions = topic.partitions().iter();
                found.extend(partitions.map(|partition| (name.clone(), partition.id())));
            }
        }
        Ok(found)
    })
    .await
}
