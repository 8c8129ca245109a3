//! The settings of the all-in-one process.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use clap::Args;
use tonic::transport::Uri;

/// What the all-in-one process can be told. Each field is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(after_long_help = "Examples:\n\
\x20 otelix --port 9082 --data /tmp/otelix\n\
\x20 OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 GRAFANA_URL=http://127.0.0.1:3000 otelix")]
pub struct Config {
    /// Address to listen on with the pages; the services listen on loopback in any case
    #[arg(
        long,
        env = "LISTEN_ADDRESS",
        value_name = "IP",
        default_value = "127.0.0.1"
    )]
    pub listen_address: IpAddr,

    /// Port of the pages
    #[arg(long, env = "PORT", default_value_t = 8082)]
    pub port: u16,

    /// Port of the auth service
    #[arg(long, env = "AUTH_PORT", default_value_t = 8081)]
    pub auth_port: u16,

    /// Port of the user service
    #[arg(long, env = "USER_PORT", default_value_t = 8080)]
    pub user_port: u16,

    /// Folder for data: accounts, sessions, and the secret that tokens are signed with
    #[arg(
        long,
        env = "OTELIX_DATA",
        value_name = "FOLDER",
        default_value = "volumes"
    )]
    pub data: PathBuf,

    /// What the pages know of the world around them.
    #[command(flatten)]
    pub pages: frontend::Pages,

    /// How passwords are hashed.
    #[command(flatten)]
    pub hashing: user::Hashing,

    /// How often a sign-in may fail.
    #[command(flatten)]
    pub limits: auth::Limits,

    /// Where events go; without brokers, to one in the process.
    #[command(flatten)]
    pub events: events::Settings,

    /// How the process reports on itself.
    #[command(flatten)]
    pub telemetry: telemetry::Settings,
}

impl Config {
    /// The address and port of the pages.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (self.listen_address, self.port).into()
    }

    pub(crate) fn user(&self, address: SocketAddr) -> user::Config {
        user::Config {
            listen_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: address.port(),
            data: self.data.clone(),
            db_path: None,
            hashing: self.hashing.clone(),
            events: self.events.clone(),
            telemetry: self.telemetry.clone(),
        }
    }

    /// `former` is the secret of an earlier version, whose sessions stay valid.
    pub(crate) fn auth(
        &self,
        address: SocketAddr,
        user: Uri,
        secret: PathBuf,
        former: Option<PathBuf>,
    ) -> auth::Config {
        auth::Config {
            listen_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: address.port(),
            user_service_address: user,
            data: self.data.clone(),
            db_path: None,
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

    pub(crate) fn frontend(&self, auth: Uri, user: Uri) -> frontend::Config {
        frontend::Config {
            listen_address: self.listen_address,
            port: self.port,
            auth_service_address: auth,
            user_service_address: user,
            pages: self.pages.clone(),
            events: self.events.clone(),
            telemetry: self.telemetry.clone(),
        }
    }
}
