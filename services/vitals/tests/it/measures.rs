//! The exported metrics.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Uri},
};
use e2e::{Collector, collector::text};
use opentelemetry_proto::tonic::metrics::v1::{
    NumberDataPoint, metric::Data, number_data_point::Value,
};
use serde_json::json;
use testing::{Process, eventually};
use tokio::net::TcpListener;

use crate::fake::{Answer, Fake};

const DOCUMENTATION: &str = include_str!("../../../../docs/telemetry.md");

/// The last value of each metric of the supervisor, by process.
type Exported = BTreeMap<(String, String), f64>;

/// Starts the program with a collector to export to.
async fn start(supervisor: &Fake) -> (Process, Collector) {
    let collector = Collector::start().await.unwrap();
    let mut command = supervisor.vitals();
    command
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    (Process::start(&mut command), collector)
}

/// The metrics of an export that begins after this call.
async fn exported(collector: &Collector) -> Exported {
    let count = collector.received().metrics.len();
    eventually("two exports", async || {
        let received = collector.received();
        let since = &received.metrics[count..];
        let ups = since
            .iter()
            .filter(|(_, metric)| metric.name == "supervisor.up");
        // The first export may have begun before the call.
        (ups.count() > 2).then_some(())
    })
    .await;
    let received = collector.received();
    let since = &received.metrics[count..];
    let first = since
        .iter()
        .position(|(_, metric)| metric.name == "supervisor.up");
    let mut exported = Exported::new();
    for (service, metric) in &since[first.unwrap() + 1..] {
        assert_eq!(service, "vitals");
        if metric.name.starts_with("supervisor.") {
            for point in points(metric.data.as_ref().unwrap()) {
                let process = text(&point.attributes, "supervisor.process.name");
                let key = (metric.name.clone(), process.unwrap_or_default().to_owned());
                exported.insert(key, number(point));
            }
        }
    }
    exported
}

fn points(data: &Data) -> &[NumberDataPoint] {
    match data {
        Data::Gauge(gauge) => &gauge.data_points,
        Data::Sum(sum) => &sum.data_points,
        other => panic!("{other:?}"),
    }
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value.unwrap() {
        Value::AsDouble(number) => number,
        Value::AsInt(number) => number as f64,
    }
}

/// Waits until an export meets a condition, and returns it.
async fn becomes(collector: &Collector, what: &str, is: impl Fn(&Exported) -> bool) -> Exported {
    eventually(what, async || {
        let exported = exported(collector).await;
        is(&exported).then_some(exported)
    })
    .await
}

fn value(exported: &Exported, metric: &str, process: &str) -> Option<f64> {
    exported
        .get(&(format!("supervisor.{metric}"), process.to_owned()))
        .copied()
}

#[tokio::test]
async fn metrics_are_those_of_the_supervisor_s_answers() {
    let supervisor = Fake::start().await;
    let myself = std::process::id();
    supervisor.has("auth", &json!({"pid": myself, "restarts": 2}));
    supervisor.has(
        "preflight",
        &json!({
            "namespace": "setup", "status": "Completed", "is_running": false, "is_ready": "-",
            "has_ready_probe": false
        }),
    );
    supervisor.has(
        "broker",
        &json!({"is_ready": "Not Ready", "namespace": "backends"}),
    );
    supervisor.has("off", &json!({"status": "Disabled", "is_running": false}));
    let (_process, collector) = start(&supervisor).await;

    let exported = becomes(&collector, "an answer", |exported| {
        value(exported, "process.up", "auth").is_some()
    })
    .await;
    let known = |metric: &str, process: &str| value(&exported, metric, process);
    assert_eq!(known("up", ""), Some(1.0));
    assert_eq!(known("requests.failed", ""), Some(0.0));
    for (process, up, ready, restarts, age, exit_code) in [
        (
            "auth",
            Some(1.0),
            Some(1.0),
            Some(2.0),
            Some(4.5),
            Some(0.0),
        ),
        ("broker", Some(1.0), Some(0.0), Some(0.0), Some(4.5), None),
        (
            "preflight",
            Some(0.0),
            None,
            Some(0.0),
            Some(0.0),
            Some(0.0),
        ),
        ("off", None, None, None, None, None),
    ] {
        assert_eq!(known("process.up", process), up, "{process}");
        assert_eq!(known("process.ready", process), ready, "{process}");
        assert_eq!(known("process.restarts", process), restarts, "{process}");
        assert_eq!(known("process.age", process), age, "{process}");
        assert_eq!(known("process.exit_code", process), exit_code, "{process}");
    }
    if cfg!(target_os = "linux") {
        // The test process and its child, vitals.
        let memory = known("process.memory.usage", "auth").unwrap();
        assert!((1e7..1e9).contains(&memory), "{memory}");
        let time = known("process.cpu.time", "auth").unwrap();
        assert!((0.0..1e3).contains(&time), "{time}");
    }
    for process in ["broker", "preflight"] {
        assert_eq!(known("process.memory.usage", process), None, "{process}");
        assert_eq!(known("process.cpu.time", process), None, "{process}");
    }

    // The process ends and is restarted. Then the supervisor's count restarts at zero.
    let ended = json!({
        "status": "Restarting", "is_running": false, "is_ready": "-", "restarts": 3,
        "exit_code": -1
    });
    supervisor.has("auth", &ended);
    let exported = becomes(&collector, "an end", |exported| {
        value(exported, "process.up", "auth") == Some(0.0)
    })
    .await;
    let known = |metric: &str| value(&exported, metric, "auth");
    assert_eq!(known("process.ready"), Some(0.0));
    assert_eq!(known("process.restarts"), Some(3.0));
    assert_eq!(known("process.exit_code"), Some(-1.0));
    assert_eq!(known("process.age"), Some(0.0));
    if cfg!(target_os = "linux") {
        assert_eq!(known("process.memory.usage"), Some(0.0));
    }
    supervisor.has("auth", &json!({"restarts": 1}));
    becomes(&collector, "the sum goes on", |exported| {
        value(exported, "process.restarts", "auth") == Some(4.0)
    })
    .await;
}

