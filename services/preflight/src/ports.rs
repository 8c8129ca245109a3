//! The ports of all processes: for each, its default and the variable that changes it. The configurations and the
//! compose files contain the defaults.

use std::collections::BTreeMap;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, error::ErrorKind, value_parser};

use crate::{broker::Broker, processes::PYROSCOPE};

/// A port that a process listens on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Port {
    /// The name of the process in process-compose.yaml; `supervisor` is process-compose itself.
    pub process: &'static str,
    /// The environment variable that changes the port.
    pub variable: &'static str,
    /// The port without that variable. All defaults differ.
    pub default: u16,
    /// The protocol or the purpose of the port, as `--help` shows it.
    pub protocol: &'static str,
    /// A process that listens on the port if it runs in place of `process`.
    pub(crate) substitute: Option<&'static str>,
    /// The broker that uses the port. `None` if all brokers do, or if the process is not a broker.
    pub(crate) broker: Option<Broker>,
    /// Whether the process listens on the port at the external address alone.
    pub(crate) is_external: bool,
}

impl Port {
    const fn new(
        process: &'static str,
        variable: &'static str,
        default: u16,
        protocol: &'static str,
    ) -> Self {
        Self {
            process,
            variable,
            default,
            protocol,
            substitute: None,
            broker: None,
            is_external: false,
        }
    }

    const fn only(self, broker: Broker) -> Self {
        Self {
            broker: Some(broker),
            ..self
        }
    }

    const fn external(self) -> Self {
        Self {
            is_external: true,
            ..self
        }
    }

    /// A port for OTLP, which lens takes if it runs in place of the collector.
    const fn otlp(variable: &'static str, default: u16, protocol: &'static str) -> Self {
        Self {
            substitute: Some("lens"),
            ..Self::new("otel-collector", variable, default, protocol)
        }
    }

    /// Whether the port is used on loopback if `broker` runs.
    pub(crate) fn is_used_with(&self, broker: Broker) -> bool {
        !self.is_external && self.broker.is_none_or(|only| only == broker)
    }

    fn flag(&self) -> String {
        self.variable.to_ascii_lowercase().replace('_', "-")
    }
}

/// The process in [`PORTS`] that starts preflight, and so already listens on its port.
pub(crate) const SUPERVISOR: &str = "supervisor";

