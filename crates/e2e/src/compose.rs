//! The parts of `process-compose.yaml` that tests use: processes, commands, probes and dependencies.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::Deserialize;

/// The folder of the repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The processes of one or more files.
#[derive(Clone, Debug, Deserialize)]
pub struct Compose {
    /// Variables of all processes as `NAME=value`.
    #[serde(default)]
    pub environment: Vec<String>,
    /// The processes by name.
    pub processes: BTreeMap<String, Described>,
}

/// The description of a process. In a file that is merged, fields may be absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Described {
    /// The description for people.
    pub description: Option<String>,
    /// The namespace, by which groups of processes can be started.
    pub namespace: Option<String>,
    /// The command, which bash runs.
    pub command: Option<String>,
    /// Whether the process is not started.
    pub disabled: bool,
    /// Variables as `NAME=value`.
    pub environment: Vec<String>,
    /// The processes that this one waits for.
    pub depends_on: BTreeMap<String, Dependency>,
    /// Whether it is restarted when it ends.
    pub availability: Option<Availability>,
    /// The signal and the time limit of a stop.
    pub shutdown: Option<Shutdown>,
    /// The probe for readiness.
    pub readiness_probe: Option<Probe>,
    /// The log file.
    pub log_location: Option<String>,
    /// The rotation of the log file.
    pub log_configuration: Option<Logging>,
}

/// A condition that another process must meet.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// The condition, such as `process_healthy`.
    pub condition: String,
}

/// The restart policy of a process.
#[derive(Clone, Debug, Deserialize)]
pub struct Availability {
    /// The policy, such as `always`.
    pub restart: String,
}

/// The settings for the stop of a process.
#[derive(Clone, Debug, Deserialize)]
pub struct Shutdown {
    /// The first signal.
    pub signal: u32,
    /// The time in seconds after which it is killed.
    pub timeout_seconds: u64,
}

/// A readiness probe.
#[derive(Clone, Debug, Deserialize)]
pub struct Probe {
    /// A command that must succeed.
    pub exec: Option<Exec>,
    /// A page that must exist.
    pub http_get: Option<HttpGet>,
    /// The delay before the first probe, in seconds.
    #[serde(default)]
    pub initial_delay_seconds: u64,
    /// The interval of probes, in seconds.
    pub period_seconds: u64,
    /// The time limit of a probe, in seconds.
    pub timeout_seconds: u64,
    /// The number of failures in a row after which the process counts as failed.
    pub failure_threshold: u64,
}

/// A probe by a command.
#[derive(Clone, Debug, Deserialize)]
pub struct Exec {
    /// The command, which bash runs.
    pub command: String,
}

/// A probe by a page.
#[derive(Clone, Debug, Deserialize)]
pub struct HttpGet {
    /// The host.
    pub host: String,
    /// The port, a text because it may come from a variable.
    pub port: String,
    /// The path.
    pub path: String,
}

/// The settings of a log file.
#[derive(Clone, Debug, Deserialize)]
pub struct Logging {
    /// The rotation.
    pub rotation: Rotation,
}

/// The rotation of a log file.
#[derive(Clone, Debug, Deserialize)]
pub struct Rotation {
    /// The size in MB at which a file is rotated.
    pub max_size_mb: u64,
    /// The number of old files that are kept.
    pub max_backups: u64,
}

impl Compose {
    /// Reads files of the repository with these variables. Later files override earlier ones.
    ///
    /// # Errors
    /// When a file is missing or cannot be parsed.
    pub fn read(files: &[&str], variables: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut all = Self {
            environment: Vec::new(),
            processes: BTreeMap::new(),
        };
        for file in files {
            let text = fs::read_to_string(Path::new(ROOT).join(file))
                .with_context(|| format!("cannot read {file}"))?;
            let one: Self = serde_saphyr::from_str(&expand(&text, variables))
                .with_context(|| format!("cannot read {file}"))?;
            all.environment.extend(one.environment);
            for (name, process) in one.processes {
                all.processes.entry(name).or_default().merge(process);
            }
        }
        Ok(all)
    }
}

impl Described {
    fn merge(&mut self, other: Self) {
        fn over<T>(old: &mut Option<T>, new: Option<T>) {
            if new.is_some() {
                *old = new;
            }
        }
        over(&mut self.description, other.description);
        over(&mut self.namespace, other.namespace);
        over(&mut self.command, other.command);
        self.disabled |= other.disabled;
        self.environment.extend(other.environment);
        self.depends_on.extend(other.depends_on);
        over(&mut self.availability, other.availability);
        over(&mut self.shutdown, other.shutdown);
        over(&mut self.readiness_probe, other.readiness_probe);
        over(&mut self.log_location, other.log_location);
        over(&mut self.log_configuration, other.log_configuration);
    }

    /// Whether its program is one of the workspace.
    #[must_use]
    pub fn is_of_workspace(&self) -> bool {
        let services = Path::new(ROOT).join("services");
        let mut programs = self.programs().into_iter();
        programs.any(|program| services.join(program).is_dir())
    }

    /// The names of its program, at least one of which must be on PATH.
    #[must_use]
    pub fn programs(&self) -> Vec<String> {
        let command = self.command.as_deref().unwrap_or_default();
        let after = |mark: &str| -> Vec<String> {
            command
                .split(mark)
                .skip(1)
                .filter_map(|rest| rest.trim_start_matches('"').split([' ', ')', '"']).next())
                .filter(|word| !word.is_empty())
                .map(ToOwned::to_owned)
                .collect()
        };
        // The command names the program, or searches for it: `exec "$(command -v one || ...)"`.
        let named: Vec<String> = after("exec ")
            .into_iter()
            .filter(|word| !word.starts_with('$'))
            .collect();
        if named.is_empty() {
            after("command -v ")
        } else {
            named
        }
    }
}

/// Expands variables like process-compose: `${NAME}`, `${NAME:-default}`, and `$$` for `$`.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        let (before, after) = rest.split_at(start);
        expanded.push_str(before);
        if let Some(after) = after.strip_prefix("$$") {
            expanded.push('$');
            rest = after;
        } else if let Some((inner, after)) = after
            .strip_prefix("${")
            .and_then(|inner| inner.split_once('}'))
        {
            let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
            expanded.push_str(variables.get(name).map_or(default, String::as_str));
            rest = after;
        } else {
            expanded.push('$');
            rest = &after[1..];
        }
    }
    expanded.push_str(rest);
    expanded
}

/// The file of a program in the folders of `path`.
#[must_use]
pub fn find(program: &str, path: &std::ffi::OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_have_values_or_defaults() {
        let variables = BTreeMap::from([("PORT".to_owned(), "1".to_owned())]);
        let text = expand("a ${PORT:-2} ${OTHER:-3} ${NONE} $$(x) $", &variables);
        assert_eq!(text, "a 1 3  $(x) $");
    }

    #[test]
    fn the_program_of_a_command_is_the_one_that_it_executes() {
        let process = |command: &str| Described {
            command: Some(command.to_owned()),
            ..Described::default()
        };
        let programs = |command| process(command).programs();
        assert_eq!(programs("exec user"), ["user"]);
        assert_eq!(programs("a format && exec b c"), ["b"]);
        let either = programs("exec \"$(command -v one || command -v two)\" --x");
        assert_eq!(either, ["one", "two"]);
    }
}
