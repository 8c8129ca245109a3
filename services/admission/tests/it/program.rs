//! Requests to the program, and what it exports.

use std::{net::SocketAddr, process::Command, time::Duration};

use e2e::{Collector, collector::text};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    common::v1::{AnyValue, KeyValue, any_value},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;
use reqwest::{Client, Response, StatusCode};
use testing::{Process, eventually, program};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};

use crate::fake::Fake;

const DOCUMENTATION: &str = include_str!("../../../../docs/telemetry.md");

/// The program in front of this receiver.
fn admission(prometheus: &str) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_admission"));
    command.env("PORT", "0").env("PROMETHEUS_URL", prometheus);
    command
}

/// Gauges of a service with these ids.
fn request(service: &str, ids: &[&str]) -> Vec<u8> {
    let points = ids.iter().map(|id| NumberDataPoint {
        attributes: vec![attribute("order.id", id)],
        value: Some(number_data_point::Value::AsInt(1)),
        ..NumberDataPoint::default()
    });
    let metric = Metric {
        name: "orders".to_owned(),
        data: Some(Data::Gauge(Gauge {
            data_points: points.collect(),
        })),
        ..Metric::default()
    };
    let scope = ScopeMetrics {
        metrics: vec![metric],
        ..ScopeMetrics::default()
    };
    let resource = Resource {
        attributes: vec![attribute("service.name", service)],
        ..Resource::default()
    };
    let group = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![group],
    }
    .encode_to_vec()
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(any_value::Value::StringValue(value.to_owned()));
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value }),
        ..KeyValue::default()
    }
}

async fn send(address: SocketAddr, kind: &str, body: Vec<u8>) -> Response {
    let url = format!("http://{address}/api/v1/otlp/v1/metrics");
    let request = Client::new().post(url).header("content-type", kind);
    request.body(body).send().await.unwrap()
}

/// Sends a request that is stored, and returns the number of dropped data points with the reason.
async fn stored(address: SocketAddr, body: Vec<u8>) -> (i64, String) {
    let response = send(address, "application/x-protobuf", body).await;
    assert_eq!(response.status(), StatusCode::OK);
    let response = ExportMetricsServiceResponse::decode(response.bytes().await.unwrap()).unwrap();
    let partial = response.partial_success.unwrap_or_default();
    (partial.rejected_data_points, partial.error_message)
}

