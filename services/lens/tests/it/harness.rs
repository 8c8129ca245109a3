//! The program with a data folder, and a sender of telemetry.

use std::{net::SocketAddr, path::Path, process::Command};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
        metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point,
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use testing::{Process, program};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::transport::Channel;

/// A running lens.
pub(crate) struct Lens {
    pub(crate) process: Process,
    pub(crate) pages: SocketAddr,
    pub(crate) otlp: SocketAddr,
    channel: Channel,
}

/// The program with this data folder, on free ports.
pub(crate) fn binary(folder: &Path) -> Command {
    run(env!("CARGO_BIN_EXE_lens").as_ref(), folder)
}

/// This copy of the program with this data folder, on free ports.
pub(crate) fn run(copy: &Path, folder: &Path) -> Command {
    let mut command = program(copy);
    command.env("LENS_DATA", folder).env("LOG_FORMAT", "json");
    for port in ["PORT", "OTLP_GRPC_PORT", "OTLP_HTTP_PORT"] {
        command.env(port, "0");
    }
    command
}

impl Lens {
    pub(crate) async fn start(folder: &Path) -> Self {
        Self::start_by(&mut binary(folder)).await
    }

    pub(crate) async fn start_by(command: &mut Command) -> Self {
        let mut process = Process::start(command);
        let pages = process.address().await;
        let ready = process.logged("message", "ready").await;
        let otlp = ready["otlp"].as_str().unwrap().trim_matches(['[', ']']);
        let otlp: SocketAddr = otlp.split(", ").next().unwrap().parse().unwrap();
        Self {
            process,
            pages,
            otlp,
            channel: testing::channel(otlp),
        }
    }

    /// Sends a span, a log record and a point with this number.
    pub(crate) async fn send(&self, number: u8) {
        let span = Span {
            trace_id: vec![number; 16],
            span_id: vec![number; 8],
            name: "work".to_owned(),
            start_time_unix_nano: 1_000,
            end_time_unix_nano: 2_000,
            ..Span::default()
        };
        let spans = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: vec![span],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let logs = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records: vec![LogRecord {
                        time_unix_nano: 1_000,
                        ..LogRecord::default()
                    }],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        };
        let point = NumberDataPoint {
            time_unix_nano: 1_000,
            value: Some(number_data_point::Value::AsInt(number.into())),
            ..NumberDataPoint::default()
        };
        let metric = Metric {
            name: format!("metric {number}"),
            data: Some(Data::Gauge(Gauge {
                data_points: vec![point],
            })),
            ..Metric::default()
        };
        let metrics = ExportMetricsServiceRequest {
            resource_metrics: vec![ResourceMetrics {
                scope_metrics: vec![ScopeMetrics {
                    metrics: vec![metric],
                    ..ScopeMetrics::default()
                }],
                ..ResourceMetrics::default()
            }],
        };
        let channel = || self.channel.clone();
        let mut client = TraceServiceClient::new(channel());
        client.export(spans).await.unwrap();
        let mut client = LogsServiceClient::new(channel());
        client.export(logs).await.unwrap();
        let mut client = MetricsServiceClient::new(channel());
        client.export(metrics).await.unwrap();
    }

    /// A page.
    pub(crate) async fn page(&self) -> String {
        let mut stream = TcpStream::connect(self.pages).await.unwrap();
        let request = "GET /traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        page
    }

    /// Waits until the pages have this text.
    pub(crate) async fn shows(&self, text: &str) {
        testing::eventually(text, async || {
            self.page().await.contains(text).then_some(())
        })
        .await;
    }
}
