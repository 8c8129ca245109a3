//! The user service over real gRPC. Most tests run it in the test process. Tests of signals, files
//! and logs start the program.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests and their helpers may panic"
)]

mod accounts;
mod costs;
mod crash;
mod events;
mod fields;
#[cfg(target_os = "linux")]
mod files;
mod harness;
mod instances;
mod logs;
mod overload;
mod program;
mod storage;
mod wire;
