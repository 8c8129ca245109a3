//! The program with a fake supervisor.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail loudly, and so may what it is made of"
)]

mod fake;
mod measures;
mod output;
mod program;
mod startup;
