//! Tests of the store as its callers see it.

mod any;
mod arrivals;
mod eviction;
mod logs;
mod trace;
mod traces;

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{
        AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span::Link},
};

use super::*;
use crate::query::{Filter, Term};

/// A time in nanoseconds since 1970, and a millisecond.
const NOW: u64 = 1_700_000_000_000_000_000;
const MS: u64 = 1_000_000;

const MIB: usize = 1024 * 1024;

fn trace_id(number: u64) -> TraceId {
    let mut bytes = [0xab; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TraceId::from_bytes(&bytes).unwrap()
}

/// A span of 10 ms that starts `at` ms after [`NOW`]. Parent 0 is none.
fn span(trace: u64, id: u64, parent: u64, at: u64) -> Span {
    Span {
        trace_id: trace_id(trace).to_bytes().into(),
        span_id: id.to_be_bytes().into(),
        parent_span_id: match parent {
            0 => Vec::new(),
            parent => parent.to_be_bytes().into(),
        },
        name: format!("span {id}"),
        kind: 2,
        start_time_unix_nano: NOW + at * MS,
        end_time_unix_nano: NOW + (at + 10) * MS,
        ..Span::default()
    }
}

fn failed(mut span: Span) -> Span {
    span.status = Some(Status {
        message: "out of Cheese".to_owned(),
        code: 2,
    });
    span
}

fn link(trace: u64, span: u64) -> Link {
    Link {
        trace_id: trace_id(trace).to_bytes().into(),
        span_id: span.to_be_bytes().into(),
        ..Link::default()
    }
}

/// A log record `at` ms after [`NOW`]. Trace 0 is none.
fn log(trace: u64, body: &str, at: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: NOW + at * MS,
        severity_number: 9,
        body: Some(text(body)),
        trace_id: match trace {
            0 => Vec::new(),
            trace => trace_id(trace).to_bytes().into(),
        },
        ..LogRecord::default()
    }
}

fn text(text: &str) -> AnyValue {
    value(Value::StringValue(text.to_owned()))
}

fn value(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![
            attribute("service.name", text(service)),
            attribute("host.name", text(&format!("{service}-1"))),
        ],
        ..Resource::default()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "library".to_owned(),
        version: "1.2".to_owned(),
        ..InstrumentationScope::default()
    }
}

fn traces(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(service)),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                spans,
                schema_url: "https://example.org/scope".to_owned(),
            }],
            schema_url: "https://example.org/resource".to_owned(),
        }],
    }
}

fn logs(service: &str, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(service)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records,
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }],
    }
}

fn store() -> Store {
    Store::new(64 * MIB)
}

/// A store whose segments have 4 KiB of records, so that some hundred records need many segments.
fn small_segments() -> Store {
    let store = store();
    store.write(|writer| {
        writer.spans = Signal::new(4096, 4096);
        writer.logs = Signal::new(4096, 4096);
    });
    store
}

fn parse(filter: &str) -> Filter {
    filter
        .parse()
        .unwrap_or_else(|errors| panic!("{filter}\n{errors}"))
}

fn trace_filter(filter: &str) -> TraceFilter {
    parse(filter).to_trace_filter().unwrap()
}

fn log_filter(filter: &str) -> LogFilter {
    parse(filter).to_log_filter().unwrap()
}

fn page<C>(limit: usize) -> Page<C> {
    Page {
        limit,
        before: None,
    }
}
