//! What every process of the system does the same way, so that none does it differently:
//! reading its settings, listening, answering health checks, stopping, and calling the others.
//!
//! Nothing here knows what a process is for.

pub mod client;
pub mod health;
pub mod process;
pub mod server;
pub mod status;

mod cli;

pub use crate::{
    cli::{Cli, Command, parse},
    process::{listen, shutdown},
};
