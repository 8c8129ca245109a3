//! The dashboards and the rules: what each says of itself, and that every query of theirs gives data where people have
//! used the system for a minute.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{Process, Stack, System, compose::ROOT, stack::TELEMETRY, system::eventually};
use events::Broker;
use libtest_mimic::{Completion, Trial};
use serde::Deserialize;
use serde_json::Value;

use crate::{trial, trial_with};

const DOCUMENTATION: &str = include_str!("../../../../docs/telemetry.md");

/// What no declaration of ours has: metrics of the backends, of Prometheus itself and of the traces.
const OF_BACKENDS: &[&str] = &[
    "ALERTS",
    "loki_",
    "otelcol_",
    "prometheus_",
    "redpanda_",
    "tempo_",
    "traces_",
    "up",
];

/// What these tests have no source of: a supervisor, and Redpanda.
const ABSENT: &[&str] = &["supervisor_", "redpanda_"];

/// What is there only when something has gone wrong, or when there is a consumer with a group.
const ONLY_IN_TROUBLE: &[&str] = &[
    "events_dead_lettered_total",
    "otelcol_exporter_send_failed_",
    "otelcol_exporter_enqueue_failed_",
];

/// Rates are of a minute, and rules are evaluated four times in it.
const WITHIN: Duration = Duration::from_secs(150);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("dashboards::each_panel_says_what_it_shows", async || {
            each_panel_says()
        }),
        trial("dashboards::links_lead_to_dashboards", async || links()),
        trial(
            "dashboards::every_metric_is_declared_or_a_backends_own",
            async || declared(),
        ),
        trial(
            "dashboards::every_documented_metric_is_on_its_panel",
            async || documented_panels(),
        ),
        trial(
            "rules::each_alert_has_a_severity_and_a_runbook",
            async || alerts(),
        ),
        trial(
            "rules::prometheus_reads_each_file_and_each_has_a_test",
            async || rule_files(),
        ),
        trial_with(
            "dashboards::every_query_gives_data",
            Stack::missing(TELEMETRY),
            async || every_query().await,
        ),
        Trial::ignorable_test(
            "dashboards::queries_of_the_supervisor_and_of_redpanda",
            || {
                let panels = not_run()?.join("; ");
                Ok(Completion::ignored_with(format!(
                    "neither runs here: {panels}"
                )))
            },
        ),
    ]
}

#[derive(Deserialize)]
struct Dashboard {
    uid: String,
    title: String,
    description: String,
    templating: Templating,
    panels: Vec<Panel>,
}

