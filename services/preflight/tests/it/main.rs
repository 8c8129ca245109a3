//! The program, as process-compose runs it.
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

mod harness;
mod prepare;
mod problems;
