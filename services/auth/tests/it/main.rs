//! The auth service over real gRPC. Behind it is the real user service, or a fake for failures
//! that the real one cannot produce on demand.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests and their helpers may panic"
)]

mod events;
mod fake;
mod flood;
mod harness;
mod limits;
mod program;
mod refusals;
mod secrets;
mod sessions;
mod storage;
mod tokens;
mod users;
