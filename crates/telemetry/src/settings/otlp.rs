//! Settings of the OTLP exporters, for all signals together and for each signal.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use clap::{
    Arg, ArgMatches, Args, Command, FromArgMatches, ValueEnum,
    builder::{EnumValueParser, RangedU64ValueParser, ValueParser},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::pairs::pairs;

/// Settings of the OTLP exporters. Those of a signal replace those of all signals.
#[derive(Clone, Debug)]
pub struct Otlp {
    common: Part,
    traces: Part,
    metrics: Part,
    logs: Part,
}

/// One of the three signals.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

/// The export settings of one signal.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    /// The name of the signal in messages.
    pub(crate) signal: &'static str,
    /// The path of the method that takes the signal over gRPC.
    pub(crate) method: &'static str,
    pub(crate) endpoint: Endpoint,
    /// The variable that the endpoint comes from.
    pub(crate) variable: &'static str,
    pub(crate) protocol: Protocol,
    pub(crate) headers: Headers,
    pub(crate) timeout: Duration,
    pub(crate) compression: Compression,
    pub(crate) certificate: Option<File>,
    pub(crate) client_certificate: Option<File>,
    pub(crate) client_key: Option<File>,
}

/// The path of a file, and the variable that names it.
pub(crate) type File = (&'static str, PathBuf);

/// A URL that telemetry is sent to. Its authority has no credentials. Its query may have some, so
/// `Debug` does not show it.
#[derive(Clone, Eq, PartialEq)]
pub struct Endpoint(Uri);

/// An OTLP transport.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Protocol {
    /// Protobuf over gRPC.
    #[value(name = "grpc")]
    Grpc,
    /// Protobuf in HTTP requests.
    #[value(name = "http/protobuf")]
    Http,
}

/// How messages are compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Compression {
    /// Not at all.
    None,
    /// By gzip.
    Gzip,
}

/// Headers of an export. They may hold credentials, so `Debug` does not show them.
#[derive(Clone, Default)]
pub struct Headers(HeaderMap);

/// The settings of one signal, or of all signals.
#[derive(Clone, Debug)]
struct Part {
    names: &'static Names,
    endpoint: Option<Endpoint>,
    protocol: Option<Protocol>,
    headers: Option<Headers>,
    timeout: Option<u64>,
    compression: Option<Compression>,
    certificate: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
}

/// The option, the variable and the help of each setting of a [`Part`].
#[derive(Debug)]
struct Names {
    endpoint: Name,
    protocol: Name,
    headers: Name,
    timeout: Name,
    compression: Name,
    certificate: Name,
    client_certificate: Name,
    client_key: Name,
}

#[derive(Debug)]
struct Name {
    long: &'static str,
    variable: &'static str,
    help: &'static str,
}

macro_rules! names {
    ($long:literal, $variable:literal, $($setting:ident: $option:literal, $suffix:literal, $help:expr;)*) => {
        Names {
            $($setting: Name {
                long: concat!("otlp-", $long, $option),
                variable: concat!("OTEL_EXPORTER_OTLP_", $variable, $suffix),
                help: $help,
            },)*
        }
    };
}

/// The names of a signal's own settings.
macro_rules! own {
    ($long:literal, $variable:literal, $signal:literal) => {
        names! {
            $long, $variable,
            endpoint: "endpoint", "ENDPOINT",
                concat!("URL for ", $signal, ", if not the common endpoint; used without a path appended");
            protocol: "protocol", "PROTOCOL", concat!("The transport of ", $signal);
            headers: "headers", "HEADERS", concat!("Headers of each export of ", $signal);
            timeout: "timeout", "TIMEOUT", concat!("Milliseconds for an export of ", $signal);
            compression: "compression", "COMPRESSION", concat!("The compression of ", $signal);
            certificate: "certificate", "CERTIFICATE",
                concat!("File with the root certificates for ", $signal);
            client_certificate: "client-certificate", "CLIENT_CERTIFICATE",
                concat!("File with the client certificate for ", $signal);
            client_key: "client-key", "CLIENT_KEY",
                concat!("File with the client's private key for ", $signal);
        }
    };
}

