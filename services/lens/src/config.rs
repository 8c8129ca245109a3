//! The settings of lens.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bytesize::ByteSize;
use chassis::Listen;
use clap::Args;

use crate::Token;

/// The settings of the program. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 lens --lens-memory 1GiB\n\
\x20 OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 your-service\n\
\x20 lens health --wait 5s")]
pub struct Config {
    /// The address and port of the pages.
    #[command(flatten)]
    pub listen: Listen<8086>,

    /// What `otelix` has too.
    #[command(flatten)]
    pub settings: Settings,

    /// Folder in which telemetry is kept over restarts, in a file of at most --lens-memory bytes. Without it, nothing is
    /// written
    #[arg(long, env = "LENS_DATA", value_name = "FOLDER", help_heading = "Lens")]
    pub data: Option<PathBuf>,

    /// The log of lens itself, on stdout.
    #[command(flatten, next_help_heading = "Log")]
    pub log: telemetry::LogSettings,
}

/// The settings that `otelix` has too.
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(next_help_heading = "Lens")]
pub struct Settings {
    /// Port for OTLP: every SDK sends OTLP over gRPC to 4317
    #[arg(
        long,
        env = "OTLP_GRPC_PORT",
        value_name = "PORT",
        default_value_t = 4317
    )]
    pub otlp_grpc_port: u16,

    /// Second port for OTLP: every SDK sends OTLP over HTTP to 4318. Both ports take both protocols
    #[arg(
        long,
        env = "OTLP_HTTP_PORT",
        value_name = "PORT",
        default_value_t = 4318
    )]
    pub otlp_http_port: u16,

    /// Memory for telemetry, such as 512MiB or 1GiB; the oldest leaves first. 256MiB by default, 64MiB within otelix
    // The default depends on the program.
    #[arg(
        id = "lens_memory",
        long = "lens-memory",
        env = "LENS_MEMORY",
        value_name = "SIZE"
    )]
    pub memory: Option<ByteSize>,

    /// Names of this machine in addition to localhost and IP addresses, separated by commas. Pages are refused under
    /// other names, because a web site could read them by DNS rebinding
    #[arg(
        long,
        env = "LENS_ALLOWED_HOSTS",
        value_name = "NAME,...",
        value_delimiter = ',',
        value_parser = host_name
    )]
    pub lens_allowed_hosts: Vec<String>,

    /// Secret that browsers and programs must show to read telemetry: 16 to 256 letters, digits and signs of -._~+/=.
    /// If other machines can reach the pages, there is always one: if this is not set, the link with a random secret is
    /// logged at the start
    #[arg(
        long,
        env = "LENS_TOKEN",
        value_name = "SECRET",
        hide_env_values = true
    )]
    pub lens_token: Option<Token>,

    /// File of that secret
    #[arg(
        long,
        env = "LENS_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "lens_token"
    )]
    pub lens_token_file: Option<PathBuf>,

    /// Secret that senders of OTLP must show, as `authorization: Bearer SECRET`: 16 to 256 of the same characters
    #[arg(
        long,
        env = "LENS_OTLP_TOKEN",
        value_name = "SECRET",
        hide_env_values = true
    )]
    pub lens_otlp_token: Option<Token>,

    /// File of that secret
    #[arg(
        long,
        env = "LENS_OTLP_TOKEN_FILE",
        value_name = "FILE",
        conflicts_with = "lens_otlp_token"
    )]
    pub lens_otlp_token_file: Option<PathBuf>,
}

impl chassis::Config for Config {
    const SERVICE: &'static str = env!("CARGO_PKG_NAME");

    fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    /// Lens does not send telemetry of its own: it might receive it itself.
    fn telemetry(&self) -> telemetry::Settings {
        telemetry::Settings::only_logs(self.log.clone())
    }
}

impl Settings {
    /// The secret for reading.
    pub(crate) fn token(&self) -> anyhow::Result<Option<Token>> {
        secret(self.lens_token.as_ref(), self.lens_token_file.as_deref())
    }

    /// Whether a secret for reading is set.
    #[must_use]
    pub fn has_token(&self) -> bool {
        self.lens_token.is_some() || self.lens_token_file.is_some()
    }

    /// The secret for sending.
    pub(crate) fn otlp_token(&self) -> anyhow::Result<Option<Token>> {
        secret(
            self.lens_otlp_token.as_ref(),
            self.lens_otlp_token_file.as_deref(),
        )
    }

    /// The ports for OTLP, with the variables that set them.
    #[must_use]
    pub fn otlp_ports(&self) -> [(u16, &'static str); 2] {
        [
            (self.otlp_grpc_port, "OTLP_GRPC_PORT"),
            (self.otlp_http_port, "OTLP_HTTP_PORT"),
        ]
    }
}

/// A name of a host, or nothing.
fn host_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_');
    let is_address = || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if name.chars().all(is_part) || is_address() {
        return Ok(name.to_owned());
    }
    Err(
        "write the name alone, such as lens.example.com, without a scheme, a port and a path"
            .to_owned(),
    )
}

fn secret(value: Option<&Token>, file: Option<&Path>) -> anyhow::Result<Option<Token>> {
    let Some(file) = file else {
        return Ok(value.cloned());
    };
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read the secret in {}", file.display()))?;
    let token = text.trim().parse().map_err(anyhow::Error::msg);
    token
        .map(Some)
        .with_context(|| format!("{} has no usable secret", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowed_host_is_a_name_alone() {
        for good in [
            "lens.example.com",
            " box ",
            "a_b-c.",
            "10.0.0.1",
            "[::1]",
            "",
        ] {
            assert_eq!(host_name(good), Ok(good.trim().to_owned()));
        }
        for bad in [
            "http://x/",
            "x:8086",
            "x/logs",
            "*.example.com",
            "münchen.example",
        ] {
            let error = host_name(bad).unwrap_err();
            assert!(error.contains("the name alone"), "{bad}: {error}");
        }
    }
}
