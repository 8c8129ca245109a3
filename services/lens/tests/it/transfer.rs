//! Import and export.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use reqwest::StatusCode;
use serde_json::Value;

use crate::server::Server;

const TRACE: &str = include_str!("../../../../crates/otlp/tests/data/trace.json");
const METRICS: &str = include_str!("../../../../crates/otlp/tests/data/metrics.json");
const LOGS: &str = include_str!("../../../../crates/otlp/tests/data/logs.json");
const EVENTS: &str = include_str!("../../../../crates/otlp/tests/data/events.json");

async fn import(server: &Server, file: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let url = format!("{}/api/import", server.url);
    let request = reqwest::Client::new().post(url).body(file);
    let response = request.send().await.unwrap();
    let status = response.status();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn export(server: &Server) -> String {
    let response = server.get("/api/export").await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    response.text().await.unwrap()
}

#[tokio::test]
async fn what_was_exported_can_be_imported() {
    let one = Server::start().await;
    assert_eq!(export(&one).await, "");
    let (status, report) = import(&one, format!("{TRACE}{METRICS}{LOGS}{EVENTS}")).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    assert_eq!(report["problems"].as_array().unwrap().len(), 0, "{report}");
    for number in 1..=1200 {
        one.add_trace(number, 3, false);
    }
    one.add_logs(0..1300, "number");
    let file = export(&one).await;
    assert!(file.lines().count() > 10);

    let other = Server::start().await;
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(file.as_bytes()).unwrap();
    let (status, report) = import(&other, gzip.finish().unwrap()).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    assert_eq!(
        (&report["spans"], &report["points"]),
        (&3601.into(), &4.into())
    );
    assert_eq!(report["refused"], 0, "{report}");
    // The second export shows what the first import stored. Only the order of metrics may differ.
    let sorted = |file: &str| {
        let mut lines: Vec<_> = file.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&export(&other).await), sorted(&file));
}

#[tokio::test]
async fn what_is_no_part_of_an_identity_is_exported_too() {
    let server = Server::start().await;
    let files = [
        (
            "Spans",
            "spans",
            r#"{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331"}"#,
        ),
        ("Logs", "logRecords", r#"{"timeUnixNano":"5"}"#),
        (
            "Metrics",
            "metrics",
            r#"{"name":"m","metadata":[{"key":"k","value":{"stringValue":"v"}}],"gauge":{"dataPoints":[{"timeUnixNano":"5","asInt":"1"}]}}"#,
        ),
    ];
    for (signal, records, record) in files {
        let file = format!(
            r#"{{"resource{signal}":[{{"resource":{{"droppedAttributesCount":2}},"schemaUrl":"https://a.example/1",
                "scope{signal}":[{{"scope":{{"name":"s","droppedAttributesCount":3}},"schemaUrl":"https://a.example/2",
                "{records}":[{record}]}}]}}]}}"#
        );
        let (status, report) = import(&server, file).await;
        assert_eq!(status, StatusCode::OK, "{report}");
    }
    let exported = export(&server).await;
    assert_eq!(exported.lines().count(), 3);
    for line in exported.lines() {
        for part in [
            r#""droppedAttributesCount":2"#,
            r#""droppedAttributesCount":3"#,
            r#""schemaUrl":"https://a.example/1""#,
            r#""schemaUrl":"https://a.example/2""#,
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let metadata = r#""metadata":[{"key":"k","value":{"stringValue":"v"}}]"#;
    assert!(exported.contains(metadata), "{exported}");
}

#[tokio::test]
async fn points_of_all_series_are_exported_in_parts() {
    let one = Server::start().await;
    let point = |number: u64| {
        format!(
            r#"{{"asDouble":{number},"timeUnixNano":"{}","attributes":[{{"key":"n","value":{{"intValue":{}}}}}]}}"#,
            number + 1,
            number % 7
        )
    };
    let points: Vec<_> = (0..3000).map(point).collect();
    let file = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"m","gauge":{{"dataPoints":[{}]}}}}]}}]}}]}}"#,
        points.join(",")
    );
    let (_, report) = import(&one, file).await;
    assert_eq!(report["points"], 3000);
    let file = export(&one).await;
    assert!(file.lines().count() >= 6);
    let other = Server::start().await;
    let (_, report) = import(&other, file).await;
    assert_eq!(report["points"], 3000);
    assert_eq!(other.lens.metrics.usage().points, 3000);
    assert_eq!(other.lens.metrics.usage().series, 7);
}

#[tokio::test]
async fn a_bad_file_is_explained() {
    let server = Server::start().await;
    let (status, report) = import(&server, "no JSON").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let error = report["error"].as_str().unwrap();
    assert!(error.starts_with("line 1: not an export object"), "{error}");
    let (status, report) = import(&server, format!("{TRACE}\nno JSON\n")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&report["spans"], &report["refused"]),
        (&1.into(), &1.into())
    );
    assert_eq!(report["problems"][0]["line"], 52);
    let (status, report) = import(&server, "\n\n").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(report["error"], "there is nothing in the file");
    for (query, kind, status) in [
        ("", "multipart/form-data; boundary=x", 415),
        ("?signal=profiles", "application/json", 400),
        ("?format=proto", "application/json", 400),
    ] {
        let url = format!("{}/api/import{query}", server.url);
        let request = reqwest::Client::new()
            .post(url)
            .header("content-type", kind);
        let response = request.body(TRACE).send().await.unwrap();
        assert_eq!(response.status(), status, "{query}");
    }
}

#[tokio::test]
async fn protobuf_of_a_signal_is_imported() {
    use prost::Message as _;
    let server = Server::start().await;
    let request: opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest =
        otlp::json::decode(TRACE.as_bytes()).unwrap();
    let url = format!("{}/api/import?signal=traces", server.url);
    let client = reqwest::Client::new();
    for duplicates in [0, 1] {
        let import = client.post(&url).body(request.encode_to_vec());
        let response = import.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.bytes().await.unwrap();
        let report: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(report["spans"], 1 - duplicates, "{report}");
        assert_eq!(report["duplicates"], duplicates, "{report}");
    }
    let import = client.post(&url).body("\x07").send().await.unwrap();
    let body = import.text().await.unwrap();
    assert!(body.contains("message 1: the file ends within"), "{body}");
}
