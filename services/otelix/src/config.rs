//! The settings of the all-in-one process.

use std::{net::SocketAddr, path::PathBuf};

use chassis::{LameDuck, Listen};
use clap::{Args, ValueEnum};
use setup::DataFolder;

/// The settings of the all-in-one process. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 otelix --port 9082 --data /tmp/otelix\n\
\x20 OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 GRAFANA_URL=http://127.0.0.1:3000 otelix")]
pub struct Config {
    /// The address and port of the frontend.
    #[command(flatten)]
    pub(crate) listen: Listen<8082>,

    /// Port of the auth service, which listens on 127.0.0.1
    #[arg(long, env = "AUTH_PORT", default_value_t = 8081)]
    pub(crate) auth_port: u16,

    /// Port of the user service, which listens on 127.0.0.1
    #[arg(long, env = "USER_PORT", default_value_t = 8080)]
    pub user_port: u16,

    /// The data folder.
    #[command(flatten)]
    pub(crate) data: DataFolder,

    /// The settings of the pages.
    #[command(flatten)]
    pub(crate) pages: frontend::Pages,

    /// The cost of a password hash, and limits on hashing.
    #[command(flatten)]
    pub(crate) hashing: user::Hashing,

    /// The limits on failed sign-ins and on registrations.
    #[command(flatten)]
    pub(crate) limits: auth::AttemptLimits,

    /// The broker of the events. Without this setting, the process starts its own.
    #[command(flatten)]
    pub(crate) events: events::Settings,

    /// Traces, metrics and logs.
    #[command(flatten)]
    pub(crate) telemetry: telemetry::Settings,

    /// Whether lens runs in this process; auto: unless telemetry is sent elsewhere
    #[arg(
        long,
        env = "LENS",
        value_enum,
        ignore_case = true,
        value_name = "WHEN",
        default_value_t,
        help_heading = "Lens"
    )]
    pub(crate) lens: Switch,

    /// Port of the pages of lens. It and the ports for OTLP are replaced by free ones if they are in use
    #[arg(
        long,
        env = "LENS_PORT",
        value_name = "PORT",
        default_value_t = 8086,
        help_heading = "Lens"
    )]
    pub(crate) lens_port: u16,

    /// The settings of lens.
    #[command(flatten)]
    pub(crate) lens_settings: lens::Settings,
}

/// Whether lens runs in this process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Switch {
    /// If at least one signal has no endpoint.
    #[default]
    Auto,
    /// Always. A signal with an endpoint goes there, and not to lens.
    On,
    /// Never.
    Off,
}

impl chassis::Config for Config {
    /// The main port serves the frontend, so health checks ask for its service.
    const SERVICE: &'static str = <frontend::Config as chassis::Config>::SERVICE;

    fn address(&self) -> SocketAddr {
        self.listen.address()
    }

    fn telemetry(&self) -> telemetry::Settings {
        telemetry::Settings {
            environment: Some("development"),
            ..self.telemetry.clone()
        }
    }
}

impl Config {
    pub(crate) fn user(&self, address: SocketAddr) -> user::Config {
        user::Config {
            listen: address.into(),
            stop: LameDuck::default(),
            database: self.data.clone().into(),
            hashing: self.hashing.clone(),
            events: self.events.clone(),
            telemetry: self.telemetry.clone(),
        }
    }

    /// `former` is the secret of an earlier version, whose tokens stay valid.
    pub(crate) fn auth(
        &self,
        address: SocketAddr,
        user: SocketAddr,
        secret: PathBuf,
        former: Option<PathBuf>,
    ) -> auth::Config {
        auth::Config {
            listen: address.into(),
            stop: LameDuck::default(),
            user_service_address: user.into(),
            database: self.data.clone().into(),
            secrets: auth::Secrets {
                jwt_secret_file: Some(secret),
                jwt_secret: None,
                jwt_previous_secret_file: former,
                jwt_previous_secret: None,
            },
            limits: self.limits,
            events: self.events.clone(),
            telemetry: self.telemetry.clone(),
        }
    }

    pub(crate) fn frontend(&self, auth: SocketAddr, user: SocketAddr) -> frontend::Config {
        frontend::Config {
            listen: self.listen,
            stop: LameDuck::default(),
            auth_service_address: auth.into(),
            user_service_address: user.into(),
            pages: self.pages.clone(),
            events: self.events.clone(),
            telemetry: self.telemetry.clone(),
        }
    }
}
