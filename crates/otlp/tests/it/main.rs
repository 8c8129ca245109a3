//! Tests of the receiver over the network.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests and their helpers may panic"
)]

mod answers;
mod conformance;
mod import;
mod pressure;
mod server;
mod stop;