/// All ports.
pub const PORTS: &[Port] = &[
    Port::new("user", "USER_PORT", 8080, "gRPC"),
    Port::new("auth", "AUTH_PORT", 8081, "gRPC"),
    Port::new("frontend", "FRONTEND_PORT", 8082, "pages"),
    Port::new("redpanda-console", "REDPANDA_CONSOLE_PORT", 8083, "pages").only(Broker::Redpanda),
    Port::new("loadgen", "LOADGEN_PORT", 8084, "health"),
    Port::new("vitals", "VITALS_PORT", 8085, "health"),
    Port::new("lens", "LENS_PORT", 8086, "pages"),
    Port::new("admission", "ADMISSION_PORT", 8087, "OTLP over HTTP"),
    Port::new(
        SUPERVISOR,
        "SUPERVISOR_PORT",
        8099,
        "API of process-compose",
    ),
    Port::new("broker", "BROKER_PORT", 9092, "Kafka protocol"),
    // Kafka cannot listen on one port of two IPv4 addresses.
    Port::new(
        "broker",
        "BROKER_EXTERNAL_PORT",
        9094,
        "Kafka protocol, at OTELIX_EXTERNAL_ADDRESS",
    )
    .external(),
    Port::new("broker", "BROKER_ADMIN_PORT", 9644, "admin API").only(Broker::Redpanda),
    Port::new("broker", "BROKER_REGISTRY_PORT", 18081, "schema registry").only(Broker::Redpanda),
    Port::new("broker", "BROKER_PROXY_PORT", 18082, "HTTP proxy").only(Broker::Redpanda),
    Port::new("broker", "BROKER_RPC_PORT", 33145, "between brokers").only(Broker::Redpanda),
    Port::new("broker", "BROKER_CONTROLLER_PORT", 19093, "controller").only(Broker::Kafka),
    Port::otlp("OTEL_COLLECTOR_OTLP_GRPC_PORT", 4317, "OTLP over gRPC"),
    Port::otlp("OTEL_COLLECTOR_OTLP_HTTP_PORT", 4318, "OTLP over HTTP"),
    Port::new(
        "otel-collector",
        "OTEL_COLLECTOR_JAEGER_PORT",
        14268,
        "Jaeger",
    ),
    Port::new(
        "otel-collector",
        "OTEL_COLLECTOR_ZIPKIN_PORT",
        9411,
        "Zipkin",
    ),
    Port::new(
        "otel-collector",
        "OTEL_COLLECTOR_HEALTH_PORT",
        13133,
        "health",
    ),
    Port::new(
        "otel-collector",
        "OTEL_COLLECTOR_ZPAGES_PORT",
        55679,
        "zPages",
    ),
    Port::new("otel-collector", "OTEL_COLLECTOR_PPROF_PORT", 1888, "pprof"),
    Port::new(
        "otel-collector",
        "OTEL_COLLECTOR_METRICS_PORT",
        8888,
        "metrics",
    ),
    Port::new("prometheus", "PROMETHEUS_PORT", 9090, "HTTP"),
    Port::new("alertmanager", "ALERTMANAGER_PORT", 9093, "HTTP"),
    Port::new("loki", "LOKI_PORT", 3100, "HTTP"),
    Port::new("loki", "LOKI_GRPC_PORT", 9096, "gRPC"),
    Port::new("tempo", "TEMPO_PORT", 3200, "HTTP"),
    Port::new("tempo", "TEMPO_GRPC_PORT", 9095, "gRPC"),
    Port::new("tempo", "TEMPO_OTLP_GRPC_PORT", 4417, "OTLP over gRPC"),
    Port::new("tempo", "TEMPO_OTLP_HTTP_PORT", 4418, "OTLP over HTTP"),
    Port::new(PYROSCOPE, "PYROSCOPE_PORT", 4040, "HTTP"),
    Port::new(PYROSCOPE, "PYROSCOPE_GRPC_PORT", 9097, "gRPC"),
    Port::new(PYROSCOPE, "PYROSCOPE_RAFT_PORT", 9099, "between metastores"),
    Port::new("grafana", "GRAFANA_PORT", 3000, "pages"),
];

/// The ports of this start.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Ports(BTreeMap<u16, u16>);

impl Ports {
    /// The number of one of [`PORTS`] in this start.
    #[must_use]
    pub(crate) fn of(&self, port: &Port) -> u16 {
        self.instead_of(port.default)
    }

    /// The number that replaces a default port. Other numbers are returned unchanged.
    pub(crate) fn instead_of(&self, default: u16) -> u16 {
        self.0.get(&default).copied().unwrap_or(default)
    }
}

