//! What every process of the system does the same way, so that none does it differently:
//! reading its settings, listening, answering health checks, stopping, and calling the others.
//!
//! Nothing here knows what a process is for.

pub mod client;
pub mod health;
pub mod http;
pub mod network;
pub mod panics;
pub mod process;
pub mod server;
pub mod status;
pub mod stop;

mod accept;
mod cli;
mod config;
mod console;
mod failure;
mod requests;
mod systemd;

pub use crate::{
    cli::{Cli, Command, Health, parse},
    config::{Config, Listen},
    console::print_error,
    failure::{BadSetting, failed},
    process::listen,
    stop::until,
};
