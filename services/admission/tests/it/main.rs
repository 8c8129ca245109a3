//! The program between a sender and a stand-in for Prometheus.
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

mod fake;
mod program;
