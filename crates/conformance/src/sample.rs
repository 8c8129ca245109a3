//! Requests of each signal.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point,
    },
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    pub(crate) const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }

    /// The default path over HTTP.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }

    /// The path of the gRPC method.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }

    /// The JSON field of the rejected count.
    pub(crate) fn rejected(self) -> &'static str {
        match self {
            Self::Traces => "rejectedSpans",
            Self::Metrics => "rejectedDataPoints",
            Self::Logs => "rejectedLogRecords",
        }
    }

    /// The JSON field of a request.
    pub(crate) fn resources(self) -> &'static str {
        match self {
            Self::Traces => "resourceSpans",
            Self::Metrics => "resourceMetrics",
            Self::Logs => "resourceLogs",
        }
    }

    /// The JSON field of a resource.
    pub(crate) fn scopes(self) -> &'static str {
        match self {
            Self::Traces => "scopeSpans",
            Self::Metrics => "scopeMetrics",
            Self::Logs => "scopeLogs",
        }
    }

    /// A request with one record, in protobuf.
    pub(crate) fn protobuf(self) -> Vec<u8> {
        match self {
            Self::Traces => traces(vec![span()]).encode_to_vec(),
            Self::Metrics => metrics(vec![gauge()]).encode_to_vec(),
            Self::Logs => logs(vec![record()]).encode_to_vec(),
        }
    }

    /// A request with one record, in JSON.
    pub(crate) fn json(self) -> Value {
        let records = match self {
            Self::Traces => json!({ "spans": [json_span()] }),
            Self::Metrics => json!({ "metrics": [json_gauge()] }),
            Self::Logs => json!({ "logRecords": [json_record()] }),
        };
        let mut scope = json!({ "scope": { "name": "conformance" } });
        merge(&mut scope, records);
        let mut resource = json!({ "resource": { "attributes": [json_attribute()] } });
        merge(&mut resource, json!({ self.scopes(): [scope] }));
        json!({ self.resources(): [resource] })
    }
}

/// Adds the fields of one JSON object to another, and replaces fields of the same name.
pub(crate) fn merge(object: &mut Value, fields: Value) {
    if let (Some(object), Value::Object(fields)) = (object.as_object_mut(), fields) {
        object.extend(fields);
    }
}

/// A request in JSON with this span.
pub(crate) fn json_traces(span: &Value) -> Value {
    let mut request = Signal::Traces.json();
    request["resourceSpans"][0]["scopeSpans"][0]["spans"] = json!([span]);
    request
}

/// A request in JSON with this metric.
pub(crate) fn json_metrics(metric: &Value) -> Value {
    let mut request = Signal::Metrics.json();
    request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"] = json!([metric]);
    request
}

pub(crate) fn json_span() -> Value {
    let now = now();
    json!({
        "traceId": hex(&trace_id()),
        "spanId": hex(&span_id()),
        "name": "conformance",
        "kind": 2,
        "startTimeUnixNano": (now - 1_000_000).to_string(),
        "endTimeUnixNano": now.to_string(),
        "attributes": [json_attribute()],
    })
}

pub(crate) fn json_gauge() -> Value {
    json!({
        "name": "conformance.gauge",
        "unit": "1",
        "gauge": { "dataPoints": [{ "timeUnixNano": now().to_string(), "asDouble": 1.5 }] },
    })
}

fn json_record() -> Value {
    let now = now().to_string();
    json!({
        "timeUnixNano": now,
        "observedTimeUnixNano": now,
        "severityNumber": 9,
        "severityText": "INFO",
        "body": { "stringValue": "conformance" },
        "traceId": hex(&trace_id()),
        "spanId": hex(&span_id()),
    })
}

fn json_attribute() -> Value {
    json!({ "key": "service.name", "value": { "stringValue": "conformance" } })
}

/// A request with these spans.
pub(crate) fn traces(spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource()),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// A request with these metrics.
pub(crate) fn metrics(metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource()),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope()),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

