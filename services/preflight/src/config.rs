//! The settings of preflight.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use setup::DataFolder;

use crate::{
    broker::Broker,
    ports::Ports,
    processes::{self, Process},
};

/// What preflight can be told. Each field is a flag and an environment variable.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Every port is a setting too: see --help.",
    after_long_help = "Examples:\n\
\x20 preflight --only prometheus,grafana\n\
\x20 GRAFANA_PORT=3001 preflight"
)]
pub struct Config {
    /// Folder of the configurations, as they are written by hand
    #[arg(
        long,
        env = "OTELIX_CONFIGS",
        value_name = "FOLDER",
        default_value = "configs"
    )]
    pub(crate) configs: PathBuf,

    /// Where data is kept, and what is made here: logs, secrets, configurations.
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

    /// Which broker shall run
    #[arg(long, env = "OTELIX_BROKER", value_enum, default_value_t)]
    pub(crate) broker: Broker,

    /// Check and prepare for these processes only, separated by commas; without it, for all
    #[arg(
        long,
        env = "OTELIX_ONLY",
        value_name = "NAME",
        value_delimiter = ',',
        hide_possible_values = true,
        value_parser = process_name()
    )]
    pub(crate) only: Vec<&'static str>,

    /// Where programs are looked for
    #[arg(
        long,
        env = "PATH",
        hide_env_values = true,
        hide_default_value = true,
        hide_short_help = true,
        default_value = ""
    )]
    pub(crate) path: OsString,

    /// Set by process-compose for what it starts: its own port is in use then
    #[arg(long, env = "PC_PROC_NAME", hide = true)]
    pub(crate) supervised: Option<String>,

    /// Where process-compose listens; it reads this variable itself
    #[arg(long, env = "PC_PORT_NUM", hide = true)]
    pub(crate) process_compose_port: Option<u16>,

    /// Where everything listens.
    #[command(flatten)]
    pub(crate) ports: Ports,

    /// What to do instead.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What preflight can do instead of its checks.
#[derive(Clone, Debug, Eq, PartialEq, Subcommand)]
pub(crate) enum Command {
    /// Writes the runbooks as pages, and checks nothing
    Runbooks {
        /// Folder for `--web.user-assets` of Prometheus
        folder: PathBuf,
    },
}

impl Config {
    /// Reads the command line and the environment. Ends the process where one of them is wrong.
    #[must_use]
    pub fn read() -> Self {
        let matches = setup::without_service_links(Self::command()).get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The name of a process, as it is in the table.
fn process_name() -> impl TypedValueParser<Value = &'static str> {
    let names = || processes::PROCESSES.iter().map(|process| process.name);
    PossibleValuesParser::new(Process::names())
        .try_map(move |given| names().find(|name| *name == given).ok_or("no process"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PORTS;

    #[test]
    fn the_command_line_is_sound() {
        Config::command().debug_assert();
    }

    #[test]
    fn without_settings_all_is_as_the_configurations_say() {
        let config = Config::try_parse_from(["preflight"]).unwrap();
        assert_eq!(config.broker, Broker::Redpanda);
        assert!(config.only.is_empty());
        for port in PORTS {
            assert_eq!(config.ports.of(port), port.default, "{}", port.variable);
        }
    }

    #[test]
    fn processes_are_known_by_name() {
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
