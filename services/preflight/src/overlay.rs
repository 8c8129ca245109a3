//! Files of the user that are added to the configurations, in a folder of their own (`OTELIX_OVERLAY`).
//!
//! They are copied like the configurations, so they may use the same ports and placeholders. The collector gets each of
//! its files as a further `--config`, Prometheus reads its folders by patterns in `prometheus.yaml`, and Grafana gets a
//! second provider of dashboards.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    addresses::Addresses,
    config::Config,
    configurations,
    findings::{Findings, Problem},
};

/// The folder of the copies, below that of the configurations.
const FOLDER: &str = "overlay";

/// The provider of the dashboards, beside the one of our own.
const PROVIDER: &str = "grafana/provisioning/dashboards/overlay.yaml";

/// What a folder of the overlay is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Collector,
    Scrape,
    Rules,
    Dashboard,
}

const KINDS: [Kind; 4] = [Kind::Collector, Kind::Scrape, Kind::Rules, Kind::Dashboard];

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Collector => "otel-collector",
            Self::Scrape => "prometheus/scrape",
            Self::Rules => "prometheus/rules",
            Self::Dashboard => "dashboards",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Dashboard => "json",
            _ => "yaml",
        }
    }

    fn of(file: &Path) -> Option<Self> {
        KINDS.into_iter().find(|kind| {
            file.parent() == Some(Path::new(kind.folder()))
                && file.extension().is_some_and(|it| it == kind.extension())
        })
    }

    /// What is wrong with the content of a file.
    fn fault(self, text: &str) -> Option<String> {
        let parsed: Result<Value, String> = match self {
            Self::Dashboard => serde_json::from_str(text).map_err(|error| error.to_string()),
            _ => serde_saphyr::from_str(text).map_err(|error| {
                let text = error.without_snippet().to_string();
                text.lines().next().unwrap_or_default().to_owned()
            }),
        };
        let content = match parsed {
            Ok(content) => content,
            Err(error) => return Some(format!("cannot be parsed: {error}")),
        };
        let has = |key: &str| content.get(key).is_some_and(Value::is_array);
        match self {
            Self::Collector if !content.is_object() => {
                Some("is not a configuration of the collector, which is a map".to_owned())
            }
            Self::Scrape if !has("scrape_configs") => {
                Some("has no list `scrape_configs`".to_owned())
            }
            Self::Rules if !has("groups") => Some("has no list `groups`".to_owned()),
            Self::Dashboard if !has("panels") => {
                Some("is not a dashboard, which has a list `panels`".to_owned())
            }
            _ => None,
        }
    }
}

/// The files of the overlay by their path in it. Empty if there is no overlay.
#[derive(Debug, Default)]
pub(crate) struct Overlay(BTreeMap<PathBuf, String>);

impl Overlay {
    /// The files to write below the folder of the generated configurations.
    pub(crate) fn files(&self, data: &str) -> BTreeMap<PathBuf, String> {
        let mut files: BTreeMap<_, _> = self
            .0
            .iter()
            .map(|(file, text)| (Path::new(FOLDER).join(file), text.clone()))
            .collect();
        if self
            .0
            .keys()
            .any(|file| Kind::of(file) == Some(Kind::Dashboard))
        {
            let path = configurations::folder(Path::new(data))
                .join(FOLDER)
                .join("dashboards");
            let provider = format!(
                "\
apiVersion: 1
providers:
  - name: overlay
    folder: own
    type: file
    allowUiUpdates: false
    disableDeletion: true
    options:
      path: {}
",
                path.display()
            );
            files.insert(PROVIDER.into(), provider);
        }
        files
    }
}

