//! The settings of the process.

use std::net::SocketAddr;

use chassis::Listen;
use clap::{Args, value_parser};
use url::Url;

/// The settings of admission. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 admission --prometheus-url http://127.0.0.1:9090\n\
\x20 admission --max-series 2000000 --max-series-per-service 500000\n\
\x20 admission health --wait 5s")]
pub struct Config {
    /// The address and port of the server.
    #[command(flatten)]
    pub listen: Listen<8087>,

    /// URL of Prometheus, which must have its receiver of OTLP enabled
    #[arg(
        long,
        env = "PROMETHEUS_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:9090",
        value_parser = url
    )]
    pub prometheus_url: Url,

    /// How many series are admitted.
    #[command(flatten)]
    pub limits: Limits,

    /// Traces, metrics and logs.
    #[command(flatten)]
    pub telemetry: telemetry::Settings,
}

/// How many series are admitted. A series counts until three hours after its last data point, because
/// Prometheus keeps it in memory for about that time.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Series of all services together; data points of further series are dropped
    #[arg(long, env = "ADMISSION_MAX_SERIES", value_name = "NUMBER", default_value_t = 500_000,
        value_parser = value_parser!(u64).range(1..))]
    pub max_series: u64,

    /// Series of one service; data points of its further series are dropped
    #[arg(long, env = "ADMISSION_MAX_SERIES_PER_SERVICE", value_name = "NUMBER", default_value_t = 100_000,
        value_parser = value_parser!(u64).range(1..))]
    pub max_series_per_service: u64,

    /// Services; data points of further ones are dropped
    #[arg(long, env = "ADMISSION_MAX_SERVICES", value_name = "NUMBER", default_value_t = 2_000,
        value_parser = value_parser!(u64).range(1..))]
    pub max_services: u64,
}

/// Parses a URL of a server that speaks HTTP without TLS.
fn url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_error| "it is not a URL such as http://127.0.0.1:9090")?;
    match url.scheme() {
        "http" if url.has_host() => Ok(url),
        _ => Err("it must begin with http://"),
    }
}

impl chassis::Config for Config {
    const SERVICE: &'static str = env!("CARGO_PKG_NAME");

    fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    fn telemetry(&self) -> telemetry::Settings {
        self.telemetry.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_scheme_and_a_host() {
        assert_eq!(url("http://[::1]:9090").unwrap().port(), Some(9090));
        for wrong in ["", "9090", "127.0.0.1:9090", "https://127.0.0.1", "http:"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
