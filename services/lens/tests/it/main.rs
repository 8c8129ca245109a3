//! Tests of lens over the network.
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

mod api;
mod cli;
mod data;
mod harness;
mod server;
mod transfer;
