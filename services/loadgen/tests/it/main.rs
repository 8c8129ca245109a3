//! The load generator against fake targets in the test process, over real sockets.
#![expect(
    clippy::unwrap_used,
    reason = "a test may fail loudly, and so may what it is made of"
)]

mod fake;
mod harness;
mod load;
mod process;
