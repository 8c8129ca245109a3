//! Tests of the way from each signal to the others: from a log line, from the trace that a page names, and
//! from an exemplar.
//!
//! All of these tests share one stack with the default settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{
    Process, Stack, System,
    collector::text,
    stack::{LogLine, TELEMETRY},
    system::{SECRET, eventually},
};
use events::Broker;
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    documentation,
    shared::{Shared, Start},
    tree::{SIGN_UP_WITH_EVENTS, hex, tree},
};

const SERVICES: [&str; 3] = ["frontend", "auth", "user"];
const EMAIL: &str = "ann@example.com";
const PASSWORD: &str = "correct horse battery";
const WRONG_PASSWORD: &str = "wrong horse battery";

/// Deadline of each wait. Metrics are exported every five seconds; the other signals are faster.
const WITHIN: Duration = Duration::from_secs(20);

/// Deadline for the service graph. Tempo waits for both sides of an edge, and the first edges after its start take
/// some 20 s.
const GRAPH_WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    let shared = Shared::new();
    vec![
        check(
            "correlation::a_log_line_of_a_sign_up_leads_to_its_whole_trace",
            &shared,
            async |run| from_log_to_trace(run).await,
        ),
        check(
            "correlation::a_page_names_its_own_trace",
            &shared,
            async |run| from_page_to_trace(run).await,
        ),
        check(
            "correlation::a_trace_leads_to_its_log_lines_which_are_those_on_stdout",
            &shared,
            async |run| from_trace_to_logs(run).await,
        ),
        check(
            "correlation::a_wrong_password_fails_the_two_calls_and_no_other_span",
            &shared,
            async |run| wrong_password(run).await,
        ),
        check(
            "correlation::every_exemplar_leads_to_a_span_of_its_series",
            &shared,
            async |run| from_exemplar_to_span(run).await,
        ),
        check(
            "correlation::every_documented_metric_is_stored_as_documented",
            &shared,
            async |run| documented_metrics(run).await,
        ),
        check(
            "correlation::the_service_graph_has_an_edge_for_each_pair_of_caller_and_callee",
            &shared,
            async |run| service_graph(run).await,
        ),
        check(
            "correlation::a_series_names_its_service_instance_version_and_environment",
            &shared,
            async |run| resource(run).await,
        ),
        check(
            "correlation::nothing_stored_holds_a_password_a_token_or_an_email",
            &shared,
            async |run| secrets(run).await,
        ),
    ]
}

fn check<F>(name: &str, shared: &Arc<Shared<Run>>, test: F) -> Trial
where
    F: AsyncFnOnce(&Run) -> anyhow::Result<()> + Send + 'static,
{
    shared.trial(name, Stack::missing(TELEMETRY), test)
}

/// The requests of the tests, and the stack with their telemetry.
struct Run {
    system: System,
    backends: Stack,
    /// The trace that the account page named.
    account_page: String,
    /// The trace that the page after a wrong password named.
    refusal_page: String,
    /// The token of a session.
    token: String,
    _broker: Broker,
    _folder: TempDir,
}