#[derive(Deserialize)]
struct Templating {
    list: Vec<Variable>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Panel {
    id: u32,
    r#type: String,
    title: String,
    grid_pos: Place,
    #[serde(default)]
    description: String,
    #[serde(default)]
    datasource: Option<Datasource>,
    #[serde(default)]
    field_config: Value,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Place {
    x: u32,
    y: u32,
    w: u32,
    h: u32,
}

#[derive(Deserialize)]
struct Datasource {
    uid: String,
}

#[derive(Deserialize)]
struct Target {
    /// PromQL or LogQL.
    #[serde(default)]
    expr: String,
    /// TraceQL.
    #[serde(default)]
    query: String,
}

#[derive(Deserialize)]
struct Link {
    title: String,
    url: String,
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
struct Rule {
    #[serde(default)]
    record: Option<String>,
    #[serde(default)]
    alert: Option<String>,
    expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Prometheus {
    rule_files: Vec<String>,
}

impl Dashboard {
    /// All that is not just a heading.
    fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter().filter(|panel| panel.r#type != "row")
    }

    /// A query as Grafana sends it, with every variable at *All*.
    fn filled(&self, query: &str) -> String {
        let mut filled = query
            .replace("$__rate_interval", "1m")
            .replace("$__range", "15m")
            .replace("$__interval", "15s");
        for variable in &self.templating.list {
            filled = filled.replace(&format!("${}", variable.name), ".+");
        }
        filled
    }
}

impl Rule {
    fn name(&self) -> &str {
        let name = self.record.as_deref().or(self.alert.as_deref());
        name.unwrap_or_default()
    }
}

/// All dashboards, with the names of their files.
fn dashboards() -> anyhow::Result<Vec<(String, Dashboard)>> {
    let mut dashboards = Vec::new();
    for path in files("dashboards", "json")? {
        let text = fs::read_to_string(&path)?;
        let dashboard = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let name = path.file_stem().context("no name")?;
        dashboards.push((name.to_string_lossy().into_owned(), dashboard));
    }
    ensure!(dashboards.len() >= 8, "{} dashboards", dashboards.len());
    Ok(dashboards)
}

/// All rules, without their tests.
fn rules() -> anyhow::Result<Vec<Rule>> {
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

fn files(folder: &str, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join(folder))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn each_panel_says() -> anyhow::Result<()> {
    for (file, dashboard) in dashboards()? {
        ensure!(
            dashboard.uid == file,
            "{file} has the uid {}",
            dashboard.uid
        );
        ensure!(
            !dashboard.title.is_empty() && !dashboard.description.is_empty(),
            "{file}"
        );
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for panel in &dashboard.panels {
            let name = format!("{file}: {}", panel.title);
            ensure!(ids.insert(panel.id), "{name}: its id is another's too");
            ensure!(
                !panel.title.is_empty(),
                "{file}: panel {} has no title",
                panel.id
            );
            let Place { x, y, w, h } = panel.grid_pos;
            ensure!(w > 0 && h > 0 && x + w <= 24, "{name}: no place");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                ensure!(cells.insert(cell), "{name}: it lies on another");
            }
        }
        for panel in dashboard.panels() {
            let name = format!("{file}: {}", panel.title);
            ensure!(panel.description.ends_with('.'), "{name}: no description");
            ensure!(
                panel.field_config["defaults"]["unit"].is_string(),
                "{name}: no unit"
            );
            ensure!(!panel.targets.is_empty(), "{name}: no query");
            let datasource = panel.datasource.as_ref().context("no datasource")?;
            ensure!(
                ["prometheus", "loki", "tempo"].contains(&datasource.uid.as_str()),
                "{name}: {}",
                datasource.uid
            );
        }
    }
    Ok(())
}

fn links() -> anyhow::Result<()> {
    let dashboards = dashboards()?;
    let known: BTreeSet<&str> = dashboards.iter().map(|(file, _)| file.as_str()).collect();
    for (file, dashboard) in &dashboards {
        for panel in dashboard.panels() {
            for link in &panel.links {
                let name = format!("{file}: {}: {}", panel.title, link.title);
                ensure!(!link.title.is_empty(), "{name}");
                if let Some(target) = link.url.strip_prefix("/d/") {
                    let uid = target.split('?').next().unwrap_or_default();
                    ensure!(known.contains(uid), "{name}: no dashboard {uid}");
                } else {
                    let is_known = ["/explore?", "/alerting/"]
                        .iter()
                        .any(|page| link.url.starts_with(page));
                    ensure!(is_known, "{name}: {}", link.url);
                }
            }
        }
    }
    Ok(())
}

fn declared() -> anyhow::Result<()> {
    let documented: BTreeSet<String> = documented().into_iter().map(|row| row.metric).collect();
    let rules = rules()?;
    let recorded: BTreeSet<&str> = rules
        .iter()
        .filter_map(|rule| rule.record.as_deref())
        .collect();
    let check = |name: &str, query: &str| -> anyhow::Result<()> {
        for metric in metrics(query) {
            let plain = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|suffix| metric.strip_suffix(suffix))
                .unwrap_or(&metric);
            let is_known = documented.contains(&metric)
                || documented.contains(plain)
                || recorded.contains(metric.as_str())
                || OF_BACKENDS.iter().any(|own| metric.starts_with(own));
            ensure!(is_known, "{name}: who has {metric}?");
        }
        Ok(())
    };
    for rule in &rules {
        check(rule.name(), &rule.expr)?;
    }
    for (file, dashboard) in dashboards()? {
        for panel in dashboard.panels() {
            if panel
                .datasource
                .as_ref()
                .is_none_or(|it| it.uid != "prometheus")
            {
                continue;
            }
            for target in &panel.targets {
                check(&format!("{file}: {}", panel.title), &target.expr)?;
            }
        }
    }
    Ok(())
}

fn documented_panels() -> anyhow::Result<()> {
    let dashboards: BTreeMap<String, Dashboard> = dashboards()?.into_iter().collect();
    let rules = rules()?;
    let documented = documented();
    ensure!(documented.len() > 50, "{} rows", documented.len());
    for Documented { metric, panels } in documented {
        for (file, title) in panels {
            let dashboard = dashboards.get(&file);
            let dashboard = dashboard.with_context(|| format!("{metric}: no dashboard {file}"))?;
            let name = format!("{metric}: {file}: {title}");
            let panel = dashboard.panels().find(|panel| panel.title == title);
            let panel = panel.with_context(|| format!("{name}: there is no such panel"))?;
            let shown: BTreeSet<String> = panel
                .targets
                .iter()
                .flat_map(|target| metrics(&target.expr))
                .collect();
            // What a rule has recorded counts too.
            let behind = rules
                .iter()
                .filter(|rule| shown.contains(rule.name()))
                .flat_map(|rule| metrics(&rule.expr));
            let is_shown =
                shown.iter().cloned().chain(behind).any(|shown| {
                    shown == metric || shown.strip_prefix(&metric).is_some_and(is_suffix)
                });
            ensure!(is_shown, "{name}: it shows {shown:?}");
        }
    }
    Ok(())
}

fn is_suffix(text: &str) -> bool {
    ["_bucket", "_count", "_sum"].contains(&text)
}

/// A row of the documentation's tables.
struct Documented {
    /// As Prometheus calls it.
    metric: String,
    /// Files of dashboards, and titles of panels.
    panels: Vec<(String, String)>,
}

fn documented() -> Vec<Documented> {
    let plain = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let rows = DOCUMENTATION.lines().filter(|line| line.starts_with("| `"));
    rows.filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(plain).collect();
        let [_, metric, _, _, _, _, _, panels] = &cells[..] else {
            return None;
        };
        let mut shown = Vec::new();
        for part in panels.split("; ") {
            let (files, titles) = part.split_once(": ")?;
            for file in files.split(", ") {
                let file = match file {
                    "user" | "auth" => format!("{file}-service-dashboard"),
                    "frontend" => "frontend-dashboard".to_owned(),
                    other => other.to_owned(),
                };
                shown.extend(
                    titles
                        .split(", ")
                        .map(|title| (file.clone(), title.to_owned())),
                );
            }
        }
        Some(Documented {
            metric: metric.clone(),
            panels: shown,
        })
    })
    .collect()
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
            let file = runbook.replace("{{ $labels.slo }}", objective);
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

/// A query, who asks it, and of whom.
#[derive(Clone)]
struct Asked {
    who: String,
    store: Store,
    query: String,
}

#[derive(Clone, Copy)]
enum Store {
    Prometheus,
    Loki,
    Tempo,
}

/// Every query of the dashboards and the rules that can have data here.
fn asked() -> anyhow::Result<Vec<Asked>> {
    let mut asked = Vec::new();
    let mut ask = |who: String, store: Store, query: String| {
        asked.push(Asked { who, store, query });
    };
    for (file, dashboard) in dashboards()? {
        for panel in dashboard.panels().filter(|panel| !is_absent(panel)) {
            let who = format!("{file}: {}", panel.title);
            let datasource = panel.datasource.as_ref().context("no datasource")?;
            for target in &panel.targets {
                match datasource.uid.as_str() {
                    "tempo" if target.query.is_empty() => {
                        // The service graph is made of these.
                        let series = "traces_service_graph_request_total".to_owned();
                        ask(who.clone(), Store::Prometheus, series);
                    }
                    "tempo" => ask(who.clone(), Store::Tempo, target.query.clone()),
                    "loki" => ask(who.clone(), Store::Loki, dashboard.filled(&target.expr)),
                    _ => ask(
                        who.clone(),
                        Store::Prometheus,
                        dashboard.filled(&target.expr),
                    ),
                }
            }
        }
    }
    for rule in rules()? {
        let who = format!("rule {}", rule.name());
        if let Some(record) = &rule.record {
            ask(who.clone(), Store::Prometheus, rule.expr.clone());
            ask(who, Store::Prometheus, record.clone());
            continue;
        }
        // An alert's query has data when it fires. What it is about is there before.
        for metric in metrics(&rule.expr) {
            if !is_any(&metric, ABSENT) && !is_any(&metric, ONLY_IN_TROUBLE) {
                ask(who.clone(), Store::Prometheus, metric);
            }
        }
    }
    Ok(asked)
}

fn is_any(metric: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| metric.starts_with(prefix))
}

/// Whether all that a panel shows comes from somebody who is not here.
fn is_absent(panel: &Panel) -> bool {
    let mut shown = panel
        .targets
        .iter()
        .flat_map(|target| metrics(&target.expr))
        .peekable();
    shown.peek().is_some() && shown.all(|metric| is_any(&metric, ABSENT))
}

fn not_run() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for (file, dashboard) in dashboards()? {
        let absent = dashboard.panels().filter(|panel| is_absent(panel));
        names.extend(absent.map(|panel| format!("{file}: {}", panel.title)));
    }
    Ok(names)
}

