//! Tests that large telemetry passes each hop from its sender to its store.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use e2e::{Stack, compose::ROOT, stack::TELEMETRY, system::eventually};
use libtest_mimic::Trial;
use reqwest::{Client, Method, Response, header};
use serde_json::{Value, json};

use crate::{trial, trial_with};

const TRACE: &str = "5b8efff798038103d269b633813fc60c";

/// Large requests of lines, and the lines of each.
const REQUESTS: usize = 12;
const LINES: usize = 5_000;

/// The configurations of the backends.
const FILES: &[&str] = &[
    "loki/loki.yaml",
    "otel-collector/config.yaml",
    "otel-collector/profiles.yaml",
    "prometheus/prometheus.yaml",
    "pyroscope/pyroscope.yaml",
    "tempo/tempo.yaml",
];

/// Parts of the names of limits.
const LIMITS: &[&str] = &[
    "age",
    "burst",
    "limit",
    "max",
    "older_than",
    "retention",
    "slack",
    "queue_size",
    "rate_mb",
    "size_mb",
    "window",
];

/// Settings with such a name that limit no telemetry.
const OTHERS: &[&str] = &[
    "max_age",
    "max_interval",
    "max_elapsed_time",
    "max_trace_idle",
];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "limits::the_table_of_the_docs_is_that_of_the_configurations",
            async || table(),
        ),
        trial_with(
            "limits::large_requests_of_log_records_arrive_whole_and_delay_no_others",
            Stack::missing(TELEMETRY),
            async || large_requests().await,
        ),
        trial_with(
            "limits::a_long_attribute_and_a_long_line_arrive_whole",
            Stack::missing(TELEMETRY),
            async || long_texts().await,
        ),
        trial_with(
            "limits::pages_of_this_machine_may_send_and_others_may_not",
            Stack::missing(&["otel-collector"]),
            async || pages_may_send().await,
        ),
    ]
}

async fn large_requests() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), TELEMETRY).await?;
    let line = "x".repeat(1_000);
    for request in 0..REQUESTS {
        let lines = (0..LINES).map(|number| format!("{request} {number} {line}"));
        send(&stack, "logs", &logs("large", lines)?).await?;
    }
    send(
        &stack,
        "logs",
        &logs("after", ["the last".to_owned()].into_iter())?,
    )
    .await?;
    eventually(Duration::from_secs(90), async || {
        ensure!(stored(&stack, "after").await? == 1, "the last line");
        let found = stored(&stack, "large").await?;
        ensure!(found == REQUESTS * LINES, "{found} lines");
        Ok(())
    })
    .await
}

/// The number of stored lines of a service.
async fn stored(stack: &Stack, service: &str) -> anyhow::Result<usize> {
    let query = format!(r#"sum(count_over_time({{service_name="{service}"}}[10m]))"#);
    let series = stack.loki.result(&query).await?;
    let values = series
        .first()
        .and_then(|series| series["values"].as_array());
    let newest = values.and_then(|values| values.last()).map(|pair| &pair[1]);
    Ok(newest.and_then(Value::as_str).unwrap_or("0").parse()?)
}

async fn long_texts() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), TELEMETRY).await?;
    // As much as the services send in an attribute, and much more.
    let (usual, long) = ("a".repeat(4_096), "b".repeat(60_000));
    send(&stack, "traces", &trace(&usual, &long)?).await?;
    let line = "c".repeat(900_000);
    send(&stack, "logs", &logs("long", [line.clone()].into_iter())?).await?;
    eventually(Duration::from_secs(30), async || {
        let trace = stack.tempo.trace(TRACE).await?.to_string();
        ensure!(trace.contains(&usual), "the text of 4,096 bytes is cut");
        ensure!(trace.contains(&long), "the text of 60,000 bytes is cut");
        let lines = stack.loki.query(r#"{service_name="long"}"#).await?;
        let lengths: Vec<_> = lines.iter().map(|line| line.text.len()).collect();
        ensure!(lengths == [line.len()], "{lengths:?}");
        Ok(())
    })
    .await
}

async fn pages_may_send() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), &["otel-collector"]).await?;
    for (origin, is_allowed) in [
        ("http://localhost:5173", true),
        ("http://127.0.0.1:8082", true),
        ("https://example.com", false),
    ] {
        let answer = preflight(&stack, origin).await?;
        let allowed = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        let expected = is_allowed.then_some(origin.as_bytes());
        ensure!(
            allowed.map(|value| value.as_bytes()) == expected,
            "{origin}: {answer:?}"
        );
    }
    Ok(())
}

