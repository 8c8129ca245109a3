//! The settings of the auth service.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use chassis::Listen;
use clap::Args;
use tonic::transport::Uri;

/// What the auth service can be told. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 JWT_SECRET_FILE=volumes/secrets/jwt auth --user-service-address 127.0.0.1:8080\n\
\x20 auth health --wait 5s")]
pub struct Config {
    /// Where the process listens.
    #[command(flatten)]
    pub listen: Listen<8081>,

    /// Where the user service is, as HOST:PORT or as a URL
    #[arg(long, env = "USER_SERVICE_ADDRESS", value_name = "ADDRESS",
        default_value = "127.0.0.1:8080", value_parser = chassis::client::address)]
    pub user_service_address: Uri,

    /// Where the database is.
    #[command(flatten)]
    pub database: database::Settings,

    /// What tokens are signed with.
    #[command(flatten)]
    pub secrets: Secrets,

    /// How many attempts are let through.
    #[command(flatten)]
    pub limits: AttemptLimits,

    /// Where events go.
    #[command(flatten)]
    pub events: events::Settings,

    /// How the process reports on itself.
    #[command(flatten)]
    pub telemetry: telemetry::Settings,
}

/// The secrets that tokens are signed with: one that signs, and during a rotation the one
/// before it, whose tokens are still accepted.
///
/// To rotate: move the current secret to the previous one, set a new one, restart; forget the
/// previous one when its last token has expired, after 24 hours.
#[derive(Args, Clone, derive_more::Debug)]
#[command(next_help_heading = "Tokens")]
pub struct Secrets {
    /// File with the secret that tokens are signed with, at least 32 bytes; a line break at
    /// its end does not count
    #[arg(
        long,
        env = "JWT_SECRET_FILE",
        value_name = "FILE",
        required_unless_present = "jwt_secret",
        conflicts_with = "jwt_secret"
    )]
    pub jwt_secret_file: Option<PathBuf>,

    /// The secret itself; prefer the environment, as others can see a command line
    #[arg(
        long,
        env = "JWT_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    #[debug("..")]
    pub jwt_secret: Option<String>,

    /// File with the secret before the current one
    #[arg(
        long,
        env = "JWT_PREVIOUS_SECRET_FILE",
        value_name = "FILE",
        conflicts_with = "jwt_previous_secret"
    )]
    pub jwt_previous_secret_file: Option<PathBuf>,

    /// The secret before the current one
    #[arg(
        long,
        env = "JWT_PREVIOUS_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    #[debug("..")]
    pub jwt_previous_secret: Option<String>,
}

/// How often a sign-in may fail, and a registration be tried, before further ones are refused
/// for a while.
///
/// Counted in memory, by each process for itself, and forgotten at a restart.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub struct AttemptLimits {
    /// Failed sign-ins per account and minute; each network that has signed in to the account
    /// before (IPv4 /24, IPv6 /64, for 90 days) counts by itself, all others together
    #[arg(
        long,
        env = "FAILED_LOGINS_PER_ACCOUNT",
        value_name = "COUNT",
        default_value = "10"
    )]
    pub failed_logins_per_account: NonZeroU32,

    /// Failed sign-ins per client address and minute (an IPv6 address counts by its /64 network)
    #[arg(
        long,
        env = "FAILED_LOGINS_PER_ADDRESS",
        value_name = "COUNT",
        default_value = "60"
    )]
    pub failed_logins_per_address: NonZeroU32,

    /// Registrations per client address and hour, successful or not (an IPv6 address counts by its
    /// /64 network)
    #[arg(
        long,
        env = "REGISTRATIONS_PER_ADDRESS",
        value_name = "COUNT",
        default_value = "60"
    )]
    pub registrations_per_address: NonZeroU32,
}

impl chassis::Config for Config {
    const SERVICE: &'static str = proto::auth::v1::auth_service_server::SERVICE_NAME;

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
    fn debug_hides_the_secrets_and_nothing_else() {
        let secrets = Secrets {
            jwt_secret_file: Some("a file".into()),
            jwt_secret: Some("MARKER".to_owned()),
            jwt_previous_secret_file: Some("another file".into()),
            jwt_previous_secret: Some("MARKER".to_owned()),
        };
        let text = format!("{secrets:?}");
        assert!(
            text.contains("a file") && text.contains("another file"),
            "{text}"
        );
        assert!(!text.contains("MARKER"), "{text}");
    }
}