#[tokio::test]
async fn data_points_beyond_a_limit_are_dropped_logged_and_counted() {
    let (prometheus, url) = Fake::start().await;
    let collector = Collector::start().await.unwrap();
    let mut command = admission(&url);
    command
        .env("ADMISSION_MAX_SERIES_PER_SERVICE", "4")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint())
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    let mut process = Process::start(&mut command);
    let address = process.address().await;

    assert_eq!(
        stored(address, request("shop", &["1", "2", "3"])).await,
        (0, String::new())
    );
    let (dropped, reason) = stored(address, request("shop", &["1", "4", "5"])).await;
    assert_eq!(
        (dropped, reason.as_str()),
        (2, "beyond max_series_per_service")
    );
    let (dropped, _) = stored(address, request("shop", &["6"])).await;
    assert_eq!(dropped, 1);
    assert_eq!(
        stored(address, request("cart", &["1", "4"])).await,
        (0, String::new())
    );
    assert_eq!(
        (prometheus.stored("shop"), prometheus.stored("cart")),
        (4, 2)
    );

    // One line for the first, and none for those soon after it.
    let line = process.logged("sender", "shop").await;
    assert_eq!(line["level"], "WARN", "{line}");
    assert_eq!(line["data_points"], 2, "{line}");
    assert_eq!(line["reason"], "max_series_per_service", "{line}");
    assert_eq!(
        process
            .log()
            .iter()
            .filter(|line| line["sender"] == "shop")
            .count(),
        1
    );

    eventually("the counts", async || {
        let metrics = collector.received().metrics;
        let last = |name: &str| metrics.iter().rev().find(|(_, metric)| metric.name == name);
        let (_, dropped) = last("admission.data_points.dropped")?;
        let Some(Data::Sum(dropped)) = &dropped.data else {
            panic!("{dropped:?}");
        };
        let [point] = dropped.data_points.as_slice() else {
            panic!("{dropped:?}");
        };
        assert_eq!(text(&point.attributes, "admission.sender"), Some("shop"));
        assert_eq!(
            text(&point.attributes, "admission.reason"),
            Some("max_series_per_service")
        );
        let (_, series) = last("admission.series.count")?;
        let Some(Data::Sum(series)) = &series.data else {
            panic!("{series:?}");
        };
        // Of both services: three and two, and one for each resource.
        let is_right = point.value == Some(number_data_point::Value::AsDouble(3.0))
            && series.data_points[0].value == Some(number_data_point::Value::AsInt(7));
        is_right.then_some(())
    })
    .await;
    for metric in ["admission.data_points.dropped", "admission.series.count"] {
        assert!(
            DOCUMENTATION.contains(&format!("| `{metric}` |")),
            "{metric}"
        );
    }
    process.terminate();
    assert_eq!(process.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_sender_is_told_to_retry_what_prometheus_does_not_take_now() {
    let (prometheus, url) = Fake::start().await;
    prometheus.is_away(true);
    let mut process = Process::start(&mut admission(&url));
    let address = process.address().await;
    let body = request("shop", &["1"]);
    let refused = send(address, "application/x-protobuf", body.clone()).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    prometheus.is_away(false);
    assert_eq!(stored(address, body).await, (0, String::new()));
    assert_eq!(prometheus.stored("shop"), 1);
}

#[tokio::test]
async fn what_is_no_export_of_metrics_is_refused() {
    let (_prometheus, url) = Fake::start().await;
    let mut process = Process::start(&mut admission(&url));
    let address = process.address().await;
    let json = send(address, "application/json", b"{}".to_vec()).await;
    assert_eq!(json.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let malformed = send(address, "application/x-protobuf", vec![0xff; 9]).await;
    assert_eq!(malformed.status(), StatusCode::BAD_REQUEST);
    assert_eq!(stored(address, Vec::new()).await, (0, String::new()));
}

#[tokio::test]
async fn an_invalid_setting_is_reported() {
    for (setting, value) in [
        ("PROMETHEUS_URL", "https://127.0.0.1:9090"),
        ("PROMETHEUS_URL", "9090"),
        ("ADMISSION_MAX_SERIES", "0"),
        ("ADMISSION_MAX_SERIES_PER_SERVICE", "many"),
        ("ADMISSION_MAX_SERVICES", "-1"),
    ] {
        let ended = Process::run(admission("http://127.0.0.1:1").env(setting, value)).await;
        assert_eq!(ended.code, Some(2), "{setting}={value}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(setting), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn help_explains_the_settings() {
    let help = Process::run(admission("http://127.0.0.1:1").arg("--help")).await;
    assert_eq!(help.code, Some(0));
    for part in ["health", "PROMETHEUS_URL", "ADMISSION_MAX_SERIES", "OTEL_"] {
        assert!(help.stdout.contains(part), "{part}: {}", help.stdout);
    }
}

#[tokio::test]
async fn slow_senders_delay_no_other() {
    let (prometheus, url) = Fake::start().await;
    let mut process = Process::start(&mut admission(&url));
    let address = process.address().await;
    let mut slow = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = "POST /api/v1/otlp/v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n\
                    content-length: 100000\r\n\r\nab";
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let stored = timeout(
        Duration::from_secs(3),
        stored(address, request("shop", &["1"])),
    );
    assert_eq!(stored.await.unwrap(), (0, String::new()));
    assert_eq!(prometheus.stored("shop"), 1);
}
