//! The settings of preflight.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser},
};
use setup::DataFolder;

use crate::{
    addresses::{EXTERNAL_ADDRESS, OTLP_TOKEN, OTLP_TOKEN_FILE},
    broker::Broker,
    ports::Ports,
    processes::{self, Process},
};

/// The settings of preflight. Each field is a flag and an environment variable.
#[derive(Clone, derive_more::Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Each port of the stack has a flag too: see --help.",
    after_long_help = "Examples:\n\
\x20 preflight --only prometheus,grafana\n\
\x20 GRAFANA_PORT=3001 preflight"
)]
pub struct Config {
    /// Folder of the source configurations; preflight writes copies with the ports and paths in use
    #[arg(
        long,
        env = "OTELIX_CONFIGS",
        value_name = "FOLDER",
        default_value = "configs"
    )]
    pub(crate) configs: PathBuf,

    /// The data folder, which also gets logs, secrets and generated configurations.
    #[command(flatten)]
    pub(crate) data: DataFolder,

    /// Folder of the runbooks, which Prometheus serves as pages
    #[arg(
        long,
        env = "OTELIX_RUNBOOKS",
        value_name = "FOLDER",
        default_value = "docs/runbooks"
    )]
    pub(crate) runbooks: PathBuf,

    /// Folder of files that are added to the configurations: otel-collector/*.yaml, prometheus/scrape/*.yaml,
    /// prometheus/rules/*.yaml, dashboards/*.json
    #[arg(
        long,
        env = "OTELIX_OVERLAY",
        value_name = "FOLDER",
        value_parser = path_or_empty(),
        hide_default_value = true,
        default_value = ""
    )]
    pub(crate) overlay: PathBuf,

    /// IP address of this machine at which containers, virtual machines and other machines reach the collector and the
    /// broker; without it, they listen on loopback alone
    #[arg(
        long,
        env = EXTERNAL_ADDRESS,
        value_name = "IP",
        hide_default_value = true,
        default_value = ""
    )]
    pub(crate) external_address: String,

    /// Secret that senders of OTLP show at that address, as `authorization: Bearer SECRET`: 16 to 256 letters, digits and
    /// signs of -._~+/=
    #[arg(
        long,
        env = OTLP_TOKEN,
        value_name = "SECRET",
        hide_env_values = true,
        hide_default_value = true,
        default_value = ""
    )]
    #[debug("..")]
    pub(crate) otlp_token: String,

    /// File of that secret
    #[arg(
        long,
        env = OTLP_TOKEN_FILE,
        value_name = "FILE",
        value_parser = path_or_empty(),
        hide_default_value = true,
        default_value = ""
    )]
    pub(crate) otlp_token_file: PathBuf,

    /// The broker to run
    #[arg(long, env = "OTELIX_BROKER", value_enum, default_value_t)]
    pub(crate) broker: Broker,

    /// Processes to check and prepare for, separated by commas; all by default
    #[arg(
        long,
        env = "OTELIX_ONLY",
        value_name = "NAME",
        value_delimiter = ',',
        hide_possible_values = true,
        value_parser = process_name()
    )]
    pub(crate) only: Vec<&'static str>,

    /// Prepares for Pyroscope too, which stores profiles
    #[arg(
        long,
        env = "OTELIX_PROFILES",
        value_parser = clap::builder::FalseyValueParser::new(),
        action = clap::ArgAction::SetTrue
    )]
    pub(crate) profiles: bool,

    /// Folders to search for programs, separated by colons
    #[arg(
        long,
        env = "PATH",
        hide_env_values = true,
        hide_default_value = true,
        hide_short_help = true,
        default_value = ""
    )]
    pub(crate) path: OsString,

    /// Set by process-compose for the processes that it starts; its own port is in use then
    #[arg(long, env = "PC_PROC_NAME", hide = true)]
    pub(crate) supervised: Option<String>,

    /// The port of process-compose, which reads this variable itself
    #[arg(long, env = "PC_PORT_NUM", hide = true)]
    pub(crate) process_compose_port: Option<u16>,

    /// The ports of all processes.
    #[command(flatten)]
    pub(crate) ports: Ports,

    /// A command that replaces the checks.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// The commands of preflight. Without one, it checks and prepares.
#[derive(Clone, Debug, Eq, PartialEq, Subcommand)]
pub(crate) enum Command {
    /// Writes the runbooks as HTML pages, and checks nothing
    Runbooks {
        /// Folder for `--web.user-assets` of Prometheus
        folder: PathBuf,
    },
}

impl Config {
    /// Reads the command line and the environment. Ends the process if a setting is invalid.
    #[must_use]
    pub fn read() -> Self {
        let matches = setup::without_service_links(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// A parser of paths that takes an empty one, which means that there is none.
fn path_or_empty() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// A parser of process names, which accepts those in [`processes::PROCESSES`].
fn process_name() -> impl TypedValueParser<Value = &'static str> {
    let names = || processes::PROCESSES.iter().map(|process| process.name);
    PossibleValuesParser::new(Process::names())
        .try_map(move |given| names().find(|name| *name == given).ok_or("unknown process"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PORTS;

    #[test]
    fn the_command_line_is_valid() {
        Config::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_configurations() {
        let config = Config::try_parse_from(["preflight"]).unwrap();
        assert_eq!(config.broker, Broker::Redpanda);
        assert!(config.only.is_empty());
        for port in PORTS {
            assert_eq!(config.ports.of(port), port.default, "{}", port.variable);
        }
    }

    #[test]
    fn profiles_are_off_by_default() {
        let profiles = |arguments: &[&str]| {
            let arguments = [&["preflight"], arguments].concat();
            Config::try_parse_from(arguments).unwrap().profiles
        };
        assert!(!profiles(&[]) && profiles(&["--profiles"]));
    }

    #[test]
    fn an_unknown_process_is_refused_with_the_known_names() {
        let config = Config::try_parse_from(["preflight", "--only", "loki,user"]).unwrap();
        assert_eq!(config.only, ["loki", "user"]);
        let error = Config::try_parse_from(["preflight", "--only", "loci"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("loci") && text.contains("loki"), "{text}");
    }

    #[test]
    fn a_wrong_port_is_named_with_its_variable() {
        for wrong in ["0", "70000", "http"] {
            let error = Config::try_parse_from(["preflight", "--loki-port", wrong]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(wrong) && text.contains("LOKI_PORT"), "{text}");
        }
    }

    #[test]
    fn the_long_help_names_all_ports_and_the_short_one_none() {
        let short = Config::command().render_help().to_string();
        let long = Config::command().render_long_help().to_string();
        assert!(short.contains("see --help") && !long.contains("see --help"));
        for port in PORTS {
            assert!(!short.contains(port.variable), "{short}");
            assert!(long.contains(port.variable), "{long}");
        }
    }
}