#[tokio::test]
async fn a_supervisor_that_does_not_answer_is_logged_once_and_counted() {
    let supervisor = Fake::start().await;
    supervisor.has("auth", &json!({"restarts": 1}));
    supervisor.answer(Answer::Hang);
    let (mut process, collector) = start(&supervisor).await;
    process.address().await;

    becomes(&collector, "silence", |exported| {
        value(exported, "up", "") == Some(0.0)
    })
    .await;
    for (answer, at_least) in [(Answer::Fail, 2.0), (Answer::Babble, 4.0)] {
        supervisor.answer(answer);
        let exported = becomes(&collector, "it is counted", |exported| {
            value(exported, "requests.failed", "") >= Some(at_least)
        })
        .await;
        assert_eq!(value(&exported, "up", ""), Some(0.0));
        assert_eq!(value(&exported, "process.up", "auth"), None);
    }
    supervisor.answer(Answer::Tell);
    becomes(&collector, "an answer", |exported| {
        value(exported, "up", "") == Some(1.0)
            && value(exported, "process.restarts", "auth") == Some(1.0)
    })
    .await;

    let levels: Vec<_> = process
        .log()
        .into_iter()
        .filter(|line| line["message"].as_str().unwrap().contains("answer"))
        .map(|line| line["level"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(levels, ["WARN", "INFO"]);
    process.terminate();
    assert_eq!(process.ended().await.code, Some(0));
}

#[tokio::test]
async fn all_of_it_is_documented_and_nothing_else() {
    let supervisor = Fake::start().await;
    let myself = std::process::id();
    supervisor.has("auth", &json!({"pid": myself, "restarts": 2}));
    let (_process, collector) = start(&supervisor).await;
    let exported = becomes(&collector, "an answer", |exported| {
        value(exported, "process.up", "auth").is_some()
    })
    .await;

    let documented = DOCUMENTATION
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("| vitals |"))
        .filter(|line| cfg!(target_os = "linux") || !line.contains("Only on Linux"))
        .filter_map(|line| line.split('`').nth(1));
    let mut documented: Vec<_> = documented.collect();
    documented.sort_unstable();
    let exported: Vec<_> = exported.keys().map(|(metric, _)| metric).collect();
    assert_eq!(exported, documented);
}

#[tokio::test]
async fn health_does_not_depend_on_the_supervisor() {
    let supervisor = Fake::start().await;
    let mut vitals = supervisor.vitals();
    // Nothing listens on this port.
    vitals.env("SUPERVISOR_PORT", "1");
    let mut process = Process::start(&mut vitals);
    let port = process.address().await.port().to_string();
    process
        .logged("message", "the supervisor does not answer")
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let health = Process::run(supervisor.vitals().arg("health").env("PORT", port)).await;
    assert_eq!((health.code, &*health.stderr), (Some(0), ""));
}

#[tokio::test]
async fn metrics_and_logs_are_exported_over_http_too() {
    let seen = Arc::<Mutex<BTreeMap<String, (HeaderMap, Bytes)>>>::default();
    let keep = {
        let seen = Arc::clone(&seen);
        async move |uri: Uri, headers: HeaderMap, body: Bytes| {
            seen.lock()
                .unwrap()
                .insert(uri.to_string(), (headers, body));
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(keep)).await });

    let supervisor = Fake::start().await;
    let mut command = supervisor.vitals();
    command
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{address}/base/"),
        )
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=all")
        .env(
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
            format!("http://{address}/own"),
        )
        .env("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "x-tenant=logs")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    let _process = Process::start(&mut command);
    for (path, tenant) in [("/base/v1/metrics", "all"), ("/own", "logs")] {
        let (headers, body) =
            eventually(path, async || seen.lock().unwrap().get(path).cloned()).await;
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert_eq!(headers["x-tenant"], tenant);
        // In the resource.
        assert!(String::from_utf8_lossy(&body).contains("vitals"));
    }
}
