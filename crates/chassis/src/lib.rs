//! Common parts of all processes: settings, listening, health checks, stopping, and calls of other
//! services.
//!
//! Nothing here depends on what a process does.

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
mod fault;
mod requests;
mod systemd;

pub use crate::{
    cli::{Cli, Command, Health, parse},
    config::{Config, Listen},
    console::print_error,
    failure::{BadSetting, failed},
    process::listen,
    stop::{LameDuck, until},
};