/// What a browser asks before it sends JSON.
async fn preflight(stack: &Stack, origin: &str) -> anyhow::Result<Response> {
    let request = Client::new()
        .request(Method::OPTIONS, format!("{}/v1/traces", stack.otlp_http()))
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type");
    Ok(request.send().await?)
}

/// Sends a request of OTLP in JSON.
pub(crate) async fn send(stack: &Stack, signal: &str, body: &Value) -> anyhow::Result<()> {
    let request = Client::new()
        .post(format!("{}/v1/{signal}", stack.otlp_http()))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string());
    request
        .send()
        .await?
        .error_for_status()
        .context("refused")?;
    Ok(())
}

/// The resource of a service.
pub(crate) fn resource(service: &str) -> Value {
    json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": service } }] })
}

fn logs(service: &str, lines: impl Iterator<Item = String>) -> anyhow::Result<Value> {
    let now = now()?;
    let records: Vec<_> = lines
        .map(|line| json!({ "timeUnixNano": now, "body": { "stringValue": line } }))
        .collect();
    Ok(json!({ "resourceLogs": [{
        "resource": resource(service),
        "scopeLogs": [{ "logRecords": records }],
    }] }))
}

fn trace(usual: &str, long: &str) -> anyhow::Result<Value> {
    let now = now()?;
    Ok(json!({ "resourceSpans": [{
        "resource": resource("long"),
        "scopeSpans": [{ "spans": [{
            "traceId": TRACE,
            "spanId": "eee19b7ec3c1b174",
            "name": "long",
            "startTimeUnixNano": now,
            "endTimeUnixNano": now,
            "attributes": [
                { "key": "usual", "value": { "stringValue": usual } },
                { "key": "long", "value": { "stringValue": long } },
            ],
        }] }],
    }] }))
}

fn now() -> anyhow::Result<String> {
    Ok(nanoseconds()?.to_string())
}

/// Nanoseconds since 1970.
pub(crate) fn nanoseconds() -> anyhow::Result<i128> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(i128::try_from(now.as_nanos())?)
}

/// The rows of docs/limits.md with a setting are the limits in the configurations, all of them.
fn table() -> anyhow::Result<()> {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/limits.md"))?;
    let mut documented = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let Some(setting) = line.split('|').nth(4).filter(|cell| cell.contains("`: `")) else {
            continue;
        };
        let (file, setting) = setting
            .trim()
            .trim_matches('`')
            .split_once("`: `")
            .context("no setting")?;
        documented.insert((file.to_owned(), setting.to_owned()));
    }
    let mut configured = BTreeSet::new();
    for file in FILES {
        let text = fs::read_to_string(Path::new(ROOT).join("configs").join(file))?;
        for line in text.lines() {
            // Lines with a mark are for some machines alone.
            let line = line.trim().trim_start_matches(['#', '-']).trim_start();
            let line = ["ipv6 ", "external "]
                .iter()
                .fold(line, |line, mark| line.strip_prefix(mark).unwrap_or(line));
            let Some((key, value)) = line.trim().split_once(": ") else {
                continue;
            };
            let is_limit = LIMITS.iter().any(|name| key.contains(name)) && !OTHERS.contains(&key);
            if is_limit && value.starts_with(|first: char| first.is_ascii_digit()) {
                configured.insert(((*file).to_owned(), format!("{key}: {value}")));
            }
        }
    }
    let missing: Vec<_> = configured.difference(&documented).collect();
    ensure!(missing.is_empty(), "not in docs/limits.md: {missing:?}");
    let wrong: Vec<_> = documented.difference(&configured).collect();
    ensure!(wrong.is_empty(), "not in the configurations: {wrong:?}");
    of_admission(&text)
}

/// Those of admission are the defaults of its settings.
fn of_admission(limits: &str) -> anyhow::Result<()> {
    let cell = |row: &str, number| {
        let cell = row.split(" | ").nth(number).unwrap_or_default();
        cell.replace(['`', ','], "")
    };
    let settings: BTreeMap<_, _> = include_str!("../../../../docs/settings.md")
        .lines()
        .map(|row| (cell(row, 1), cell(row, 2)))
        .filter(|(variable, _)| variable.starts_with("ADMISSION_MAX_"))
        .collect();
    let documented: BTreeMap<_, _> = limits
        .lines()
        .filter(|row| row.starts_with("| admission | "))
        .map(|row| (cell(row, 3), cell(row, 2)))
        .filter(|(variable, _)| variable.starts_with("ADMISSION_"))
        .collect();
    ensure!(
        settings.len() == 3 && settings == documented,
        "{settings:?} {documented:?}"
    );
    Ok(())
}