static COMMON: Names = names! {
    "", "",
    endpoint: "endpoint", "ENDPOINT",
        "Where traces, metrics and logs are sent by OTLP, such as http://127.0.0.1:4317; without \
        it nothing is sent. Over HTTP, v1/traces and so on are appended";
    protocol: "protocol", "PROTOCOL", "The OTLP transport [default: grpc]";
    headers: "headers", "HEADERS",
        "Headers of each export, such as a collector's credentials: NAME=VALUE,...";
    timeout: "timeout", "TIMEOUT",
        "Milliseconds for an export with all its retries [default: 10000]";
    compression: "compression", "COMPRESSION", "The compression of messages [default: none]";
    certificate: "certificate", "CERTIFICATE",
        "File with the root certificates (PEM) for https; without it, those of the system";
    client_certificate: "client-certificate", "CLIENT_CERTIFICATE",
        "File with the certificate chain (PEM) that the client presents";
    client_key: "client-key", "CLIENT_KEY", "File with the client's private key (PEM)";
};
static TRACES: Names = own!("traces-", "TRACES_", "traces");
static METRICS: Names = own!("metrics-", "METRICS_", "metrics");
static LOGS: Names = own!("logs-", "LOGS_", "logs");

impl Otlp {
    /// The common endpoint.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.common.endpoint.as_ref()
    }

    /// Whether there is an endpoint, be it the common one or that of a signal.
    #[must_use]
    pub fn has_endpoint(&self) -> bool {
        let parts = [&self.common, &self.traces, &self.metrics, &self.logs];
        parts.iter().any(|part| part.endpoint.is_some())
    }

    /// Sends the signals without an endpoint of their own to this one.
    pub fn set_endpoint(&mut self, endpoint: Endpoint) {
        self.common.endpoint = Some(endpoint);
    }

    /// The export settings of a signal; `None` if it has no endpoint.
    pub(crate) fn export(&self, signal: Signal) -> Option<Export> {
        let (common, own) = (&self.common, self.own(signal));
        let protocol = own.protocol.or(common.protocol).unwrap_or(Protocol::Grpc);
        let (endpoint, variable) = match (&own.endpoint, &common.endpoint) {
            (Some(endpoint), _) => (endpoint.clone(), own.names.endpoint.variable),
            (None, Some(base)) => {
                let endpoint = match protocol {
                    Protocol::Grpc => base.clone(),
                    Protocol::Http => base.joined(signal),
                };
                (endpoint, common.names.endpoint.variable)
            }
            (None, None) => return None,
        };
        let file = |path: fn(&Part) -> &Option<PathBuf>, name: fn(&Names) -> &Name| {
            [own, common]
                .into_iter()
                .find_map(|part| Some((name(part.names).variable, path(part).clone()?)))
        };
        Some(Export {
            signal: signal.name(),
            method: signal.method(),
            endpoint,
            variable,
            protocol,
            headers: own
                .headers
                .clone()
                .or_else(|| common.headers.clone())
                .unwrap_or_default(),
            timeout: Duration::from_millis(own.timeout.or(common.timeout).unwrap_or(10_000)),
            compression: own
                .compression
                .or(common.compression)
                .unwrap_or(Compression::None),
            certificate: file(|part| &part.certificate, |names| &names.certificate),
            client_certificate: file(
                |part| &part.client_certificate,
                |names| &names.client_certificate,
            ),
            client_key: file(|part| &part.client_key, |names| &names.client_key),
        })
    }

    fn own(&self, signal: Signal) -> &Part {
        match signal {
            Signal::Traces => &self.traces,
            Signal::Metrics => &self.metrics,
            Signal::Logs => &self.logs,
        }
    }
}

impl Signal {
    /// The name in messages and in the paths of OTLP over HTTP.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// The path of the method of OTLP over gRPC.
    fn method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }
}

#[cfg(feature = "profiles")]
impl Export {
    /// Export of profiles, which Pyroscope takes over gRPC.
    pub(crate) fn of_profiles(endpoint: Endpoint, variable: &'static str) -> Self {
        Self {
            signal: "profiles",
            method: "/push.v1.PusherService/Push",
            endpoint,
            variable,
            protocol: Protocol::Grpc,
            headers: Headers::default(),
            timeout: Duration::from_secs(5),
            compression: Compression::Gzip,
            certificate: None,
            client_certificate: None,
            client_key: None,
        }
    }
}

