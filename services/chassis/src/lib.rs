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
mod console;
mod systemd;

/// Every process allocates by mimalloc: faster than the system's allocator, and what a burst
/// has taken, such as the memory of password hashes, goes back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use crate::{
    cli::{Cli, Command, Health, parse},
    console::print,
    process::{listen, shutdown},
};