impl Start for Run {
    /// Makes requests of every kind, successful and failed.
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let backends = Stack::start(folder.path(), TELEMETRY).await?;
        let broker = Broker::start(6)?;
        let system = System::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &backends.otlp_grpc()),
            // The same value as in process-compose.yaml.
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=development",
            ),
            ("FAILED_LOGINS_PER_ACCOUNT", "1"),
            ("KAFKA_BROKERS", &broker.address().to_string()),
        ])
        .await?;
        let browser = Client::builder()
            .redirect(Policy::none())
            .cookie_store(true)
            .build()?;
        let post = async |path: &str, password: &str, expected: StatusCode| {
            let form = [("email", EMAIL), ("password", password)];
            let request = browser.post(system.url(path)).form(&form);
            let response = request.send().await?;
            let status = response.status();
            ensure!(status == expected, "{path}: {status}");
            Ok(response)
        };

        let signed_up = post("/register", PASSWORD, StatusCode::SEE_OTHER).await?;
        let token = signed_up
            .cookies()
            .find(|cookie| cookie.name() == "session")
            .context("no session")?
            .value()
            .to_owned();
        let page = browser.get(system.url("/account")).send().await?;
        let account_page = named_trace(&page.text().await?)?;
        post("/logout", "", StatusCode::SEE_OTHER).await?;
        post("/register", PASSWORD, StatusCode::CONFLICT).await?;
        post("/login", PASSWORD, StatusCode::SEE_OTHER).await?;
        let refused = post("/login", WRONG_PASSWORD, StatusCode::UNAUTHORIZED).await?;
        let refusal_page = named_trace(&refused.text().await?)?;
        post("/login", WRONG_PASSWORD, StatusCode::TOO_MANY_REQUESTS).await?;
        let request = Client::builder().redirect(Policy::none()).build()?;
        let request = request.get(system.url("/account"));
        let request = request.header("cookie", "session=forged");
        let status = request.send().await?.status();
        ensure!(status == StatusCode::SEE_OTHER, "/account: {status}");
        load(&backends.otlp_grpc()).await?;
        Ok(Self {
            system,
            backends,
            account_page,
            refusal_page,
            token,
            _broker: broker,
            _folder: folder,
        })
    }
}

impl Run {
    /// Waits for a trace with this number of spans.
    async fn trace(&self, id: &str, spans: usize) -> anyhow::Result<Vec<(String, Span)>> {
        eventually(WITHIN, async || {
            let trace = self.backends.tempo.spans(id).await?;
            ensure!(trace.len() >= spans, "{}", tree(&trace));
            Ok(trace)
        })
        .await
    }

    /// The only log line of a service with this text.
    async fn line(&self, service: &str, text: &str) -> anyhow::Result<LogLine> {
        let query = format!("{{service_name=\"{service}\"}} |= \"{text}\"");
        eventually(WITHIN, async || {
            let lines = self.backends.loki.query(&query).await?;
            let [line] = &lines[..] else {
                anyhow::bail!("{lines:?}");
            };
            Ok(line.clone())
        })
        .await
    }

    fn stdout(&self, service: &str) -> Vec<String> {
        match service {
            "frontend" => self.system.frontend.output(),
            "auth" => self.system.auth.output(),
            _ => self.system.user.output(),
        }
    }
}

/// The trace that a page names as its own.
fn named_trace(page: &str) -> anyhow::Result<String> {
    let (_, rest) = page
        .split_once("made by trace <code>")
        .context("no trace")?;
    let (id, _) = rest.split_once('<').context("no end")?;
    Ok(id.to_owned())
}

fn label<'a>(line: &'a LogLine, name: &str) -> anyhow::Result<&'a str> {
    let value = line.labels.get(name);
    value
        .map(String::as_str)
        .with_context(|| format!("no {name} in {line:?}"))
}

async fn from_log_to_trace(run: &Run) -> anyhow::Result<()> {
    let line = run.line("auth", "user registered").await?;
    let trace = run.trace(label(&line, "trace_id")?, 13).await?;
    let seen = tree(&trace);
    ensure!(seen == SIGN_UP_WITH_EVENTS, "{seen}");
    Ok(())
}

async fn from_page_to_trace(run: &Run) -> anyhow::Result<()> {
    let seen = tree(&run.trace(&run.account_page, 7).await?);
    let expected = "\
frontend server GET /account {http.request.method=GET, http.response.status_code=200, \
http.route=/account, url.path=/account, url.scheme=http}
  frontend client auth.v1.AuthService/Me {rpc.method=auth.v1.AuthService/Me, \
rpc.response.status_code=OK, rpc.system.name=grpc, server.address=127.0.0.1, server.port}
    auth server auth.v1.AuthService/Me {rpc.method=auth.v1.AuthService/Me, \
rpc.response.status_code=OK, rpc.system.name=grpc}
      auth client SELECT sessions {db.collection.name=sessions, db.namespace=auth, \
db.operation.name=SELECT, db.query.summary=SELECT sessions, db.system.name=sqlite}
      auth client user.v1.UserService/GetUser {rpc.method=user.v1.UserService/GetUser, \
rpc.response.status_code=OK, rpc.system.name=grpc, server.address=127.0.0.1, server.port}
        user server user.v1.UserService/GetUser {rpc.method=user.v1.UserService/GetUser, \
rpc.response.status_code=OK, rpc.system.name=grpc}
          user client SELECT users {db.collection.name=users, db.namespace=user, \
db.operation.name=SELECT, db.query.summary=SELECT users, db.system.name=sqlite}
";
    ensure!(seen == expected, "{seen}");
    Ok(())
}

