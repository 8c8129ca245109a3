//! Health checks by the gRPC health checking protocol (grpc.health.v1).

use std::{
    error::Error,
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::Health;

/// Deadline of one check.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What to do if the process is at another address.
const SET_PORT: &str = "set the port that the process listens on";

/// The `health` subcommand. Its exit code is 0 if the service at the address is ready. Otherwise it
/// is 1, and the reason is on stderr.
pub async fn probe(address: SocketAddr, service: &str, health: Health) -> ExitCode {
    /// Delay between two attempts.
    const PAUSE: Duration = Duration::from_millis(20);
    let url = url(address);
    // `None` if the wait exceeds the range of the clock.
    let end = Instant::now().checked_add(health.wait);
    loop {
        match check(&url, service).await {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) if end.is_some_and(|end| Instant::now() >= end) => {
                let error = error.context(format!("the health check of {service} failed"));
                return crate::failure::failed(&error);
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Checks whether a service at a URL is ready; with an empty name, checks the whole server.
///
/// # Errors
/// When the server does not answer within a second, does not have the service, or says that it is
/// not ready.
pub async fn check(url: &str, service: &str) -> anyhow::Result<()> {
    let status = ask(url, service).await?;
    anyhow::ensure!(
        status == ServingStatus::Serving,
        "{url} answers {}: the process is starting or stopping; try again, or wait with --wait",
        status.as_str_name()
    );
    Ok(())
}

/// Asks a server for the status of a service.
pub(crate) async fn ask(url: &str, service: &str) -> anyhow::Result<ServingStatus> {
    let channel = Endpoint::from_shared(url.to_owned())
        .with_context(|| format!("{url} is not an address"))?
        .connect_timeout(TIMEOUT)
        .timeout(TIMEOUT)
        .connect()
        .await
        .map_err(|error| {
            let cause = cause(&error);
            anyhow::anyhow!("nothing listens at {url} ({cause}); start the process, or {SET_PORT}")
        })?;
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.map_err(|status| match status.code() {
        Code::NotFound | Code::Unimplemented if !service.is_empty() => anyhow::anyhow!(
            "{url} does not serve {service}: another program has the port; {SET_PORT}"
        ),
        Code::Cancelled | Code::DeadlineExceeded => anyhow::anyhow!(
            "{url} accepts connections but does not answer within {} s; \
             look at the log of the process, or {SET_PORT}",
            TIMEOUT.as_secs()
        ),
        _ => anyhow::anyhow!(
            "{url} does not answer in gRPC ({}): another program may have the port; {SET_PORT}",
            cause(&status)
        ),
    })?;
    Ok(answer.into_inner().status())
}

/// The root cause of an error. The errors above it say only that there was no connection.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The URL of a server on this machine: on loopback if it listens on all addresses.
#[must_use]
pub fn url(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}")
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use tokio::{
        io::AsyncWriteExt as _,
        net::{TcpListener, TcpStream},
    };
    use tonic::transport::Server;

    use super::*;

    #[tokio::test]
    async fn a_server_with_another_service_is_another_program() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url(listener.local_addr().unwrap());
        let (reporter, service) = tonic_health::server::health_reporter();
        let serving = tonic_health::ServingStatus::Serving;
        reporter.set_service_status("x.v1.X", serving).await;
        let connections = stream::unfold(listener, async |listener| {
            let connection = listener.accept().await;
            Some((connection.map(|(stream, _)| stream), listener))
        });
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(Box::pin(connections)),
        );
        check(&url, "x.v1.X").await.unwrap();
        check(&url, "").await.unwrap();
        let error = check(&url, "y.v1.Y").await.unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{url} does not serve y.v1.Y: another program has the port; {SET_PORT}")
        );
    }

    #[tokio::test]
    async fn the_error_for_a_missing_server_has_one_cause() {
        let error = check("http://127.0.0.1:1", "").await.unwrap_err();
        let text = format!("{error:#}");
        let cause = TcpStream::connect("127.0.0.1:1").await.unwrap_err();
        assert_eq!(
            text,
            format!(
                "nothing listens at http://127.0.0.1:1 ({cause}); start the process, or {SET_PORT}"
            )
        );
    }

    #[tokio::test]
    async fn a_server_that_is_silent_or_does_not_speak_grpc_is_described() {
        for (answer, expected) in [
            (
                &b""[..],
                "accepts connections but does not answer within 1 s",
            ),
            (
                b"HTTP/1.1 400 Bad Request\r\n\r\n",
                "does not answer in gRPC",
            ),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = url(listener.local_addr().unwrap());
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.write_all(answer).await.unwrap();
                std::future::pending::<()>().await;
            };
            let text = tokio::select! {
                outcome = check(&url, "x.v1.X") => outcome.unwrap_err().to_string(),
                () = server => unreachable!(),
            };
            assert!(text.starts_with(&format!("{url} {expected}")), "{text}");
            assert!(text.ends_with(SET_PORT), "{text}");
        }
    }
}
