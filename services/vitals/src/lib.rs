//! Metrics of the processes of the supervisor, process-compose: their state and their resource
//! usage.
//!
//! vitals queries the supervisor once a second, and reads the resource usage from `/proc`. Exports
//! use the last answer. If the supervisor does not answer, a metric shows it, and vitals stays
//! healthy.
//!
//! vitals must only read from the supervisor, and must not control it.

mod config;
mod observe;
mod record;
mod startup;
mod supervisor;
mod usage;
mod watch;

pub use crate::{
    config::{Config, Startup},
    startup::startup,
};

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chassis::server::Contract;
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::{record::Record, supervisor::Client};

/// The services of the port: health checks only.
const CONTRACT: Contract = Contract {
    service: env!("CARGO_PKG_NAME"),
    methods: &[],
    descriptors: &[],
};

/// Measures the processes and serves health checks until `shutdown` ends.
///
/// # Errors
/// When the server fails.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let supervisor = Client::new(config.supervisor.supervisor_port)?;
    let record = Arc::<Mutex<Record>>::default();
    observe::observe(&record);
    let routes = Routes::default();
    tokio::select! {
        served = chassis::server::serve(CONTRACT, routes, listener, Duration::ZERO, shutdown) => served,
        never = watch::watch(&supervisor, &record) => match never {},
    }
}
