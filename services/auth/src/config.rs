//! The settings of the auth service.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use chassis::{LameDuck, Listen, client::Addresses};
use clap::Args;

/// The auth service's settings. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 JWT_SECRET_FILE=volumes/secrets/jwt auth --user-service-address 127.0.0.1:8080\n\
\x20 auth health --wait 5s")]
pub struct Config {
    /// The address and port of the server.
    #[command(flatten)]
    pub listen: Listen<8081>,

    /// The time before a drain.
    #[command(flatten)]
    pub stop: LameDuck,

    /// Addresses of the user service, each as HOST:PORT or as a URL, separated by commas; calls are spread over all
    /// addresses, and over all instances that a name resolves to
    #[arg(
        long,
        env = "USER_SERVICE_ADDRESS",
        value_name = "ADDRESS,...",
        default_value = "127.0.0.1:8080"
    )]
    pub user_service_address: Addresses,

    /// The location of the database.
    #[command(flatten)]
    pub database: database::Settings,

    /// The secrets that sign tokens.
    #[command(flatten)]
    pub secrets: Secrets,

    /// The limits on failed sign-ins and on registrations.
    #[command(flatten)]
    pub limits: AttemptLimits,

    /// The broker of the events.
    #[command(flatten)]
    pub events: events::Settings,

    /// Traces, metrics and logs.
    #[command(flatten)]
    pub telemetry: telemetry::Settings,
}

/// The secrets of the tokens. The current secret signs. During a rotation, tokens of the previous
/// secret are accepted too.
///
/// To rotate, set the current secret as the previous one, set a new current secret, and restart.
/// Remove the previous secret after 24 hours, when its last token has expired.
#[derive(Args, Clone, derive_more::Debug)]
#[command(next_help_heading = "Tokens")]
pub struct Secrets {
    /// File with the secret that signs tokens, at least 32 bytes; a line break at its end is
    /// ignored
    #[arg(
        long,
        env = "JWT_SECRET_FILE",
        value_name = "FILE",
        required_unless_present = "jwt_secret",
        conflicts_with = "jwt_secret"
    )]
    pub jwt_secret_file: Option<PathBuf>,

    /// The secret that signs tokens; prefer the file or the variable, because other users of the
    /// machine can see the command line
    #[arg(
        long,
        env = "JWT_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    #[debug("..")]
    pub jwt_secret: Option<String>,

    /// File with the previous secret, whose tokens stay valid during a rotation
    #[arg(
        long,
        env = "JWT_PREVIOUS_SECRET_FILE",
        value_name = "FILE",
        conflicts_with = "jwt_previous_secret"
    )]
    pub jwt_previous_secret_file: Option<PathBuf>,

    /// The previous secret, whose tokens stay valid during a rotation
    #[arg(
        long,
        env = "JWT_PREVIOUS_SECRET",
        value_name = "SECRET",
        hide_env_values = true
    )]
    #[debug("..")]
    pub jwt_previous_secret: Option<String>,
}

/// The limits on failed sign-ins and on registrations. Attempts beyond a limit are refused until
/// its bucket has a token again.
///
/// Each process counts in memory, so a restart resets the counts.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Limits")]
pub struct AttemptLimits {
    /// Failed sign-ins per account and minute; each network with a sign-in to the account in the
    /// last 90 days (IPv4 /24, IPv6 /64) has its own count, and all other networks share one
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

    fn lame_duck(&self) -> Duration {
        self.stop.lame_duck
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
