//! Health by the gRPC health checking protocol (grpc.health.v1).

use std::{
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::Health;

/// How long a check waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The `health` subcommand: 0 when the process at the address is ready, else 1 and the reason
/// on stderr.
pub async fn probe(address: SocketAddr, health: Health) -> ExitCode {
    /// Between two attempts.
    const PAUSE: Duration = Duration::from_millis(20);
    let url = url(address);
    // None where it is too far away for the clock.
    let end = Instant::now().checked_add(health.wait);
    loop {
        match check(&url).await {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) if end.is_some_and(|end| Instant::now() >= end) => {
                return crate::failure::failed(&error);
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Asks the server at a URL whether it is ready.
///
/// # Errors
/// When it cannot be reached within a second, or says that it does not serve.
pub async fn check(url: &str) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(url.to_owned())
        .with_context(|| format!("{url} is not an address"))?
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT)
        .connect()
        .await
        .with_context(|| format!("{url} does not answer"))?;
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await
        .with_context(|| format!("{url} does not answer"))?;
    let status = answer.into_inner().status();
    anyhow::ensure!(
        status == ServingStatus::Serving,
        "{url} is {}",
        status.as_str_name()
    );
    Ok(())
}

/// Where the server at an address is asked: one that listens on all addresses, on loopback.
pub(crate) fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}
