//! The requirements of each process: programs, a configuration, a folder, a secret.

use std::path::Path;

use setup::Secret;

use crate::broker::Broker;

/// A process and its requirements.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its name in process-compose.yaml.
    pub(crate) name: &'static str,
    /// The broker with which the process runs. `None` if it runs with any.
    broker: Option<Broker>,
    /// The required programs. Each inner list has alternatives, of which one is enough.
    pub(crate) programs: &'static [&'static [&'static str]],
    /// How to get the programs.
    pub(crate) source: &'static str,
    /// Its configuration file, relative to the folder of the configurations.
    pub(crate) configuration: Option<&'static str>,
    /// Its folder, relative to the data folder. Services create their own files and have none.
    pub(crate) folder: Option<&'static str>,
    /// The secret that it reads.
    pub(crate) secret: Option<Secret>,
    /// Whether it belongs to the whole stack. Others run only where they are named.
    pub(crate) is_default: bool,
}

impl Process {
    /// The names of all processes but preflight.
    #[must_use]
    pub(crate) fn names() -> Vec<&'static str> {
        let mut names: Vec<_> = PROCESSES.iter().map(|process| process.name).collect();
        names.dedup();
        names
    }

    const fn service(name: &'static str, programs: &'static [&'static [&'static str]]) -> Self {
        Self {
            name,
            broker: None,
            programs,
            source: "Run `cargo build --release --workspace`, and put target/release on PATH.",
            configuration: None,
            folder: None,
            secret: None,
            is_default: true,
        }
    }
}

/// All processes, in the order of the report.
pub(crate) static PROCESSES: &[Process] = &[
    Process {
        name: "broker",
        broker: Some(Broker::Redpanda),
        programs: &[&["redpanda"]],
        source: "`nix develop` has it on x86_64 Linux, or see https://docs.redpanda.com. Or use Apache Kafka: \
                 process-compose -f process-compose.yaml -f process-compose.kafka.yaml up",
        configuration: Some("redpanda/redpanda.yaml"),
        folder: Some("redpanda"),
        secret: None,
        is_default: true,
    },
    Process {
        name: "broker",
        broker: Some(Broker::Kafka),
        programs: &[&["kafka-server-start.sh"], &["kafka-storage.sh"]],
        source: "`nix develop` has it, or see https://kafka.apache.org/downloads and put its folder bin on PATH.",
        configuration: Some("kafka/server.properties"),
        folder: Some("kafka"),
        secret: None,
        is_default: true,
    },
    Process {
        name: "redpanda-console",
        broker: Some(Broker::Redpanda),
        programs: &[&["redpanda-console"]],
        source: "`nix develop` has it on x86_64 Linux, or see https://github.com/redpanda-data/console/releases.",
        configuration: None,
        folder: None,
        secret: None,
        is_default: true,
    },
    Process {
        name: "otel-collector",
        broker: None,
        programs: &[&["otelcol-contrib", "otelcol"]],
        source: "`nix develop` has it, or get otelcol-contrib from \
                 https://github.com/open-telemetry/opentelemetry-collector-releases/releases.",
        configuration: Some("otel-collector/config.yaml"),
        folder: Some("otel-collector"),
        secret: None,
        is_default: true,
    },
    Process {
        name: "prometheus",
        broker: None,
        programs: &[&["prometheus"]],
        source: "`nix develop` has it, or see https://prometheus.io/download.",
        configuration: Some("prometheus/prometheus.yaml"),
        folder: Some("prometheus"),
        secret: None,
        is_default: true,
    },
    Process {
        name: "alertmanager",
        broker: None,
        programs: &[&["alertmanager"]],
        source: "`nix develop` has it, or see https://prometheus.io/download.",
        configuration: Some("alertmanager/alertmanager.yaml"),
        folder: Some("alertmanager"),
        secret: None,
        is_default: true,
    },
    Process {
        name: "loki",
        broker: None,
        programs: &[&["loki"]],
        source: "`nix develop` has it, or see https://github.com/grafana/loki/releases.",
        configuration: Some("loki/loki.yaml"),
        folder: Some("loki"),
        secret: None,
        is_default: true,
    },
    Process {
        name: "tempo",
        broker: None,
        programs: &[&["tempo"]],
        source: "`nix develop` has it, or see https://github.com/grafana/tempo/releases.",
        configuration: Some("tempo/tempo.yaml"),
        folder: Some("tempo"),
        secret: None,
        is_default: true,
    },
    Process {
        name: "grafana",
        broker: None,
        programs: &[&["grafana"]],
        source: "`nix develop` has it, or see https://grafana.com/grafana/download.",
        configuration: None,
        folder: Some("grafana"),
        secret: Some(Secret::GrafanaAdminPassword),
        is_default: true,
    },
    Process {
        name: PYROSCOPE,
        broker: None,
        programs: &[&["pyroscope"]],
        source: "`nix run .#lgtm -- --profiles` has it, or see https://github.com/grafana/pyroscope/releases.",
        configuration: Some("pyroscope/pyroscope.yaml"),
        folder: Some("pyroscope"),
        secret: None,
        is_default: false,
    },
    Process::service("user", &[&["user"]]),
    Process {
        secret: Some(Secret::Jwt),
        ..Process::service("auth", &[&["auth"]])
    },
    Process::service("frontend", &[&["frontend"]]),
    Process::service("loadgen", &[&["loadgen"]]),
    Process::service("vitals", &[&["vitals"]]),
    Process::service("admission", &[&["admission"]]),
    Process {
        is_default: false,
        ..Process::service("lens", &[&["lens"]])
    },
];