async fn from_trace_to_logs(run: &Run) -> anyhow::Result<()> {
    let line = run.line("auth", "user registered").await?;
    let id = label(&line, "trace_id")?;
    let trace = run.trace(id, 13).await?;
    let mut count = 0;
    for service in SERVICES {
        // Loki has the fields of the JSON record as labels, and its message as the line.
        let stdout: BTreeSet<(String, String)> = run
            .stdout(service)
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|record| record["trace_id"] == id)
            .map(|record| (said(&record["message"]), said(&record["span_id"])))
            .collect();
        let query = format!("{{service_name=\"{service}\"}} | trace_id=\"{id}\"");
        eventually(WITHIN, async || {
            let mut stored = BTreeSet::new();
            for line in run.backends.loki.query(&query).await? {
                let span = label(&line, "span_id")?.to_owned();
                stored.insert((line.text, span));
            }
            ensure!(stored == stdout, "{service}: {stored:?} is not {stdout:?}");
            Ok(())
        })
        .await?;
        for (text, span) in &stdout {
            let (of, span) = trace
                .iter()
                .find(|(_, known)| hex(&known.span_id) == *span)
                .with_context(|| format!("{text}: no span {span}"))?;
            ensure!(
                of == service && span.kind() == SpanKind::Server,
                "{text}: {span:?}"
            );
        }
        count += stdout.len();
    }
    ensure!(count == 2, "{count} lines of a sign-up");
    Ok(())
}

