//! A lens in the process of the test.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use lens::{Lens, Listeners, Settings};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use reqwest::StatusCode;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// A time in nanoseconds since 1970, and a millisecond.
pub(crate) const NOW: u64 = 1_700_000_000_000_000_000;
pub(crate) const MS: u64 = 1_000_000;

pub(crate) struct Server {
    pub(crate) lens: Arc<Lens>,
    pub(crate) url: String,
    pub(crate) otlp: SocketAddr,
    stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(64 << 20, &[]).await
    }

    pub(crate) async fn start_with(memory: usize, arguments: &[&str]) -> Self {
        let lens = Lens::new(memory);
        let settings: Settings = testing::settings(arguments);
        let pages = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", pages.local_addr().unwrap());
        let receiver = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let otlp = receiver.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let listeners = Listeners {
            pages,
            otlp: vec![receiver],
        };
        let serving = Arc::clone(&lens);
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or_default() };
            lens::serve(serving, &settings, listeners, stopped)
                .await
                .unwrap();
        });
        Self {
            lens,
            url,
            otlp,
            stop,
            task,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap()
    }

    /// The JSON of a successful answer, and the path of its next page.
    pub(crate) async fn json(&self, path: &str) -> (serde_json::Value, Option<String>) {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()["content-type"], "application/json");
        let next = response.headers().get("link").map(|link| {
            let link = link.to_str().unwrap();
            let link = link.strip_suffix(">; rel=\"next\"").unwrap();
            link.strip_prefix('<').unwrap().to_owned()
        });
        let body = response.bytes().await.unwrap();
        (serde_json::from_slice(&body).unwrap(), next)
    }

    pub(crate) async fn error(&self, path: &str) -> (StatusCode, String) {
        let response = self.get(path).await;
        let status = response.status();
        let body = response.bytes().await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (status, body["error"].as_str().unwrap().to_owned())
    }

    /// Stores a trace of this many spans, a second after the one before.
    pub(crate) fn add_trace(&self, number: u64, spans: u64, failed: bool) {
        let span = |id: u64| Span {
            trace_id: trace_id(number).to_vec(),
            span_id: (number << 32 | id).to_be_bytes().to_vec(),
            parent_span_id: match id {
                1 => Vec::new(),
                _ => (number << 32 | 1).to_be_bytes().to_vec(),
            },
            name: format!("span {id}"),
            start_time_unix_nano: NOW + (1000 * number + id) * MS,
            end_time_unix_nano: NOW + (1000 * number + id + 5) * MS,
            status: failed.then(|| Status {
                code: 2,
                ..Status::default()
            }),
            ..Span::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(resource("checkout")),
                scope_spans: vec![ScopeSpans {
                    spans: (1..=spans).map(span).collect(),
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        self.lens.store.insert_traces(&request);
    }

    /// Stores log records, a millisecond after each other.
    pub(crate) fn add_logs(&self, numbers: std::ops::Range<u64>, body: &str) {
        let record = |number| LogRecord {
            time_unix_nano: NOW + number * MS,
            severity_number: 9,
            severity_text: "info".to_owned(),
            trace_id: trace_id(number).to_vec(),
            body: Some(text(&format!("{body} {number}"))),
            ..LogRecord::default()
        };
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(resource("checkout")),
                scope_logs: vec![ScopeLogs {
                    log_records: numbers.map(record).collect(),
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        };
        self.lens.store.insert_logs(&request);
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

pub(crate) fn trace_id(number: u64) -> [u8; 16] {
    let mut id = [0xab; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    id
}

pub(crate) fn hex(number: u64) -> String {
    format!("abababababababab{number:016x}")
}

pub(crate) fn text(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

pub(crate) fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![KeyValue {
            key: "service.name".to_owned(),
            value: Some(text(service)),
            ..KeyValue::default()
        }],
        ..Resource::default()
    }
}
