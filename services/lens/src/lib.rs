//! Shows traces, metrics and logs of any service: an OTLP receiver, a bounded store, and pages.
//!
//! It is for one machine and the last minutes or hours. It runs as a program of its own, and as a part of `otelix`.

pub mod analysis;
pub mod archive;
pub mod metrics;
pub mod query;
pub mod store;

mod api;
mod cli;
mod clock;
mod config;
mod delivery;
mod doctor;
mod findings;
mod guard;
mod ids;
mod intake;
mod machine;
mod overview;
mod pages;
mod params;
mod router;
#[cfg(test)]
mod samples;
mod server;
mod state;
mod token;

pub use crate::{
    cli::Command,
    config::{Config, Settings},
    doctor::{Doctor, Note, Service},
    server::{Listeners, run, serve},
    state::Lens,
    token::Token,
};
