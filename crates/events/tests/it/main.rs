//! Events from the outbox to their handlers, over librdkafka's mock cluster.
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

mod consumer;
mod harness;
mod outbox;
mod registry;
mod relay;
mod trace;
