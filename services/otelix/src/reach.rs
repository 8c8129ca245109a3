//! Whether telemetry arrives anywhere.

use std::time::Duration;

use telemetry::{Endpoint, Settings};
use tokio::{net::TcpStream, time::timeout};

/// Time limit for a connection to one of at most three endpoints. The banner waits for it.
const CONNECT: Duration = Duration::from_secs(1);

/// The endpoints of telemetry to which nobody can connect.
///
/// The exporters report losses too, but only after their retries, which take 10 seconds.
pub(crate) async fn unreachable(settings: &Settings) -> Vec<Endpoint> {
    let mut unreachable = Vec::new();
    for endpoint in settings.endpoints() {
        let connected = timeout(CONNECT, TcpStream::connect(endpoint.address())).await;
        if !matches!(connected, Ok(Ok(_))) {
            unreachable.push(endpoint);
        }
    }
    unreachable
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_endpoint_without_a_listener_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = format!("http://{}", listener.local_addr().unwrap());
        let settings = |arguments: &[&str]| {
            let command = Settings::augment_args(Command::new("x"))
                .mut_args(|argument| argument.env(None::<&str>));
            let matches = command.try_get_matches_from([&["x"], arguments].concat());
            Settings::from_arg_matches(&matches.unwrap()).unwrap()
        };
        let dead = async |arguments: &[&str]| {
            let dead = unreachable(&settings(arguments)).await;
            dead.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (good, bad) = (format!("--otlp-endpoint={good}"), "http://127.0.0.1:1");
        assert_eq!(dead(&[]).await, [""; 0]);
        assert_eq!(dead(&[&good]).await, [""; 0]);
        assert_eq!(dead(&["--otlp-endpoint", bad]).await, [bad]);
        assert_eq!(dead(&[&good, "--otlp-logs-endpoint", bad]).await, [bad]);
        let off = ["--otlp-endpoint", bad, "--sdk-disabled"];
        assert_eq!(dead(&off).await, [""; 0]);
    }
}
