//! The auth service over real gRPC, with the real user service behind it, or with one that
//! fails in ways that the real one will not on demand.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and so may what it is made of"
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
