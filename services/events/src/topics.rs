//! The topics, created where they are missing.

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

/// How long the broker may take to say which topics there are, and to create some.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much longer events are kept that could not be handled: somebody has to look at them.
const DEAD_LETTER_RETENTION: u32 = 4;

/// Where the events of a topic go that cannot be handled.
pub(crate) fn dead_letters(topic: &str) -> String {
    format!("{topic}.dlq")
}

/// Creates those of these topics that are missing, and those of their dead letters; tries until
/// the broker is there. Topics that exist stay as they are.
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
                // A broker that creates none for us may have them soon all the same.
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
    let admin = Arc::new(AdminClient::from_config_and_context(&config, Quiet)?);
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
    let new: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|(name, retention)| {
            NewTopic::new(name, partitions, TopicReplication::Fixed(replicas))
                .set("retention.ms", retention)
        })
        .collect();
    let options = AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE));
    for outcome in admin.create_topics(&new, &options).await? {
        match outcome {
            Ok(topic) => tracing::info!(topic, "topic created"),
            // Another process was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(())
}

/// Whether trying again will not help.
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
