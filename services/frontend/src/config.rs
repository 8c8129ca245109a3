//! The settings of the frontend.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use chassis::{LameDuck, Listen, client::Addresses};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use pages::{PublicUrl, urls};
use url::Url;

/// The frontend's settings.
#[derive(Args, Clone, Debug)]
#[group(id = "frontend")]
#[command(after_long_help = "Examples:\n\
\x20 frontend --auth-service-address 127.0.0.1:8081 --grafana-url http://127.0.0.1:3000\n\
\x20 frontend health --wait 5s")]
pub struct Config {
    /// The address and port of the server.
    #[command(flatten)]
    pub listen: Listen<8082>,

    /// The time before a drain.
    #[command(flatten)]
    pub stop: LameDuck,

    /// Addresses of the auth service, each as HOST:PORT or as a URL, separated by commas; calls are spread over all
    /// addresses, and over all instances that a name resolves to
    #[arg(
        long,
        env = "AUTH_SERVICE_ADDRESS",
        value_name = "ADDRESS,...",
        default_value = "127.0.0.1:8081"
    )]
    pub auth_service_address: Addresses,

    /// Addresses of the user service, for the health checks of the status page only
    #[arg(
        long,
        env = "USER_SERVICE_ADDRESS",
        value_name = "ADDRESS,...",
        default_value = "127.0.0.1:8080"
    )]
    pub user_service_address: Addresses,

    /// The settings of the pages.
    #[command(flatten)]
    pub pages: Pages,

    /// The broker of the events.
    #[command(flatten)]
    pub events: events::Settings,

    /// Traces, metrics and logs.
    #[command(flatten)]
    pub telemetry: telemetry::Settings,
}

/// The settings of the pages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pages")]
pub struct Pages {
    /// The URL that browsers use for these pages, such as <https://example.org>; with https,
    /// cookies are sent over TLS only, and HSTS makes browsers use TLS for all later requests
    #[arg(long, env = "PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// Networks of the proxies whose X-Forwarded-For, X-Forwarded-Proto, trace context and baggage
    /// are trusted, separated by commas; empty trusts none
    #[arg(
        long,
        env = "TRUSTED_PROXIES",
        value_name = "CIDR,...",
        default_value = "127.0.0.0/8,::1/128"
    )]
    pub trusted_proxies: TrustedProxies,

    /// Further parts on the status page as NAME=URL, separated by commas: `grpc://HOST:PORT` asks
    /// the gRPC health service of every instance behind the host, `http://HOST:PORT/PATH` expects a status of 2xx
    #[arg(
        long,
        env = "STATUS_CHECKS",
        value_name = "NAME=URL,...",
        default_value = "",
        hide_default_value = true
    )]
    pub status_checks: StatusChecks,

    /// Audience of the status page, which names every part of the system and all firing alerts
    #[arg(
        long,
        env = "STATUS_PAGE",
        value_name = "AUDIENCE",
        value_enum,
        default_value_t
    )]
    pub status_page: StatusPage,

    /// URL of lens, such as <http://127.0.0.1:8086>; if it is set, the trace id of each page links to the
    /// trace in lens
    #[arg(long, env = "LENS_URL", value_name = "URL", value_parser = urls::web)]
    pub lens_url: Option<Url>,

    /// URL of Grafana, such as <http://127.0.0.1:3000>; if it is set, and that of lens is not, the trace
    /// id of each page links to the trace in Grafana
    #[arg(long, env = "GRAFANA_URL", value_name = "URL", value_parser = urls::web)]
    pub grafana_url: Option<Url>,

    /// URL of Alertmanager, such as <http://127.0.0.1:9093>; if it is set, the status page shows
    /// the firing alerts
    #[arg(long, env = "ALERTMANAGER_URL", value_name = "URL", value_parser = plain)]
    pub alertmanager_url: Option<Url>,
}

impl chassis::Config for Config {
    const SERVICE: &'static str = env!("CARGO_PKG_NAME");

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

/// The networks of the proxies in front of the frontend.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Whether the address is that of a trusted proxy.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        items(text)
            .map(|item| {
                item.parse()
                    .ok()
                    .or_else(|| item.parse::<IpAddr>().ok().map(IpNet::from))
                    .ok_or_else(|| format!("{item} is not a network such as 10.0.0.0/8"))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// Audience of the status page.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum StatusPage {
    /// Everyone
    #[default]
    Everyone,
    /// Signed-in users only
    SignedIn,
}

/// The parts that the status page checks besides auth and user.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StatusChecks(pub Vec<StatusCheck>);

/// A part that the status page checks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusCheck {
    /// The name on the page.
    pub name: String,
    /// How it is checked.
    pub target: Target,
}

/// How a part is checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// By the gRPC health checking protocol, at every instance.
    Grpc(Addresses),
    /// By a GET, which must return 2xx.
    Http(Url),
}