impl Args for Otlp {
    fn augment_args(command: Command) -> Command {
        command
            .args(COMMON.arguments())
            .args([&TRACES, &METRICS, &LOGS].into_iter().flat_map(|names| {
                // The short help only lists the settings for all signals.
                names
                    .arguments()
                    .map(|argument| argument.hide_short_help(true))
            }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Otlp {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            common: Part::of(&COMMON, matches),
            traces: Part::of(&TRACES, matches),
            metrics: Part::of(&METRICS, matches),
            logs: Part::of(&LOGS, matches),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Names {
    fn arguments(&self) -> [Arg; 8] {
        let argument = |name: &Name, value: &'static str, parser: ValueParser| {
            Arg::new(name.long)
                .long(name.long)
                .env(name.variable)
                .value_name(value)
                .value_parser(parser)
                .ignore_case(true)
                .help(name.help)
                .help_heading("Telemetry")
        };
        let path = || ValueParser::path_buf();
        [
            // A URL and headers may hold credentials.
            argument(&self.endpoint, "URL", ValueParser::new(Endpoint::from_str))
                .hide_env_values(true),
            argument(
                &self.protocol,
                "PROTOCOL",
                EnumValueParser::<Protocol>::new().into(),
            ),
            argument(
                &self.headers,
                "HEADERS",
                ValueParser::new(Headers::from_str),
            )
            .hide_env_values(true),
            argument(
                &self.timeout,
                "MS",
                RangedU64ValueParser::<u64>::new().range(1..).into(),
            ),
            argument(
                &self.compression,
                "COMPRESSION",
                EnumValueParser::<Compression>::new().into(),
            ),
            argument(&self.certificate, "FILE", path()),
            argument(&self.client_certificate, "FILE", path()),
            argument(&self.client_key, "FILE", path()),
        ]
    }
}

impl Part {
    fn of(names: &'static Names, matches: &ArgMatches) -> Self {
        let file = |name: &Name| matches.get_one::<PathBuf>(name.long).cloned();
        Self {
            names,
            endpoint: matches.get_one(names.endpoint.long).cloned(),
            protocol: matches.get_one(names.protocol.long).copied(),
            headers: matches.get_one(names.headers.long).cloned(),
            timeout: matches.get_one(names.timeout.long).copied(),
            compression: matches.get_one(names.compression.long).copied(),
            certificate: file(&names.certificate),
            client_certificate: file(&names.client_certificate),
            client_key: file(&names.client_key),
        }
    }
}

impl Endpoint {
    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// The host and the port.
    #[must_use]
    pub fn address(&self) -> String {
        let default = if self.is_https() { 443 } else { 80 };
        let port = self.0.port_u16().unwrap_or(default);
        format!("{}:{port}", self.0.host().unwrap_or_default())
    }

    /// The endpoint of a signal over HTTP, with this endpoint as the base for all signals.
    fn joined(&self, signal: Signal) -> Self {
        let mut parts = self.0.clone().into_parts();
        let base = self.0.path().trim_end_matches('/');
        let query = self.0.query().map(|query| format!("?{query}"));
        let path = format!("{base}/v1/{}{}", signal.name(), query.unwrap_or_default());
        // A valid path and query stay valid with the path of a signal appended.
        parts.path_and_query = path.parse().ok();
        Uri::from_parts(parts).map_or_else(|_| self.clone(), Self)
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => {
                let port = &authority.as_str()[authority.host().len()..];
                if authority.as_str().contains('@') {
                    Err(
                        "a URL with a user or a password; put credentials into the headers"
                            .to_owned(),
                    )
                } else if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
                    Err("a URL whose port is not a number from 1 to 65535".to_owned())
                } else {
                    Ok(Self(uri))
                }
            }
            _ => Err("not a URL of the form http://HOST:PORT or https://HOST:PORT".to_owned()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self
            .0
            .authority()
            .map_or("", |authority| authority.as_str());
        let path = self.0.path();
        let path = if path == "/" { "" } else { path };
        write!(formatter, "{scheme}://{authority}{path}")
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Headers {
    pub(crate) fn map(&self) -> HeaderMap {
        self.0.clone()
    }
}

impl FromStr for Headers {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut headers = HeaderMap::new();
        for pair in pairs(text) {
            let (name, value) = pair?;
            let name: HeaderName = name
                .to_ascii_lowercase()
                .parse()
                .or(Err("not the name of a header"))?;
            let mut value =
                HeaderValue::from_str(&value).or(Err("a value is not valid in a header"))?;
            value.set_sensitive(true);
            headers.append(name, value);
        }
        Ok(Self(headers))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
