//! The user service over real gRPC: in this process where that says as much, and as a process
//! of its own where signals, files and logs matter.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and so may what it is made of"
)]

mod accounts;
mod costs;
mod crash;
mod events;
mod fields;
#[cfg(target_os = "linux")]
mod files;
mod harness;
mod logs;
mod overload;
mod program;
mod storage;
mod wire;