/// The process that stores profiles. Without it, no configuration mentions profiles.
pub(crate) const PYROSCOPE: &str = "pyroscope";

/// The configuration of the collector's pipeline for profiles, relative to the folder of the configurations. If it
/// exists, process-compose.yaml starts the collector with it.
const PROFILES: &str = "otel-collector/profiles.yaml";

/// The alert rules for the metrics of vitals, relative to the folder of the configurations. Without vitals, one of them
/// would always fire.
const RULES_OF_VITALS: &str = "prometheus/rules/stack.yaml";

/// The processes to start.
#[derive(Debug)]
pub(crate) struct Selection(Vec<&'static Process>);

impl Selection {
    /// The processes with the names in `only` that run with `broker`. All of them if `only` is empty. With `profiles`,
    /// Pyroscope too.
    pub(crate) fn of(broker: Broker, only: &[&str], profiles: bool) -> Self {
        let runs = |process: &&Process| {
            let is_named = match only {
                [] => process.is_default,
                only => only.contains(&process.name),
            };
            process.broker.is_none_or(|its| its == broker)
                && (is_named || profiles && process.name == PYROSCOPE)
        };
        Self(PROCESSES.iter().filter(runs).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static Process> {
        self.0.iter().copied()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.iter().any(|process| process.name == name)
    }

    pub(crate) fn has_redpanda(&self) -> bool {
        self.iter()
            .any(|process| process.broker == Some(Broker::Redpanda))
    }

    /// Whether the selected processes need this configuration file.
    pub(crate) fn needs(&self, file: &Path) -> bool {
        if file == Path::new(RULES_OF_VITALS) {
            self.contains("vitals")
        } else if file == Path::new(PROFILES) {
            self.has_profiles()
        } else {
            true
        }
    }

    /// Whether profiles are stored.
    pub(crate) fn has_profiles(&self) -> bool {
        self.contains(PYROSCOPE)
    }

    pub(crate) fn secrets(&self) -> impl Iterator<Item = Secret> {
        self.iter().filter_map(|process| process.secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_broker_is_selected() {
        for (broker, folder) in [(Broker::Redpanda, "redpanda"), (Broker::Kafka, "kafka")] {
            let selection = Selection::of(broker, &[], false);
            let brokers: Vec<_> = selection
                .iter()
                .filter(|process| process.name == "broker")
                .collect();
            assert_eq!(brokers.len(), 1);
            assert_eq!(brokers[0].folder, Some(folder));
            assert_eq!(selection.has_redpanda(), broker == Broker::Redpanda);
        }
    }

    #[test]
    fn profiles_add_pyroscope_and_its_pipeline() {
        let of = |only: &[&str], profiles| Selection::of(Broker::Kafka, only, profiles);
        let pipeline = Path::new(PROFILES);
        for only in [&[][..], &["grafana"]] {
            let (without, with) = (of(only, false), of(only, true));
            assert!(!without.has_profiles() && !without.needs(pipeline));
            assert!(with.has_profiles() && with.needs(pipeline));
            assert_eq!(with.iter().count(), without.iter().count() + 1);
        }
        assert!(of(&["pyroscope"], false).has_profiles());
    }

    #[test]
    fn every_process_of_the_compose_file_is_known_and_no_other() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../process-compose.yaml");
        let text = std::fs::read_to_string(file).unwrap();
        let (_, processes) = text.split_once("\nprocesses:\n").unwrap();
        let mut names: Vec<_> = processes
            .lines()
            .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
            .filter(|name| !name.starts_with(' ') && *name != "preflight")
            .collect();
        let known = PROCESSES.iter().filter(|process| process.is_default);
        let mut known: Vec<_> = known.map(|process| process.name).collect();
        known.dedup();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known);
    }

    #[test]
    fn the_configuration_of_each_process_exists() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let files = PROCESSES.iter().filter_map(|process| process.configuration);
        for file in files.chain([PROFILES, RULES_OF_VITALS]) {
            assert!(configs.join(file).is_file(), "{file}");
        }
    }
}
