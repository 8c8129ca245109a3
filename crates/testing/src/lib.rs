//! Helpers that the integration tests of several services share.
//!
//! They fail a test by a panic. Tests of several processes together use `e2e` instead.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests and their helpers may panic"
)]

pub mod programs;

mod call;
mod held;
mod listener;
mod process;
mod settings;

pub use crate::{
    call::{channel, fields},
    held::{AT_ONCE, Held},
    listener::Listener,
    process::{Ended, Process, eventually, program},
    settings::settings,
};
