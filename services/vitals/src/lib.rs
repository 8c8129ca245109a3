//! What the supervisor, process-compose, knows of its processes, and what these use, as metrics.
//!
//! The supervisor is asked once a second, `/proc` is read for what it does not tell, and an export
//! finds the last answer in memory. A supervisor that is silent is a measurement, not a failure.
//!
//! What must not happen here: that anything is told to the supervisor. This only looks.

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

use std::sync::{Arc, Mutex};

use chassis::server::Contract;
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::{record::Record, supervisor::Client};

/// Health checks are all that is served.
const CONTRACT: Contract = Contract {
    service: env!("CARGO_PKG_NAME"),
    methods: &[],
    descriptors: &[],
};

/// Measures, and answers health checks, until `shutdown` ends.
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
    tokio::select! {
        served = chassis::server::serve(CONTRACT, Routes::default(), listener, shutdown) => served,
        never = watch::watch(&supervisor, &record) => match never {},
    }
}