fn said(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn wrong_password(run: &Run) -> anyhow::Result<()> {
    let seen = tree(&run.trace(&run.refusal_page, 10).await?);
    let expected = "\
frontend server POST /login {http.request.method=POST, http.response.status_code=401, \
http.route=/login, url.path=/login, url.scheme=http}
  frontend client auth.v1.AuthService/Login {error.type=UNAUTHENTICATED, \
rpc.method=auth.v1.AuthService/Login, rpc.response.status_code=UNAUTHENTICATED, \
rpc.system.name=grpc, server.address=127.0.0.1, server.port} error
    auth server auth.v1.AuthService/Login {rpc.method=auth.v1.AuthService/Login, \
rpc.response.status_code=UNAUTHENTICATED, rpc.system.name=grpc}
      auth client SELECT known_networks {db.collection.name=known_networks, db.namespace=auth, \
db.operation.name=SELECT, db.query.summary=SELECT known_networks, db.system.name=sqlite}
      auth client user.v1.UserService/VerifyPassword {error.type=UNAUTHENTICATED, \
rpc.method=user.v1.UserService/VerifyPassword, rpc.response.status_code=UNAUTHENTICATED, \
rpc.system.name=grpc, server.address=127.0.0.1, server.port} error
        user server user.v1.UserService/VerifyPassword \
{rpc.method=user.v1.UserService/VerifyPassword, rpc.response.status_code=UNAUTHENTICATED, \
rpc.system.name=grpc}
          user client SELECT users {db.collection.name=users, db.namespace=user, \
db.operation.name=SELECT, db.query.summary=SELECT users, db.system.name=sqlite}
          user internal verify password {}
      auth producer send otelix.auth.v1 {messaging.client.id=auth, \
messaging.destination.name=otelix.auth.v1, messaging.message.id, messaging.operation.name=send, \
messaging.operation.type=send, messaging.system=kafka}
        frontend consumer process otelix.auth.v1 {messaging.client.id, \
messaging.destination.name=otelix.auth.v1, messaging.destination.partition.id, \
messaging.kafka.offset, messaging.message.id, messaging.operation.name=process, \
messaging.operation.type=process, messaging.system=kafka}
";
    ensure!(seen == expected, "{seen}");
    Ok(())
}

async fn from_exemplar_to_span(run: &Run) -> anyhow::Result<()> {
    // Each histogram, with the kind of its spans, and a label of it that equals an attribute of the spans.
    let metrics = [
        (
            "rpc_server_call_duration_seconds",
            SpanKind::Server,
            ("rpc_method", "rpc.method"),
        ),
        (
            "rpc_client_call_duration_seconds",
            SpanKind::Client,
            ("rpc_method", "rpc.method"),
        ),
        (
            "http_server_request_duration_seconds",
            SpanKind::Server,
            ("http_route", "http.route"),
        ),
        (
            "db_client_operation_duration_seconds_bucket",
            SpanKind::Client,
            ("db_operation_name", "db.operation.name"),
        ),
        (
            "messaging_process_duration_seconds",
            SpanKind::Consumer,
            ("messaging_destination_name", "messaging.destination.name"),
        ),
        (
            "user_password_hash_duration_seconds_bucket",
            SpanKind::Server,
            ("service_name", ""),
        ),
    ];
    for (metric, kind, (label, attribute)) in metrics {
        let series = eventually(WITHIN, async || {
            let found = run.backends.prometheus.query_exemplars(metric).await?;
            ensure!(!found.is_empty(), "{metric} has no exemplars");
            Ok(found)
        })
        .await?;
        for series in series {
            let labels = &series["seriesLabels"];
            for exemplar in series["exemplars"].as_array().context("no list")? {
                let id = said(&exemplar["labels"]["trace_id"]);
                let span_id = said(&exemplar["labels"]["span_id"]);
                let trace = run.trace(&id, 1).await?;
                let (service, span) = trace
                    .iter()
                    .find(|(_, span)| hex(&span.span_id) == span_id)
                    .with_context(|| format!("{metric}: no span {span_id} in {id}"))?;
                ensure!(span.kind() == kind, "{metric}: {span:?}");
                ensure!(labels["job"] == **service, "{metric}: {service}, {labels}");
                let value = text(&span.attributes, attribute).unwrap_or(service);
                ensure!(labels[label] == *value, "{metric}: {value}, {labels}");
            }
        }
    }
    Ok(())
}

/// Runs the load generator, so that its metrics are exported. It calls other services, which export
/// nothing, and it makes no spans. So all other telemetry comes from [`Run::start`].
async fn load(collector: &str) -> anyhow::Result<()> {
    let system = System::start(&[]).await?;
    let target = system.url("");
    let arguments = ["--target", &target, "--count=3", "--rate=20", "--bad=0"];
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ];
    let folder = system.folder.path();
    let mut loadgen = Process::start("loadgen", &arguments, &environment, folder)?;
    let status = loadgen.ended().await?;
    ensure!(status.success(), "{status}: {:#?}", loadgen.output());
    Ok(())
}

/// A metric as its row in the documentation describes it.
struct Documented {
    prometheus: &'static str,
    kind: &'static str,
    unit: &'static str,
    from: Vec<&'static str>,
    with_bounds: bool,
    /// Whether the metric may be missing: it appears only after a failure or on other systems.
    conditional: bool,
}

fn documented() -> anyhow::Result<Vec<Documented>> {
    let rows = documentation::metrics()?.into_iter();
    Ok(rows
        .map(|row| Documented {
            prometheus: row.prometheus,
            kind: row.kind,
            unit: row.unit,
            from: match row.from {
                "all" => SERVICES.to_vec(),
                some => some.split(", ").collect(),
            },
            with_bounds: row.meaning.contains("with bounds"),
            conditional: row.meaning.contains("Only when")
                || (row.meaning.contains("Only on Linux") && cfg!(not(target_os = "linux"))),
        })
        .collect())
}

