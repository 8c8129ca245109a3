//! Tests of exemplars with the real SDK, up to the message that an exporter would send.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests and their helpers may panic"
)]

mod context;
mod harness;
mod limits;
mod placing;
mod temporality;
