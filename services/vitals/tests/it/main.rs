//! The program as a process of its own, with a supervisor that says what a test wants.
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