async fn documented_metrics(run: &Run) -> anyhow::Result<()> {
    let documented = documented()?;
    ensure!(documented.len() > 30, "{} rows", documented.len());
    let of_services = |metric: &&Documented| metric.from != ["vitals"];
    let unconditional = documented.iter().filter(|metric| !metric.conditional);
    for metric in unconditional.filter(of_services) {
        ensure!(
            metric
                .prometheus
                .trim_end_matches("_total")
                .ends_with(suffix(metric.unit)),
            "{}: {}",
            metric.prometheus,
            metric.unit
        );
        for service in &metric.from {
            eventually(WITHIN, async || stored(run, metric, service).await).await?;
        }
    }

    // All stored metrics must be documented, except the recorded series (with a colon in their names) and alerts of
    // Prometheus, which have the labels of the service too.
    let expected: BTreeSet<String> = documented.iter().flat_map(names).collect();
    for service in SERVICES {
        let series = format!(
            "count by (__name__) ({{job=\"{service}\", __name__!~\".*:.*|ALERTS|ALERTS_FOR_STATE\"}})"
        );
        for series in run.backends.prometheus.query(&series).await? {
            let name = said(&series["metric"]["__name__"]);
            ensure!(
                expected.contains(&name) || name == "target_info",
                "{service}: {name} is not documented"
            );
        }
    }
    Ok(())
}

/// The suffix of a Prometheus name for a unit.
fn suffix(unit: &str) -> &'static str {
    match unit {
        "s" => "_seconds",
        "By" => "_bytes",
        _ => "",
    }
}

/// The names of the series of a metric.
fn names(metric: &Documented) -> Vec<String> {
    let name = metric.prometheus;
    if metric.with_bounds {
        ["bucket", "count", "sum"]
            .map(|part| format!("{name}_{part}"))
            .to_vec()
    } else {
        vec![name.to_owned()]
    }
}

/// Checks that the series of a service have the shape of the metric's type in Prometheus.
async fn stored(run: &Run, metric: &Documented, service: &str) -> anyhow::Result<()> {
    let name = metric.prometheus;
    let count = async |query: String| -> anyhow::Result<usize> {
        Ok(run.backends.prometheus.query(&query).await?.len())
    };
    let plain = count(format!("{name}{{job=\"{service}\"}}")).await?;
    let buckets = count(format!("{name}_bucket{{job=\"{service}\"}}")).await?;
    let native = count(format!("histogram_count({name}{{job=\"{service}\"}}) > 0")).await?;
    let sums = count(format!("{name}_sum{{job=\"{service}\"}}")).await?;
    let shape = (plain > 0, buckets > 0, native > 0, sums > 0);
    let expected = match metric.kind {
        "histogram" if metric.with_bounds => (false, true, false, true),
        "histogram" => (true, false, true, false),
        _ => (true, false, false, false),
    };
    ensure!(shape == expected, "{service}: {name}: {shape:?}");
    ensure!(
        name.ends_with("_total") == (metric.kind == "counter"),
        "{name} is a {}",
        metric.kind
    );
    Ok(())
}

async fn service_graph(run: &Run) -> anyhow::Result<()> {
    let expected = [
        ("auth", "auth database"),
        ("auth", "frontend"),
        ("auth", "user"),
        ("frontend", "auth"),
        ("outside", "frontend"),
        ("user", "frontend"),
        ("user", "user database"),
    ];
    eventually(GRAPH_WITHIN, async || {
        let calls = "traces_service_graph_request_total";
        let series = run.backends.prometheus.query(calls).await?;
        let seen: BTreeSet<(String, String)> = series
            .iter()
            .map(|series| &series["metric"])
            .map(|labels| (said(&labels["client"]), said(&labels["server"])))
            .collect();
        let seen: Vec<_> = seen
            .iter()
            .map(|(client, server)| (client.as_str(), server.as_str()))
            .collect();
        ensure!(seen == expected, "{seen:?}");
        Ok(())
    })
    .await
}