impl FromArgMatches for Ports {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let ports = PORTS.iter().map(|port| {
            let given = matches.get_one::<u16>(port.variable);
            given
                .map(|given| (port.default, *given))
                .ok_or_else(|| clap::Error::new(ErrorKind::MissingRequiredArgument))
        });
        ports.collect::<Result<_, _>>().map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Ports {
    fn augment_args(command: Command) -> Command {
        command.args(PORTS.iter().map(|port| {
            Arg::new(port.variable)
                .long(port.flag())
                .env(port.variable)
                .help(format!("{}: {}", port.process, port.protocol))
                .value_parser(value_parser!(u16).range(1..))
                .default_value(port.default.to_string())
                .help_heading("Ports")
                .hide_short_help(true)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// What is before a port in a configuration.
const MARKS: [&str; 4] = [
    "127.0.0.1:",
    "[::1]:",
    "${OTELIX_EXTERNAL_ADDRESS}:",
    "port: ",
];

/// Replaces each port of a loopback or external address and each port setting in a configuration.
pub fn rewrite(text: &str, mut map: impl FnMut(u16) -> u16) -> String {
    let mut rewritten = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(length) = MARKS
        .iter()
        .filter_map(|mark| Some(rest.find(mark)? + mark.len()))
        .min()
    {
        let (before, after) = rest.split_at(length);
        let digits = after
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(after.len());
        let (port, after) = after.split_at(digits);
        rewritten.push_str(before);
        match port.parse() {
            Ok(port) => rewritten.push_str(&map(port).to_string()),
            // Not a port number.
            Err(_) => rewritten.push_str(port),
        }
        rest = after;
    }
    rewritten.push_str(rest);
    rewritten
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use clap::Parser as _;

    use super::*;
    use crate::{Config, processes::PROCESSES};

    #[test]
    fn all_defaults_and_all_variables_differ() {
        let defaults: BTreeSet<_> = PORTS.iter().map(|port| port.default).collect();
        let variables: BTreeSet<_> = PORTS.iter().map(|port| port.variable).collect();
        assert_eq!(defaults.len(), PORTS.len());
        assert_eq!(variables.len(), PORTS.len());
    }

    #[test]
    fn every_port_belongs_to_a_known_process() {
        for port in PORTS {
            let is_known = PROCESSES.iter().any(|process| process.name == port.process);
            assert!(is_known || port.process == SUPERVISOR, "{port:?}");
        }
    }

    /// preflight would not replace a port that is not in the table.
    #[test]
    fn the_configurations_and_the_compose_files_contain_exactly_the_defaults() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let defaults: BTreeSet<_> = PORTS.iter().map(|port| port.default).collect();
        let mut seen = BTreeSet::new();
        for file in crate::configurations::files(&root.join("configs")).unwrap() {
            let text = std::fs::read_to_string(root.join("configs").join(&file)).unwrap();
            rewrite(&text, |port| {
                assert!(defaults.contains(&port), "{} has {port}", file.display());
                seen.insert(port);
                port
            });
        }
        for file in [
            "process-compose.yaml",
            "process-compose.kafka.yaml",
            "process-compose.lens.yaml",
            "process-compose.profiles.yaml",
        ] {
            let text = std::fs::read_to_string(root.join(file)).unwrap();
            for (variable, rest) in text.split("${").filter_map(|rest| rest.split_once(":-")) {
                if !variable.ends_with("_PORT") {
                    continue;
                }
                let default = rest.split('}').next().unwrap();
                let port = PORTS.iter().find(|port| port.variable == variable);
                let port = port.unwrap_or_else(|| panic!("{file} has {variable}"));
                assert_eq!(default, port.default.to_string(), "{variable} in {file}");
                seen.insert(port.default);
            }
        }
        assert_eq!(seen, defaults, "a default is in no file");
    }

    #[test]
    fn only_ports_of_loopback_and_port_settings_are_replaced() {
        let text = "\
http_listen_port: 3100
endpoint: 127.0.0.1:4317 # and http://127.0.0.1:9090/api/v1/write
address: 127.0.0.1
port: ${PORT}
port: 123456
other: '[::1]:4317' '${OTELIX_EXTERNAL_ADDRESS}:4317' '[::2]:4317'
image: example.com:3100
limit: 3100";
        let rewritten = rewrite(text, |port| port + 1);
        let expected = "\
http_listen_port: 3101
endpoint: 127.0.0.1:4318 # and http://127.0.0.1:9091/api/v1/write
address: 127.0.0.1
port: ${PORT}
port: 123456
other: '[::1]:4318' '${OTELIX_EXTERNAL_ADDRESS}:4318' '[::2]:4317'
image: example.com:3100
limit: 3100";
        assert_eq!(rewritten, expected);
    }

    #[test]
    fn two_ports_can_be_swapped() {
        let arguments = ["preflight", "--loki-port=3200", "--tempo-port=3100"];
        let config = Config::try_parse_from(arguments).unwrap();
        let text = rewrite("127.0.0.1:3100 127.0.0.1:3200", |port| {
            config.ports.instead_of(port)
        });
        assert_eq!(text, "127.0.0.1:3200 127.0.0.1:3100");
    }
}
