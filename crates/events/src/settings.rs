//! The settings of events.

use std::{fmt, str::FromStr, time::Duration};

use clap::{Args, Command, FromArgMatches as _};
use reqwest::Url;

/// The broker, the schema registry, and the topics.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Events")]
// Clap's default is the name of the struct, which the settings of telemetry use already.
#[group(id = "events")]
pub struct Settings {
    /// Kafka brokers, as HOST:PORT,...; without them there are no events. Connections use neither
    /// TLS nor SASL
    #[arg(long, env = "KAFKA_BROKERS", value_name = "ADDRESSES")]
    pub kafka_brokers: Option<Brokers>,

    /// Schema registry with Confluent's API, as <http://HOST:PORT>, to which the schema of the
    /// events is published; without it the schema is not published
    #[arg(
        long,
        env = "SCHEMA_REGISTRY_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub schema_registry_url: Option<Registry>,

    /// Number of partitions for topics that are missing and so created
    #[arg(long, env = "KAFKA_PARTITIONS", value_name = "COUNT", default_value_t = 6,
        value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub kafka_partitions: u16,

    /// Number of brokers that keep a copy of each created topic
    #[arg(long, env = "KAFKA_REPLICATION_FACTOR", value_name = "COUNT", default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=100))]
    pub kafka_replication_factor: u16,

    /// Number of brokers that must have an event before it counts as sent, for created topics; by default more than half
    /// of those that keep a copy, and never more than these
    #[arg(long, env = "KAFKA_MIN_INSYNC_REPLICAS", value_name = "COUNT",
        value_parser = clap::value_parser!(u16).range(1..=100))]
    pub kafka_min_insync_replicas: Option<u16>,

    /// How long created topics keep events; topics of dead letters keep them four times as long
    #[arg(long, env = "KAFKA_RETENTION", value_name = "DURATION", default_value = "7d",
        value_parser = humantime::parse_duration)]
    pub kafka_retention: Duration,
}

/// The URL of a schema registry; an empty string means none. It is logged, so it must not hold a
/// password.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Registry(Option<Url>);

/// Addresses of brokers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Brokers(String);

impl Settings {
    /// Settings with these brokers and defaults for the rest; the environment is ignored.
    ///
    /// # Errors
    /// When they are not of the form HOST:PORT,...
    pub fn of(brokers: &str) -> Result<Self, clap::Error> {
        let command = Self::augment_args(Command::new("events"));
        let command = command.mut_args(|argument| argument.env(None::<&str>));
        let matches = command.try_get_matches_from(["events", "--kafka-brokers", brokers])?;
        Self::from_arg_matches(&matches)
    }

    /// Whether brokers are configured.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.brokers().is_some()
    }

    /// The brokers, in librdkafka's format; `None` if none are configured.
    pub(crate) fn brokers(&self) -> Option<&str> {
        let Brokers(brokers) = self.kafka_brokers.as_ref()?;
        Some(brokers)
            .filter(|text| !text.is_empty())
            .map(String::as_str)
    }

    /// The topic setting `min.insync.replicas`. The default of brokers is 1: an event that one of three brokers has would
    /// count as sent, and would be lost with it.
    pub(crate) fn min_insync_replicas(&self) -> u16 {
        let copies = self.kafka_replication_factor;
        self.kafka_min_insync_replicas
            .map_or(copies / 2 + 1, |wanted| wanted.min(copies))
    }

    /// The URL of the schema registry, if there is one.
    pub(crate) fn registry(&self) -> Option<&Url> {
        self.schema_registry_url.as_ref()?.0.as_ref()
    }
}

impl FromStr for Brokers {
    type Err = String;

    /// Accepts an empty string too, which means no brokers.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_address = |address: &str| {
            let (host, port) = address.rsplit_once(':')?;
            let port: u16 = port.parse().ok()?;
            let is_host = !host.is_empty() && !host.contains(['@', '/', ' ', '\t']);
            (is_host && port > 0).then_some(())
        };
        if text.is_empty() || text.split(',').all(|address| is_address(address).is_some()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("not of the form HOST:PORT,...".to_owned())
        }
    }
}

impl fmt::Display for Brokers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for Registry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let url: Url = text.parse().map_err(|error| format!("{error}"))?;
        if url.scheme() != "http" {
            return Err("not of the form http://HOST:PORT".to_owned());
        }
        let is_bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_bare {
            return Err(
                "a registry with a user, a password or a query is not supported".to_owned(),
            );
        }
        Ok(Self(Some(url)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    fn parse(args: &[&str]) -> Result<Settings, clap::Error> {
        Cli::try_parse_from([&["x"], args].concat()).map(|cli| cli.settings)
    }

    #[test]
    fn brokers_are_hosts_and_ports() {
        for good in ["127.0.0.1:9092", "a:1,b:2", "[::1]:9092"] {
            let settings = parse(&["--kafka-brokers", good]).unwrap();
            assert_eq!(settings.brokers(), Some(good));
        }
        for bad in [
            "a",
            "a:",
            ":1",
            "a:0",
            "a:1,",
            "a:1, b:2",
            "a:99999",
            "user:secret@a:1",
            "kafka://a:1",
        ] {
            assert!(parse(&["--kafka-brokers", bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn empty_settings_count_as_unset() {
        let settings = parse(&["--kafka-brokers=", "--schema-registry-url="]).unwrap();
        assert_eq!(settings.brokers(), None);
        assert_eq!(settings.registry(), None);
    }

    #[test]
    fn most_copies_are_written_before_an_event_counts_as_sent() {
        for (copies, wanted, expected) in [
            ("1", None, 1),
            ("2", None, 2),
            ("3", None, 2),
            ("5", None, 3),
            ("3", Some("1"), 1),
            ("3", Some("3"), 3),
            // Nothing could be sent.
            ("3", Some("4"), 3),
        ] {
            let copies = format!("--kafka-replication-factor={copies}");
            let wanted = wanted.map(|wanted| format!("--kafka-min-insync-replicas={wanted}"));
            let args: Vec<_> = [Some(&copies), wanted.as_ref()]
                .into_iter()
                .flatten()
                .collect();
            let args: Vec<_> = args.into_iter().map(String::as_str).collect();
            assert_eq!(
                parse(&args).unwrap().min_insync_replicas(),
                expected,
                "{args:?}"
            );
        }
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        for bad in [
            "--schema-registry-url=127.0.0.1:8081",
            "--schema-registry-url=https://x",
            "--schema-registry-url=http://user:secret@x",
            "--schema-registry-url=http://user@x",
            "--schema-registry-url=http://x?key=secret",
            "--kafka-partitions=0",
            "--kafka-replication-factor=0",
            "--kafka-min-insync-replicas=0",
            "--kafka-retention=7",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
