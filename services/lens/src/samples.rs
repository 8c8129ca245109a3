//! Spans and log records for tests of pages.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Link, SpanKind},
    },
};
use otlp::{Accepted, Sink as _};

use crate::{Lens, intake::Intake};

pub(crate) const MS: u64 = 1_000_000;

/// A text that breaks pages that do not escape it.
pub(crate) const HOSTILE: &str = "</title><script>alert(1)</script>\"'&\u{202e}\u{1b}[31m\0";

/// One minute ago, so that a trace is complete.
pub(crate) fn recently() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_nanos() as u64 - 60_000 * MS
}

pub(crate) fn lens() -> Arc<Lens> {
    Lens::new(64 << 20)
}

/// A span of trace `trace` and id `id`, 10 ms long.
pub(crate) fn span(kind: SpanKind, trace: u8, id: u8, parent: u8) -> Span {
    let start = recently();
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: if parent == 0 { vec![] } else { vec![parent; 8] },
        name: format!("span {id}"),
        kind: kind as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 10 * MS,
        ..Span::default()
    }
}

pub(crate) fn with(mut span: Span, attributes: &[(&str, &str)]) -> Span {
    let attributes = attributes.iter().map(|(key, value)| text(key, value));
    span.attributes.extend(attributes);
    span
}

pub(crate) fn failed(mut span: Span, message: &str) -> Span {
    span.status = Some(Status {
        code: 2,
        message: message.to_owned(),
    });
    span
}

pub(crate) fn linking(mut span: Span, trace: u8, id: u8) -> Span {
    span.links.push(Link {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        ..Link::default()
    });
    span
}

/// Sends spans of a service, as the receiver does.
pub(crate) async fn send(
    lens: &Arc<Lens>,
    service: &str,
    spans: impl IntoIterator<Item = Span>,
) -> Accepted {
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(service),
            scope_spans: vec![ScopeSpans {
                spans: spans.into_iter().collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    Intake(Arc::clone(lens)).traces(request).await.unwrap()
}

pub(crate) async fn log(lens: &Arc<Lens>, service: &str, severity: i32, body: &str) {
    log_at(lens, service, severity, body, recently()).await;
}

pub(crate) async fn log_at(
    lens: &Arc<Lens>,
    service: &str,
    severity: i32,
    body: &str,
    time_unix_nano: u64,
) {
    let record = LogRecord {
        time_unix_nano,
        severity_number: severity,
        body: Some(AnyValue {
            value: Some(Value::StringValue(body.to_owned())),
        }),
        ..LogRecord::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: resource(service),
            scope_logs: vec![ScopeLogs {
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    Intake(Arc::clone(lens)).logs(request).await.unwrap();
}

fn resource(service: &str) -> Option<Resource> {
    let name = (!service.is_empty()).then(|| text("service.name", service));
    Some(Resource {
        attributes: name.into_iter().collect(),
        ..Resource::default()
    })
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.to_owned())),
        }),
        ..KeyValue::default()
    }
}