async fn every_query() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), TELEMETRY).await?;
    let broker = Broker::start(6)?;
    let system = System::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &stack.otlp_grpc()),
        ("KAFKA_BROKERS", &broker.address().to_string()),
    ])
    .await?;
    let target = system.url("");
    let arguments = [
        "--target",
        &target,
        "--rate=5",
        "--duration=forever",
        "--accounts=2",
    ];
    let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", stack.otlp_grpc())];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let _load = Process::start("loadgen", &arguments, &environment, system.folder.path())?;

    let mut empty = asked()?;
    ensure!(empty.len() > 200, "{} queries", empty.len());
    eventually(WITHIN, async || {
        let mut still = Vec::new();
        for asked in &empty {
            let has_data = has_data(&stack, asked).await;
            if !has_data.with_context(|| format!("{}: {}", asked.who, asked.query))? {
                still.push(asked.clone());
            }
        }
        empty = still;
        // Whoever has none yet gets some with the next export, or the next evaluation.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let names = empty.iter();
        let names: Vec<_> = names
            .map(|asked| format!("{}: {}", asked.who, asked.query))
            .collect();
        ensure!(names.is_empty(), "without data:\n{}", names.join("\n"));
        Ok(())
    })
    .await
}

async fn has_data(stack: &Stack, asked: &Asked) -> anyhow::Result<bool> {
    Ok(match asked.store {
        Store::Prometheus => {
            let series = stack.prometheus.query(&asked.query).await?;
            // Of a histogram there is no value, but it is data.
            series.iter().any(|series| series["value"][1] != "NaN")
        }
        Store::Loki => !stack.loki.result(&asked.query).await?.is_empty(),
        Store::Tempo => !stack.tempo.search(&asked.query).await?.is_empty(),
    })
}