/// Reads the files, and reports those that their program could not use.
pub(crate) fn check(config: &Config, addresses: &Addresses, findings: &mut Findings) -> Overlay {
    let folder = &config.overlay;
    if folder.as_os_str().is_empty() {
        return Overlay::default();
    }
    let mut problem = |what: String, remedy: &str| {
        findings.problems.push(Problem {
            what,
            remedy: remedy.to_owned(),
        });
    };
    let remedy = "Set OTELIX_OVERLAY to a folder that you can read, or unset it.";
    if !folder.is_dir() {
        let what = format!("OTELIX_OVERLAY is no folder: {}.", folder.display());
        problem(what, remedy);
        return Overlay::default();
    }
    let all = match configurations::files(folder) {
        Ok(all) => all,
        Err(error) => {
            problem(format!("OTELIX_OVERLAY: {error:#}."), remedy);
            return Overlay::default();
        }
    };
    let mut files = BTreeMap::new();
    let mut unused = Vec::new();
    let mut jobs = jobs(&config.configs.join("prometheus/prometheus.yaml"));
    for file in all {
        let path = folder.join(&file);
        let Some(kind) = Kind::of(&file) else {
            if is_worth_a_warning(&file) {
                unused.push(path);
            }
            continue;
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                problem(
                    format!("{} cannot be read: {error}.", path.display()),
                    "Mend the file, or move it out of OTELIX_OVERLAY.",
                );
                continue;
            }
        };
        let repeated = || {
            let names = (kind == Kind::Scrape).then(|| job_names(&text))?;
            let taken = names.into_iter().find(|name| !jobs.insert(name.clone()))?;
            Some(format!("has the job `{taken}`, which there is already"))
        };
        let filled = addresses.fill(&text);
        if let Some(fault) = kind.fault(&filled).or_else(repeated) {
            problem(
                format!("{} {fault}.", path.display()),
                "Mend the file, or move it out of OTELIX_OVERLAY.",
            );
            continue;
        }
        files.insert(file, text);
    }
    findings
        .warnings
        .extend(unused.into_iter().map(|path| Problem {
            what: format!("{} is not used.", path.display()),
            remedy: format!("OTELIX_OVERLAY may have {}.", places()),
        }));
    Overlay(files)
}

/// Whether a file was probably meant to be used.
fn is_worth_a_warning(file: &Path) -> bool {
    let is_hidden = |part: &std::ffi::OsStr| part.as_encoded_bytes().starts_with(b".");
    let extension = file.extension().unwrap_or_default();
    let is_configuration = ["yaml", "yml", "json"].iter().any(|it| extension == *it);
    is_configuration && !file.iter().any(is_hidden)
}

fn places() -> String {
    let places: Vec<_> = KINDS
        .iter()
        .map(|kind| format!("{}/*.{}", kind.folder(), kind.extension()))
        .collect();
    places.join(", ")
}

/// The names of the scrape jobs in a configuration of Prometheus. Prometheus does not start with a name twice.
fn jobs(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    job_names(&text).into_iter().collect()
}

fn job_names(text: &str) -> Vec<String> {
    let content: Value = serde_saphyr::from_str(text).unwrap_or_default();
    let jobs = content["scrape_configs"].as_array().cloned();
    let names = jobs.into_iter().flatten();
    names
        .filter_map(|job| Some(job["job_name"].as_str()?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_kind_by_its_folder_and_extension() {
        let kind = |path: &str| Kind::of(Path::new(path));
        assert_eq!(kind("otel-collector/a.yaml"), Some(Kind::Collector));
        assert_eq!(kind("prometheus/scrape/a.yaml"), Some(Kind::Scrape));
        assert_eq!(kind("prometheus/rules/a.yaml"), Some(Kind::Rules));
        assert_eq!(kind("dashboards/a.json"), Some(Kind::Dashboard));
        for other in [
            "a.yaml",
            "otel-collector/a.yml",
            "dashboards/a.yaml",
            "dashboards/more/a.json",
            "prometheus/a.yaml",
        ] {
            assert_eq!(kind(other), None, "{other}");
            assert!(is_worth_a_warning(Path::new(other)), "{other}");
        }
        for other in ["README.md", ".git/config.yaml", "dashboards/.x.json"] {
            assert!(!is_worth_a_warning(Path::new(other)), "{other}");
        }
    }

    #[test]
    fn a_fault_is_named_before_a_program_finds_it() {
        for (kind, text, fault) in [
            (Kind::Collector, "exporters: {debug: }", None),
            (Kind::Collector, "- a", Some("a map")),
            (Kind::Collector, "a: [", Some("cannot be parsed")),
            (Kind::Scrape, "scrape_configs: []", None),
            (Kind::Scrape, "- job_name: a", Some("`scrape_configs`")),
            (Kind::Rules, "groups: []", None),
            (Kind::Rules, "rules: []", Some("`groups`")),
            (Kind::Dashboard, r#"{"panels": []}"#, None),
            (Kind::Dashboard, "{", Some("line 1")),
            (Kind::Dashboard, "{}", Some("`panels`")),
        ] {
            let found = kind.fault(text);
            match fault {
                None => assert_eq!(found, None, "{text}"),
                Some(fault) => assert!(found.unwrap().contains(fault), "{text}"),
            }
        }
    }

    #[test]
    fn the_jobs_of_our_configuration_are_known() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let jobs = jobs(&configs.join("prometheus/prometheus.yaml"));
        assert!(
            jobs.contains("otel-collector") && jobs.contains("loki"),
            "{jobs:?}"
        );
    }
}
