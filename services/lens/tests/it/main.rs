//! Tests of lens over the network.
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

mod api;
mod cli;
mod server;
mod transfer;