impl FromStr for StatusChecks {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        items(text)
            .map(StatusCheck::from_str)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl FromStr for StatusCheck {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The messages quote only names, because a URL may hold a password.
        let (name, address) = text
            .split_once('=')
            .map(|(name, address)| (name.trim(), address))
            .filter(|(name, _)| !name.is_empty() && !name.contains([':', '/', '@']))
            .ok_or("each part must be of the form NAME=URL")?;
        let url = urls::any(address).map_err(|error| format!("{name}: {error}"))?;
        let target = match (url.scheme(), url.host_str(), url.port()) {
            ("grpc", Some(host), Some(port)) => {
                let addresses = format!("{host}:{port}").parse();
                Target::Grpc(addresses.map_err(|reason| format!("{name}: {reason}"))?)
            }
            ("http", Some(_), _) => Target::Http(url),
            _ => return Err(format!("{name}: neither grpc://HOST:PORT nor http://HOST")),
        };
        Ok(Self {
            name: name.to_owned(),
            target,
        })
    }
}

/// The non-empty parts of a list with commas.
fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Parses an http URL: the checks of the status page do not support TLS.
fn plain(text: &str) -> Result<Url, String> {
    urls::web(text).and_then(|url| match url.scheme() {
        "http" => Ok(url),
        _ => Err("not a URL of the form http://HOST".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use chassis::Config as _;
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    fn parse(args: &[&str]) -> Result<Config, clap::Error> {
        Cli::try_parse_from([&["x"], args].concat()).map(|cli| cli.config)
    }

    #[test]
    fn the_defaults_fit_one_machine() {
        let config = parse(&[]).unwrap();
        assert_eq!(config.address().to_string(), "127.0.0.1:8082");
        assert_eq!(config.auth_service_address.to_string(), "127.0.0.1:8081");
        assert_eq!(config.user_service_address.to_string(), "127.0.0.1:8080");
        assert!(config.pages.trusted_proxies.contains([127, 0, 0, 9].into()));
        assert_eq!(config.pages.status_checks, StatusChecks::default());
    }

    #[test]
    fn proxies_are_networks_or_addresses() {
        let proxies: TrustedProxies = "10.0.0.0/8, 192.0.2.1,".parse().unwrap();
        assert!(proxies.contains([10, 1, 2, 3].into()));
        assert!(proxies.contains([192, 0, 2, 1].into()));
        assert!(!proxies.contains([192, 0, 2, 2].into()));
        assert_eq!("".parse(), Ok(TrustedProxies::default()));
        assert!("10.0.0.0/33".parse::<TrustedProxies>().is_err());
    }

    #[test]
    fn a_url_holds_no_user_name_and_no_password() {
        for userinfo in ["ann@", ":s3cr3t@", "ann:s3cr3t@"] {
            for setting in [
                "public-url=https://",
                "grafana-url=http://",
                "alertmanager-url=http://",
                "status-checks=a=http://x/,db=http://",
                "status-checks=db=grpc://",
                "status-checks=db=ftp://",
                "auth-service-address=http://",
                "auth-service-address=",
                "auth-service-address=host:1,",
                "user-service-address=http://",
            ] {
                let error = parse(&[&format!("--{setting}{userinfo}host:1")]).unwrap_err();
                let reason = std::error::Error::source(&error).unwrap().to_string();
                assert!(
                    reason.ends_with("must not hold a user name or password"),
                    "{setting}{userinfo}: {reason}"
                );
            }
        }
    }

    #[test]
    fn checks_have_a_name_and_a_url() {
        let checks: StatusChecks = "Tempo=http://127.0.0.1:3200/ready,Bus=grpc://[::1]:1"
            .parse()
            .unwrap();
        assert_eq!(checks.0[0].name, "Tempo");
        assert_eq!(checks.0[1].target, Target::Grpc("[::1]:1".parse().unwrap()));
        for bad in [
            "http://x/",
            "=http://x/",
            "x=",
            "x=grpc://h",
            "x=ftp://h/",
            "x=https://h/",
            "http://h/?x=http://h/",
        ] {
            assert!(bad.parse::<StatusChecks>().is_err(), "{bad}");
        }
    }
}
