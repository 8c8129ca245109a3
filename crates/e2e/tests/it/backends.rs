//! Tests of the collector, Prometheus, Loki and Tempo with the project's configurations.

use std::time::{Duration, SystemTime};

use anyhow::ensure;
use e2e::{Stack, stack::TELEMETRY, system::eventually};
use libtest_mimic::Trial;
use reqwest::Client;
use serde_json::{Value, json};

use crate::trial_with;

const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_with(
            "backends::a_trace_a_log_and_a_metric_arrive_where_they_belong",
            Stack::missing(TELEMETRY),
            async || everything_arrives().await,
        ),
        trial_with(
            "backends::a_trace_outlives_the_death_of_tempo_and_of_the_collector",
            Stack::missing(TELEMETRY),
            async || deaths_lose_nothing().await,
        ),
        trial_with(
            "backends::loki_stores_logs_in_the_data_folder",
            Stack::missing(&["loki"]),
            async || logs_are_in_the_data_folder().await,
        ),
    ]
}

async fn everything_arrives() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let backends = Stack::start(folder.path(), TELEMETRY).await?;
    let endpoint = backends.otlp_http();
    send(&endpoint, "traces", &trace()?).await?;
    send(&endpoint, "logs", &log()?).await?;
    send(&endpoint, "metrics", &metric()?).await?;

    let within = Duration::from_secs(30);
    eventually(within, async || {
        let trace = backends.tempo.trace(TRACE).await?.to_string();
        ensure!(trace.contains("POST /register"), "{trace}");
        let query = r#"{ resource.service.name = "probe" && name = "POST /register" }"#;
        let found = backends.tempo.search(query).await?;
        ensure!(found.len() == 1, "{found:?}");
        Ok(())
    })
    .await?;
    eventually(within, async || {
        let query = format!(r#"{{service_name="probe"}} | trace_id="{TRACE}""#);
        let lines = backends.loki.query(&query).await?;
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        ensure!(texts == ["user registered"], "{lines:?}");
        Ok(())
    })
    .await?;
    eventually(within, async || {
        let series = backends
            .prometheus
            .query(r#"probe_requests_total{job="probe"}"#)
            .await?;
        ensure!(series.len() == 1, "{series:?}");
        let exemplars = backends
            .prometheus
            .query_exemplars("probe_requests_total")
            .await?;
        let labels = &exemplars.first().unwrap_or(&Value::Null)["exemplars"][0]["labels"];
        ensure!(labels["trace_id"] == TRACE, "{exemplars:?}");
        Ok(())
    })
    .await
}

async fn deaths_lose_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut backends = Stack::start(folder.path(), TELEMETRY).await?;
    let endpoint = backends.otlp_http();
    backends.kill("tempo").await?;
    send(&endpoint, "traces", &trace()?).await?;
    backends.kill("otel-collector").await?;
    backends.start_again("otel-collector").await?;
    backends.start_again("tempo").await?;
    eventually(Duration::from_secs(30), async || {
        backends.tempo.trace(TRACE).await.map(drop)
    })
    .await
}

async fn logs_are_in_the_data_folder() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), &["loki"]).await?;
    let loki = format!("http://{}", stack.address("LOKI_PORT"));
    send(&format!("{loki}/otlp"), "logs", &log()?).await?;
    let flushed = Client::new().post(format!("{loki}/flush")).send().await?;
    flushed.error_for_status()?;
    // `fake` is Loki's name for the only tenant.
    let chunks = folder.path().join("data/loki/chunks/fake");
    eventually(Duration::from_secs(10), async || {
        ensure!(chunks.is_dir(), "{} is missing", chunks.display());
        Ok(())
    })
    .await
}

async fn send(endpoint: &str, signal: &str, body: &Value) -> anyhow::Result<()> {
    let request = Client::new()
        .post(format!("{endpoint}/v1/{signal}"))
        .header("content-type", "application/json")
        .body(body.to_string());
    request.send().await?.error_for_status()?;
    Ok(())
}

fn trace() -> anyhow::Result<Value> {
    let (start, end) = times()?;
    Ok(json!({ "resourceSpans": [{
        "resource": resource(),
        "scopeSpans": [{ "spans": [{
            "traceId": TRACE,
            "spanId": SPAN,
            "name": "POST /register",
            "kind": 2,
            "startTimeUnixNano": start,
            "endTimeUnixNano": end,
        }] }],
    }] }))
}

fn log() -> anyhow::Result<Value> {
    let (_, time) = times()?;
    Ok(json!({ "resourceLogs": [{
        "resource": resource(),
        "scopeLogs": [{ "logRecords": [{
            "timeUnixNano": time,
            "severityNumber": 9,
            "severityText": "INFO",
            "body": { "stringValue": "user registered" },
            "traceId": TRACE,
            "spanId": SPAN,
        }] }],
    }] }))
}

fn metric() -> anyhow::Result<Value> {
    let (start, time) = times()?;
    Ok(json!({ "resourceMetrics": [{
        "resource": resource(),
        "scopeMetrics": [{ "metrics": [{
            "name": "probe.requests",
            "sum": {
                "aggregationTemporality": 2,
                "isMonotonic": true,
                "dataPoints": [{
                    "asInt": "1",
                    "startTimeUnixNano": start,
                    "timeUnixNano": time,
                    "exemplars": [{
                        "asInt": "1",
                        "timeUnixNano": time,
                        "traceId": TRACE,
                        "spanId": SPAN,
                    }],
                }],
            },
        }] }],
    }] }))
}

fn resource() -> Value {
    json!({ "attributes": [
        { "key": "service.name", "value": { "stringValue": "probe" } },
        { "key": "service.instance.id", "value": { "stringValue": "probe-1" } },
    ] })
}

/// The times a second ago and now, as OTLP's JSON writes them.
fn times() -> anyhow::Result<(String, String)> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let before = now - Duration::from_secs(1);
    Ok((before.as_nanos().to_string(), now.as_nanos().to_string()))
}
