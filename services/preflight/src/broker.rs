//! The supported brokers.

use clap::ValueEnum;

/// The broker of the stack.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Broker {
    /// Redpanda.
    #[default]
    Redpanda,
    /// Apache Kafka.
    Kafka,
}
