//! The client of a consumer and its callbacks.

use std::sync::Arc;

use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, ConsumerContext, Rebalance, StreamConsumer},
    error::KafkaError,
};
use telemetry::Service;

use super::partitions::Partitions;
use crate::client::{self, BrokerStatus};

/// A Kafka client that receives.
pub(crate) type Client = StreamConsumer<Callbacks>;

/// The callbacks of the client. librdkafka calls them between records.
pub(crate) struct Callbacks {
    pub(crate) partitions: Arc<Partitions>,
    pub(crate) broker: Arc<BrokerStatus>,
    pub(crate) service: Service,
}

impl ClientContext for Callbacks {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        let _scope = self.service.enter();
        client::log(facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let _scope = self.service.enter();
        self.broker.statistics(&statistics);
        self.partitions.statistics(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let _scope = self.service.enter();
        self.broker.error(&error, reason);
    }
}

impl ConsumerContext for Callbacks {
    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let _scope = self.service.enter();
        match rebalance {
            Rebalance::Assign(partitions) => {
                tracing::info!(count = partitions.count(), "partitions assigned");
            }
            Rebalance::Revoke(partitions) => {
                self.partitions.forget(partitions);
                tracing::info!(count = partitions.count(), "partitions revoked");
            }
            Rebalance::Error(error) => tracing::warn!(%error, "cannot rebalance"),
        }
    }
}