/// The metrics that a PromQL expression reads: all names in it that are neither functions nor operators nor labels.
fn metrics(promql: &str) -> BTreeSet<String> {
    const WORDS: &[&str] = &[
        "and",
        "bool",
        "by",
        "group_left",
        "group_right",
        "ignoring",
        "offset",
        "on",
        "or",
        "unless",
        "without",
    ];
    // With their lists of labels.
    const LISTS: &[&str] = &[
        "by",
        "group_left",
        "group_right",
        "ignoring",
        "on",
        "without",
    ];
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    let mut metrics = BTreeSet::new();
    let mut rest = promql;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '"' => after_string(rest),
            '{' | '[' => after_brackets(rest),
            _ if is_name(first) => {
                let end = rest.find(|character| !is_name(character));
                let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
                let next = after.trim_start();
                let is_call = next.starts_with('(');
                let is_number = first.is_ascii_digit();
                let is_aggregation = ["by ", "by(", "without ", "without("]
                    .iter()
                    .any(|list| next.starts_with(list));
                if !is_number && !is_call && !is_aggregation && !WORDS.contains(&name) {
                    metrics.insert(name.to_owned());
                }
                if is_call && LISTS.contains(&name) {
                    after_brackets(next)
                } else {
                    after
                }
            }
            _ => rest.get(first.len_utf8()..).unwrap_or_default(),
        };
    }
    metrics
}

/// What follows a string, which begins here.
fn after_string(text: &str) -> &str {
    let mut is_escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            '"' if !is_escaped => return text.get(index + 1..).unwrap_or_default(),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    ""
}

/// What follows brackets, which open here and have none of their kind in them.
fn after_brackets(text: &str) -> &str {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            '"' => rest = after_string(rest),
            '}' | ']' | ')' => return rest.get(1..).unwrap_or_default(),
            _ => rest = rest.get(first.len_utf8()..).unwrap_or_default(),
        }
    }
    ""
}