async fn resource(run: &Run) -> anyhow::Result<()> {
    for service in SERVICES {
        let query = format!("process_uptime_seconds{{job=\"{service}\"}}");
        let labels = eventually(WITHIN, async || {
            let series = run.backends.prometheus.query(&query).await?;
            let [one] = &series[..] else {
                anyhow::bail!("{query}: {series:?}");
            };
            let labels: BTreeMap<String, String> = serde_json::from_value(one["metric"].clone())?;
            Ok(labels)
        })
        .await?;
        let keys: Vec<_> = labels.keys().map(String::as_str).collect();
        let expected = [
            "__name__",
            "deployment_environment_name",
            "host_name",
            "instance",
            "job",
            "process_pid",
            "service_name",
            "service_version",
        ];
        ensure!(keys == expected, "{labels:?}");
        ensure!(labels["service_name"] == service, "{labels:?}");
        ensure!(labels["deployment_environment_name"] == "development");
        let ready = run.line(service, "ready").await?;
        ensure!(label(&ready, "service_instance_id")? == labels["instance"]);
        ensure!(label(&ready, "service_version")? == labels["service_version"]);
    }
    Ok(())
}

async fn secrets(run: &Run) -> anyhow::Result<()> {
    // The last item of each signal is stored, so all are.
    let last = run.line("auth", "session refused").await?;
    run.trace(label(&last, "trace_id")?, 3).await?;
    eventually(WITHIN, async || {
        let rejected = r#"auth_tokens_rejected_total{job="auth"}"#;
        let series = run.backends.prometheus.query(rejected).await?;
        ensure!(!series.is_empty(), "no {rejected}");
        Ok(())
    })
    .await?;

    let mut texts = Vec::new();
    let found = run.backends.tempo.search("{}").await?;
    ensure!(found.len() < 100, "the search does not return all traces");
    for trace in &found {
        let trace = run.backends.tempo.trace(&said(&trace["traceID"])).await?;
        strings(&trace, &mut texts);
    }
    let traces = texts.len();
    let mut of_collector = Vec::new();
    let lines = run.backends.loki.query(r#"{service_name=~".+"}"#).await?;
    ensure!(lines.len() < 1000, "the search does not return all lines");
    for line in lines {
        let texts = match label(&line, "service_name")? {
            "otel-collector" => &mut of_collector,
            _ => &mut texts,
        };
        texts.extend(
            line.labels
                .into_iter()
                .flat_map(|(name, value)| [name, value]),
        );
        texts.push(line.text);
    }
    let logs = texts.len();
    let prometheus = &run.backends.prometheus;
    for label in prometheus.labels().await? {
        texts.extend(prometheus.values(&label).await?);
        texts.push(label);
    }
    let exemplars = prometheus.query_exemplars(r#"{__name__=~".+"}"#).await?;
    exemplars
        .iter()
        .for_each(|series| strings(series, &mut texts));
    let metrics = texts.len();
    for service in SERVICES {
        texts.extend(run.stdout(service));
    }

    let find =
        |texts: &[String], wanted: &str| texts.iter().find(|text| text.contains(wanted)).cloned();
    // Checks that the search finds known texts in each signal.
    for (texts, known) in [
        (&texts[..traces], "POST /login"),
        (&texts[traces..logs], "user registered"),
        (&texts[logs..metrics], "UNAUTHENTICATED"),
        (&texts[metrics..], "user created"),
    ] {
        ensure!(find(texts, known).is_some(), "{known} is not found");
    }
    let (_, domain) = EMAIL.split_once('@').context("no email")?;
    let (header, signature) = run.token.rsplit_once('.').context("no token")?;
    for secret in [
        EMAIL,
        domain,
        PASSWORD,
        WRONG_PASSWORD,
        "correct+horse",
        "horse%20battery",
        header,
        signature,
        "eyJ",
        "argon2",
        SECRET,
    ] {
        let found = find(&texts, secret).or_else(|| find(&of_collector, secret));
        ensure!(found.is_none(), "{secret} is stored: {found:?}");
    }
    // The collector had nothing to redact: it would have replaced it by this text.
    let found = find(&texts, "[redacted]");
    ensure!(found.is_none(), "the collector had to redact: {found:?}");
    Ok(())
}

/// All texts in a value, except ids, which are random and may contain any word.
fn strings(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| strings(value, texts)),
        Value::Object(fields) => {
            for (name, value) in fields {
                texts.push(name.clone());
                if !["traceId", "spanId", "parentSpanId"].contains(&name.as_str()) {
                    strings(value, texts);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
