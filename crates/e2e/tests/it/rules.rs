//! Tests of the rules of Prometheus: their texts, and the metrics that they read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use e2e::{Stack, compose::ROOT, system::eventually};
use libtest_mimic::Trial;
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    documentation, files,
    queries::{ABSENT, Asked, ONLY_IN_TROUBLE, Store, is_any, metrics},
    trial, trial_with,
};

/// The backends that store metrics.
const OF_METRICS: &[&str] = &["otel-collector", "admission", "prometheus"];

/// Resources of one service that differ in one attribute each.
const TWINS: &[(&str, &str)] = &[
    ("container.name", "b"),
    ("host.name", "b"),
    ("k8s.container.name", "b"),
    ("k8s.namespace.name", "b"),
    ("k8s.pod.name", "b"),
    ("process.pid", "2"),
    ("service.instance.id", "b"),
    ("service.namespace", "b"),
    ("service.version", "b"),
];

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
    "otelix_data_points_",
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
        trial_with(
            "rules::requests_of_any_service_are_recorded",
            Stack::missing(OF_METRICS),
            async || of_any_service().await,
        ),
        trial_with(
            "rules::resources_that_differ_have_series_of_their_own",
            Stack::missing(OF_METRICS),
            async || twins().await,
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
    // The pattern is for files of users.
    let ours = rule_files.iter().filter(|file| !file.contains('*'));
    let read: BTreeSet<PathBuf> = ours.map(|file| folder.join(file)).collect();
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

/// Sends the metrics of services as SDKs of other languages do by default, once a minute.
async fn of_any_service() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), OF_METRICS).await?;
    let classic = |count: u64| json!({"count": count, "sum": 1, "explicitBounds": [0.1, 100.0], "bucketCounts": [0, count, 0]});
    let native = |count: u64| {
        json!({"count": count, "sum": 1, "scale": 0, "zeroCount": 0,
            "positive": {"offset": 0, "bucketCounts": [count]}})
    };
    // The service, its namespace, the name and unit of the metric, its attributes, and the operation.
    let services = [
        (
            "cart",
            "shop",
            "http.server.request.duration",
            "s",
            attributes(&[
                ("http.request.method", "GET"),
                ("http.route", "/cart"),
                ("http.response.status_code", "503"),
            ]),
            "GET /cart",
        ),
        (
            "catalog",
            "",
            "http.server.duration",
            "ms",
            attributes(&[
                ("http.method", "GET"),
                ("http.target", "/items"),
                ("http.status_code", "500"),
            ]),
            "GET /items",
        ),
        (
            "ledger",
            "shop",
            "rpc.server.duration",
            "ms",
            attributes(&[
                ("rpc.service", "ledger.Ledger"),
                ("rpc.method", "Add"),
                ("rpc.grpc.status_code", "13"),
            ]),
            "ledger.Ledger/Add",
        ),
        (
            "worker",
            "",
            "messaging.process.duration",
            "s",
            attributes(&[
                ("messaging.operation.name", "process"),
                ("messaging.destination.name", "orders"),
                ("error.type", "timeout"),
            ]),
            "process orders",
        ),
    ];
    for (ago, count) in [(60, 60), (0, 120)] {
        for (kind, point) in [
            ("histogram", classic(count)),
            ("exponentialHistogram", native(count)),
        ] {
            for (service, namespace, name, unit, attributes, _) in &services {
                let service = format!("{service}-{kind}");
                let mut resource = vec![("service.name", service.as_str())];
                if !namespace.is_empty() {
                    resource.push(("service.namespace", namespace));
                }
                let mut point = point.clone();
                point["attributes"] = attributes.clone();
                let metric = json!({"name": name, "unit": unit,
                    kind: {"aggregationTemporality": 2, "dataPoints": [point]}});
                send(&stack, &resource, metric, kind, ago).await?;
            }
        }
    }
    eventually(Duration::from_secs(60), async || {
        for (service, namespace, _, unit, _, operation) in &services {
            for kind in ["histogram", "exponentialHistogram"] {
                let service = format!("{service}-{kind}");
                let job = match *namespace {
                    "" => service.clone(),
                    namespace => format!("{namespace}/{service}"),
                };
                let labels = format!(
                    r#"{{job="{job}", service_name="{service}", service_namespace="{namespace}", operation="{operation}"}}"#
                );
                // Classic histograms have one bucket from 0.1 to 100, and native ones from 1 to 2, of the unit.
                let most = if *unit == "ms" { 0.1 } else { 100.0 };
                for query in [
                    format!("operation:requests:rate3m{labels} > 0.1"),
                    format!("operation:errors:rate3m{labels} > 0.1"),
                    format!("operation:duration_seconds:p95_rate3m{labels} < {most}"),
                ] {
                    let series = stack.prometheus.query(&query).await?;
                    ensure!(series.len() == 1, "{query}: {series:?}");
                }
            }
        }
        Ok(())
    })
    .await
}

/// Sends a gauge from resources that differ in one attribute.
async fn twins() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), OF_METRICS).await?;
    let same: Vec<(&str, &str)> = TWINS.iter().map(|(name, _)| (*name, "a")).collect();
    let mut resources = vec![same.clone()];
    for (name, other) in TWINS {
        let mut resource = same.clone();
        resource.retain(|(it, _)| it != name);
        resource.push((name, other));
        resources.push(resource);
    }
    for (value, resource) in resources.iter().enumerate() {
        let mut resource = resource.clone();
        resource.push(("service.name", "twin"));
        let metric = json!({"name": "twin", "gauge": {"dataPoints": [{"asInt": value}]}});
        send(&stack, &resource, metric, "gauge", 0).await?;
    }
    eventually(Duration::from_secs(30), async || {
        let series = stack.prometheus.query("twin").await?;
        ensure!(series.len() == resources.len(), "{series:?}");
        Ok(())
    })
    .await
}

/// Sends one metric, which has one data point.
async fn send(
    stack: &Stack,
    resource: &[(&str, &str)],
    mut metric: Value,
    kind: &str,
    seconds_ago: u64,
) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let nanos = |ago: u64| (now - Duration::from_secs(ago)).as_nanos().to_string();
    let point = &mut metric[kind]["dataPoints"][0];
    point["startTimeUnixNano"] = json!(nanos(600));
    point["timeUnixNano"] = json!(nanos(seconds_ago));
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": attributes(resource)},
        "scopeMetrics": [{"metrics": [metric]}],
    }]});
    let url = format!("{}/v1/metrics", stack.otlp_http());
    let request = Client::new()
        .post(url)
        .header("content-type", "application/json");
    let answer = request.body(body.to_string()).send().await?;
    answer.error_for_status()?;
    Ok(())
}

fn attributes(of: &[(&str, &str)]) -> Value {
    let all = of.iter();
    all.map(|(name, value)| json!({"key": name, "value": {"stringValue": value}}))
        .collect()
}
