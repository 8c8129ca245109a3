//! A broker in this process, for `otelix` and for tests: librdkafka's mock cluster.
//!
//! It keeps the last events in memory only. It also differs from Kafka in other ways: it cannot
//! create topics on request, it answers a fetch only after `fetch.wait.max.ms`, even with data, and
//! the first member of a group joins after three seconds.

use anyhow::Context as _;
use rdkafka::{
    ClientConfig,
    config::FromClientConfigAndContext as _,
    message::DeliveryResult,
    producer::{BaseProducer, Producer as _, ProducerContext},
};

use crate::{Brokers, client::Quiet, event::TOPICS, topics};

/// A broker that runs until this is dropped.
#[must_use = "the broker ends when this is dropped"]
pub struct Broker {
    // Owns the mock cluster. This client sends nothing, so nothing polls it.
    _client: BaseProducer<Quiet>,
    address: Brokers,
}

impl Broker {
    /// Starts a broker on a port that the system chooses, with the topics of the project.
    ///
    /// # Errors
    /// When no port is free, or the system cannot start a thread.
    pub fn start(partitions: u16) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", "1");
        let client = BaseProducer::from_config_and_context(&config, Quiet::new())?;
        let cluster = client.client().mock_cluster().context("no mock cluster")?;
        for topic in TOPICS {
            cluster.create_topic(topic, partitions.into(), 1)?;
            cluster.create_topic(&topics::dead_letters(topic), partitions.into(), 1)?;
        }
        let address = cluster.bootstrap_servers();
        let address: Brokers = address.parse().map_err(anyhow::Error::msg)?;
        drop(cluster);
        Ok(Self {
            _client: client,
            address,
        })
    }

    /// The address to connect to.
    #[must_use]
    pub fn address(&self) -> &Brokers {
        &self.address
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Broker")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl ProducerContext for Quiet {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: ()) {}
}