/// A request with these log records.
pub(crate) fn logs(log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource()),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

/// A valid span.
pub(crate) fn span() -> Span {
    let now = now();
    Span {
        trace_id: trace_id(),
        span_id: span_id(),
        name: "conformance".to_owned(),
        kind: 2,
        start_time_unix_nano: now - 1_000_000,
        end_time_unix_nano: now,
        ..Span::default()
    }
}

/// A valid log record.
pub(crate) fn record() -> LogRecord {
    let now = now();
    LogRecord {
        time_unix_nano: now,
        observed_time_unix_nano: now,
        severity_number: 9,
        severity_text: "INFO".to_owned(),
        body: Some(string("conformance")),
        trace_id: trace_id(),
        span_id: span_id(),
        ..LogRecord::default()
    }
}

fn gauge() -> Metric {
    metric(
        "conformance.gauge",
        metric::Data::Gauge(Gauge {
            data_points: vec![point(number_data_point::Value::AsDouble(1.5))],
        }),
    )
}

/// A metric with this data.
pub(crate) fn metric(name: &str, data: metric::Data) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: "1".to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// A data point of now.
pub(crate) fn point(value: number_data_point::Value) -> NumberDataPoint {
    let now = now();
    NumberDataPoint {
        start_time_unix_nano: now - 1_000_000_000,
        time_unix_nano: now,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

/// A text as a value.
pub(crate) fn string(text: &str) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::StringValue(text.to_owned())),
    }
}

/// An attribute.
pub(crate) fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

fn resource() -> Resource {
    Resource {
        attributes: vec![attribute("service.name", string("conformance"))],
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "conformance".to_owned(),
        ..InstrumentationScope::default()
    }
}

/// A request for one span of exactly this size in protobuf.
pub(crate) fn protobuf_of(bytes: usize) -> anyhow::Result<Vec<u8>> {
    // A longer padding can need longer length fields around it, so the first guess can miss.
    for name in ["conformance", "conformance."] {
        let mut padding = bytes.saturating_sub(256);
        for _ in 0..4 {
            let mut span = span();
            name.clone_into(&mut span.name);
            span.attributes = vec![attribute("padding", string(&"a".repeat(padding)))];
            let request = traces(vec![span]);
            let size = request.encoded_len();
            if size == bytes {
                return Ok(request.encode_to_vec());
            }
            padding = (padding + bytes)
                .checked_sub(size)
                .context("the size is too small for a span")?;
        }
    }
    anyhow::bail!("no span has exactly {bytes} bytes")
}

/// A request for one span of exactly this size in JSON.
pub(crate) fn json_of(bytes: usize) -> anyhow::Result<Vec<u8>> {
    let request = |padding: usize| {
        let mut span = json_span();
        let padding = "a".repeat(padding);
        span["attributes"] = json!([{ "key": "padding", "value": { "stringValue": padding } }]);
        json_traces(&span).to_string().into_bytes()
    };
    let padding = bytes.checked_sub(request(0).len());
    Ok(request(
        padding.context("the size is too small for a span")?,
    ))
}

pub(crate) fn gzip(data: &[u8]) -> anyhow::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data)?;
    Ok(encoder.finish()?)
}

pub(crate) fn gunzip(data: &[u8]) -> anyhow::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut plain = Vec::new();
    GzDecoder::new(data).read_to_end(&mut plain)?;
    Ok(plain)
}

/// Bytes that are no message: a field whose length goes beyond the end.
pub(crate) const GARBAGE: &[u8] = &[0x0a, 0xff, 0xff, 0xff, 0x07, b'g'];

/// Time in nanoseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// A trace id that no earlier run used.
pub(crate) fn trace_id() -> Vec<u8> {
    [now().to_be_bytes(), count().to_be_bytes()].concat()
}

pub(crate) fn span_id() -> Vec<u8> {
    (now() ^ count()).to_be_bytes().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A number that grows with each call, from 1.
fn count() -> u64 {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    COUNT.fetch_add(1, Ordering::Relaxed)
}
