//! The program as a process of its own, with a supervisor that says what a test wants.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and so may what it is made of"
)]

mod fake;
mod measures;
mod output;
// These are the same for every program.
#[path = "../../../user/tests/it/process.rs"]
mod process;
mod program;
mod startup;
