//! Events from the outbox to their handlers, over librdkafka's mock cluster.
#![expect(
    clippy::unwrap_used,
    reason = "a test may fail loudly, and so may what it is made of"
)]

mod consumer;
mod harness;
mod outbox;
mod registry;
mod relay;
mod trace;
