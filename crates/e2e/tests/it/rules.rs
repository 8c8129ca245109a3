//! Tests of the rules of Prometheus: their texts, and the metrics that they read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use e2e::compose::ROOT;
use libtest_mimic::Trial;
use serde::Deserialize;

use crate::{
    documentation, files,
    queries::{ABSENT, Asked, ONLY_IN_TROUBLE, Store, is_any, metrics},
    trial,
};

/// Prefixes of metrics that the project does not declare: those of the backends, of Prometheus itself, of traces, and of
/// programs in other languages.
const OF_OTHERS: &[&str] = &[
    "ALERTS",
    "alertmanager_",
    "dotnet_",
    "go_",
    "http_server_duration_milliseconds",
    "jvm_",
    "loki_",
    "nodejs_",
    "otelcol_",
    "process_runtime_cpython_",
    "prometheus_",
    "redpanda_",
    "rpc_server_duration_milliseconds",
    "target_info",
    "tempo_",
    "traces_",
    "up",
    "v8js_",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "rules::each_alert_has_a_severity_and_a_runbook",
            async || alerts(),
        ),
        trial(
            "rules::prometheus_reads_each_file_and_each_has_a_test",
            async || rule_files(),
        ),
        trial(
            "rules::every_metric_is_declared_or_a_backends_own",
            async || declared(),
        ),
    ]
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
pub(crate) struct Rule {
    #[serde(default)]
    pub(crate) record: Option<String>,
    #[serde(default)]
    alert: Option<String>,
    pub(crate) expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Prometheus {
    rule_files: Vec<String>,
}

/// The names of all known metrics.
pub(crate) struct Known(BTreeSet<String>);

impl Rule {
    pub(crate) fn name(&self) -> &str {
        let name = self.record.as_deref().or(self.alert.as_deref());
        name.unwrap_or_default()
    }

    /// Whether it is about services that the project does not have: with former conventions, or without metrics of
    /// requests.
    fn is_of_others(&self) -> bool {
        self.name() == "request:duration_milliseconds:rate3m"
            || self.labels.get("kind").is_some_and(|kind| kind == "span")
    }
}

impl Known {
    /// Reads the documented metrics and those that rules record.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let documented = documentation::metrics()?.into_iter();
        let documented = documented.map(|row| row.prometheus.to_owned());
        let recorded = rules()?.into_iter().filter_map(|rule| rule.record);
        Ok(Self(documented.chain(recorded).collect()))
    }

    /// Fails if a query reads an unknown metric.
    pub(crate) fn check(&self, who: &str, promql: &str) -> anyhow::Result<()> {
        for metric in metrics(promql) {
            let plain = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|suffix| metric.strip_suffix(suffix))
                .unwrap_or(&metric);
            let is_known =
                self.0.contains(&metric) || self.0.contains(plain) || is_any(&metric, OF_OTHERS);
            ensure!(is_known, "{who}: unknown metric {metric}");
        }
        Ok(())
    }
}

/// All rules, without their tests.
pub(crate) fn rules() -> anyhow::Result<Vec<Rule>> {
    let mut rules = Vec::new();
    for path in files("configs/prometheus/rules", "yaml")? {
        if path.to_string_lossy().ends_with("_test.yaml") {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        let file: Rules =
            serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
        rules.extend(file.groups.into_iter().flat_map(|group| group.rules));
    }
    ensure!(rules.len() > 20, "{} rules", rules.len());
    Ok(rules)
}

/// The queries of rules that have data in a healthy system.
pub(crate) fn asked() -> anyhow::Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for rule in rules()?.into_iter().filter(|rule| !rule.is_of_others()) {
        let mut ask = |query: String| {
            asked.push(Asked {
                who: format!("rule {}", rule.name()),
                store: Store::Prometheus,
                query,
            });
        };
        if let Some(record) = &rule.record {
            ask(rule.expr.clone());
            ask(record.clone());
            continue;
        }
        // The query of an alert has data only when it fires. The metrics that it reads always have some.
        for metric in metrics(&rule.expr) {
            if !is_any(&metric, ABSENT) && !is_any(&metric, ONLY_IN_TROUBLE) {
                ask(metric);
            }
        }
    }
    Ok(asked)
}

fn declared() -> anyhow::Result<()> {
    let known = Known::read()?;
    for rule in rules()? {
        known.check(rule.name(), &rule.expr)?;
    }
    Ok(())
}

fn alerts() -> anyhow::Result<()> {
    let objectives: Vec<String> = rules()?
        .into_iter()
        .filter(|rule| rule.record.as_deref() == Some("slo:objective:ratio"))
        .filter_map(|rule| rule.labels.get("slo").cloned())
        .collect();
    ensure!(objectives.len() == 4, "{objectives:?}");
    for rule in rules()?.iter().filter(|rule| rule.alert.is_some()) {
        let name = rule.name();
        let severity = rule.labels.get("severity").map(String::as_str);
        ensure!(
            matches!(severity, Some("warning" | "critical")),
            "{name}: {severity:?}"
        );
        ensure!(
            rule.annotations.contains_key("summary"),
            "{name}: no summary"
        );
        let runbook = rule.annotations.get("runbook_url");
        let runbook = runbook.with_context(|| format!("{name}: no runbook"))?;
        for objective in &objectives {
            let page = runbook.replace("{{ $labels.slo }}", objective);
            let page = page.strip_prefix("{{ $externalURL }}/user/runbooks/");
            let page = page.and_then(|page| page.strip_suffix(".html"));
            let page = page.with_context(|| format!("{name}: {runbook}"))?;
            let file = format!("docs/runbooks/{page}.md");
            let text = fs::read_to_string(Path::new(ROOT).join(&file))
                .with_context(|| format!("{name}: {file}"))?;
            ensure!(text.contains(name), "{file} does not name {name}");
        }
    }
    Ok(())
}

fn rule_files() -> anyhow::Result<()> {
    let folder = Path::new(ROOT).join("configs/prometheus");
    let text = fs::read_to_string(folder.join("prometheus.yaml"))?;
    let Prometheus { rule_files } = serde_saphyr::from_str(&text)?;
    let read: BTreeSet<PathBuf> = rule_files.iter().map(|file| folder.join(file)).collect();
    let all: BTreeSet<PathBuf> = files("configs/prometheus/rules", "yaml")?
        .into_iter()
        .collect();
    let is_test = |path: &Path| path.to_string_lossy().ends_with("_test.yaml");
    for file in &read {
        let test = file.to_string_lossy().replace(".yaml", "_test.yaml");
        ensure!(all.contains(Path::new(&test)), "no {test}");
    }
    let rules: BTreeSet<PathBuf> = all.into_iter().filter(|path| !is_test(path)).collect();
    ensure!(read == rules, "{read:?} is not {rules:?}");
    Ok(())
}
