//! The brokers to choose from.

use clap::ValueEnum;

/// What events go through.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Broker {
    /// Redpanda.
    #[default]
    Redpanda,
    /// Apache Kafka.
    Kafka,
}
