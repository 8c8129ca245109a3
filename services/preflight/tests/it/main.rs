//! The program, as process-compose runs it.
#![expect(
    clippy::unwrap_used,
    reason = "a test may fail loudly, and so may what it is made of"
)]

mod harness;
mod prepare;
mod problems;
