//! `process-compose.yaml`, as far as tests follow it: what runs, how, and when it is ready.

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
    /// By name.
    pub processes: BTreeMap<String, Described>,
}

/// A process, as it is described. What a file that is merged leaves out is absent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Described {
    /// What it is, for people.
    pub description: Option<String>,
    /// The group that it can be started with.
    pub namespace: Option<String>,
    /// What bash runs.
    pub command: Option<String>,
    /// Whether it is left out.
    pub disabled: bool,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// What it waits for, by process.
    pub depends_on: BTreeMap<String, Dependency>,
    /// What happens when it ends.
    pub availability: Option<Availability>,
    /// How it is stopped.
    pub shutdown: Option<Shutdown>,
    /// How it shows that it is ready.
    pub readiness_probe: Option<Probe>,
    /// The file of its output.
    pub log_location: Option<String>,
    /// How that is kept small.
    pub log_configuration: Option<Logging>,
}

/// What must be the case of another process.
#[derive(Clone, Debug, Deserialize)]
pub struct Dependency {
    /// `process_healthy`, for instance.
    pub condition: String,
}

/// What happens when a process ends.
#[derive(Clone, Debug, Deserialize)]
pub struct Availability {
    /// `always`, for instance.
    pub restart: String,
}

/// How a process is stopped.
#[derive(Clone, Debug, Deserialize)]
pub struct Shutdown {
    /// The first signal.
    pub signal: u32,
    /// Until it is killed.
    pub timeout_seconds: u64,
}

/// How a process shows that it is ready.
#[derive(Clone, Debug, Deserialize)]
pub struct Probe {
    /// By a command that succeeds.
    pub exec: Option<Exec>,
    /// By a page that is there.
    pub http_get: Option<HttpGet>,
    /// How long before the first.
    #[serde(default)]
    pub initial_delay_seconds: u64,
    /// How long between two.
    pub period_seconds: u64,
    /// How long one may take.
    pub timeout_seconds: u64,
    /// How many must fail in a row.
    pub failure_threshold: u64,
}

/// A command that succeeds when a process is ready.
#[derive(Clone, Debug, Deserialize)]
pub struct Exec {
    /// What bash runs.
    pub command: String,
}

/// A page that is there when a process is ready.
#[derive(Clone, Debug, Deserialize)]
pub struct HttpGet {
    /// Its host.
    pub host: String,
    /// Its port, a text as it may come from a variable.
    pub port: String,
    /// Its path.
    pub path: String,
}

/// How output is kept small.
#[derive(Clone, Debug, Deserialize)]
pub struct Logging {
    /// When a file is put aside.
    pub rotation: Rotation,
}

/// When a file of output is put aside.
#[derive(Clone, Debug, Deserialize)]
pub struct Rotation {
    /// At this size.
    pub max_size_mb: u64,
    /// So many are kept.
    pub max_backups: u64,
}

impl Compose {
    /// Reads files of the repository, of which a later one overrides the earlier ones, with these
    /// variables.
    ///
    /// # Errors
    /// When one is not there or cannot be read.
    pub fn read(files: &[&str], variables: &BTreeMap<String, String>) -> anyhow::Result<Self> {
        let mut all = Self {
            processes: BTreeMap::new(),
        };
        for file in files {
            let text = fs::read_to_string(Path::new(ROOT).join(file))
                .with_context(|| format!("cannot read {file}"))?;
            let one: Self = serde_saphyr::from_str(&expand(&text, variables))
                .with_context(|| format!("cannot read {file}"))?;
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

    /// The names of its program, of which one has to be there.
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
        // What it becomes is either named, or looked for: `exec "$(command -v one || ...)"`.
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

/// The text with the values of variables: `${NAME}`, `${NAME:-default}`, and `$$` for `$`, as
/// process-compose has it.
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

/// Where a program is, on this path.
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
    fn the_program_of_a_command_is_what_it_becomes() {
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
