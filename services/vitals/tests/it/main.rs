//! The program with a fake supervisor.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests and their helpers may panic"
)]

mod fake;
mod measures;
mod output;
mod program;
mod startup;
