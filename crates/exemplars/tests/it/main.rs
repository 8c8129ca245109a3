//! Exemplars beside the real SDK, up to the message that an exporter would send.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and so may what it is made of"
)]

mod context;
mod harness;
mod limits;
mod placing;
mod temporality;
