//! The load generator against fake targets in the test process, over real sockets.
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

mod fake;
mod harness;
mod load;
mod process;
