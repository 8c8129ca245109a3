//! Admission control for metrics: a receiver of OTLP between the collector and Prometheus.
//!
//! Prometheus has no limit of its series, and refuses a whole request for one data point. A request of the collector has
//! the metrics of many services, so one sender would cost the metrics of all others. admission drops the data points of
//! series beyond its limits, and finds those that Prometheus refuses. It counts them by service, and logs the reason.
//!
//! A request is acknowledged after Prometheus has stored it. If Prometheus does not answer, the collector has to send the
//! request again. admission stores nothing itself: after a restart, all series count anew.

mod batch;
mod config;
mod delivery;
mod record;
#[cfg(test)]
mod samples;
mod series;
mod server;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tonic_health::ServingStatus;

pub use crate::config::{Config, Limits};

use crate::server::Admission;

/// Serves until `shutdown` ends.
///
/// # Errors
/// When the server cannot be started.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let (health, health_service) = tonic_health::server::health_reporter();
    let services = ["", <Config as chassis::Config>::SERVICE];
    health
        .set_service_status(services[1], ServingStatus::Serving)
        .await;
    let admission = Arc::new(Admission::new(&config)?);
    let router = server::router(admission, health_service);

    tracing::info!(%address, prometheus = %config.prometheus_url, "ready");
    let stop = async {
        shutdown.await;
        for service in services {
            health
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    };
    chassis::http::serve(router, listener, stop).await;
    Ok(())
}
