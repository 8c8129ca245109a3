//! Creation of missing topics.

use std::{sync::Arc, time::Duration};

use backon::BackoffBuilder as _;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    config::FromClientConfigAndContext as _,
    error::KafkaError,
    types::RDKafkaErrorCode,
};

use crate::{
    Settings,
    client::{self, BrokerStatus, Quiet},
};

/// Deadline of a request to the broker.
const PATIENCE: Duration = Duration::from_secs(5);

/// Factor by which dead letters are kept longer than events, since an operator has to look at them.
const DEAD_LETTER_RETENTION: u32 = 4;

/// The topic of the dead letters of a topic.
pub(crate) fn dead_letters(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// Creates the missing ones of these topics and of their dead letters. Retries until the
/// broker answers. Existing topics are not changed.
pub(crate) async fn ensure(
    settings: &Settings,
    brokers: &str,
    topics: &[&str],
    broker: &BrokerStatus,
) {
    let mut delays = client::delays().build();
    let mut is_said = false;
    loop {
        match create(settings, brokers, topics).await {
            Ok(()) => return broker.back(),
            Err(error @ KafkaError::MetadataFetch(_)) => broker.lost(&error.to_string()),
            Err(error) => {
                let is_final = is_final(&error);
                if is_final || !std::mem::replace(&mut is_said, true) {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "cannot create topics");
                }
                // An operator may create the topics.
                if is_final {
                    return;
                }
            }
        }
        tokio::time::sleep(delays.next().unwrap_or(PATIENCE)).await;
    }
}

async fn create(settings: &Settings, brokers: &str, topics: &[&str]) -> Result<(), KafkaError> {
    let config = client::config(brokers, "topics");
    let admin = Arc::new(AdminClient::from_config_and_context(&config, Quiet::new())?);
    let outcome = create_with(&admin, settings, topics).await;
    client::close(admin).await;
    outcome
}

async fn create_with(
    admin: &Arc<AdminClient<Quiet>>,
    settings: &Settings,
    topics: &[&str],
) -> Result<(), KafkaError> {
    let asked = Arc::clone(admin);
    let metadata = client::blocking(move || asked.inner().fetch_metadata(None, PATIENCE)).await?;
    let exists = |name: &str| metadata.topics().iter().any(|topic| topic.name() == name);

    let kept = settings.kafka_retention.as_millis();
    let kept_dead = settings
        .kafka_retention
        .saturating_mul(DEAD_LETTER_RETENTION)
        .as_millis();
    let missing: Vec<(String, String)> = topics
        .iter()
        .flat_map(|topic| {
            [
                ((*topic).to_owned(), kept.to_string()),
                (dead_letters(topic), kept_dead.to_string()),
            ]
        })
        .filter(|(name, _)| !exists(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }

    let partitions = settings.kafka_partitions.into();
    let replicas = settings.kafka_replication_factor.into();
    let in_sync = settings.min_insync_replicas().to_string();
    let new: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|(name, retention)| {
            NewTopic::new(name, partitions, TopicReplication::Fixed(replicas))
                .set("retention.ms", retention)
                .set("min.insync.replicas", &in_sync)
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE));
    for outcome in admin.create_topics(&new, &options).await? {
        match outcome {
            Ok(topic) => tracing::info!(topic, "topic created"),
            // Another process has created it.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(())
}

/// Whether retries cannot help.
fn is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnsupportedFeature
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::PolicyViolation
                | RDKafkaErrorCode::InvalidConfig
        )
    )
}
