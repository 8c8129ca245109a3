//! Tests of lens over the network.
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

#[cfg(target_os = "linux")]
mod abuse;
mod api;
mod cli;
mod data;
mod doctor;
mod harness;
mod server;
mod transfer;
