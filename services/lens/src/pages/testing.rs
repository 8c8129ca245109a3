//! What the tests of pages have in common.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, BodyDataStream, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use futures_util::StreamExt as _;
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use scraper::{Html, Selector};
use tower::ServiceExt as _;

pub(super) use crate::samples::{MS, failed, lens};
use crate::{Lens, store::TraceId};

/// A time in nanoseconds since 1970.
pub(super) const NOW: u64 = 1_700_000_000_000_000_000;

/// An answer to a request.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

pub(super) async fn get(lens: &Arc<Lens>, path: &str) -> Answer {
    let routes: Router = super::routes().with_state(Arc::clone(lens));
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = routes.oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Answer {
        status,
        headers,
        body: String::from_utf8(body.into()).unwrap(),
    }
}

/// Opens a stream of server-sent events. `last` is the id of the last event that the browser saw.
pub(super) async fn open(lens: &Arc<Lens>, path: &str, last: Option<&str>) -> BodyDataStream {
    let routes: Router = super::routes().with_state(Arc::clone(lens));
    let mut request = Request::get(path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = routes.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    response.into_body().into_data_stream()
}

/// The id and the data of the next event.
pub(super) async fn event(stream: &mut BodyDataStream) -> Option<(String, String)> {
    let event = stream.next().await?.unwrap();
    let event = String::from_utf8(event.into()).unwrap();
    let field = |name| {
        let fields = event.lines();
        let values = fields.filter_map(|line| line.strip_prefix(name));
        values.collect::<Vec<_>>().join("\n")
    };
    Some((field("id: "), field("data: ")))
}

/// The text of each element, with single spaces.
pub(super) fn texts(page: &str, selector: &str) -> Vec<String> {
    let page = Html::parse_document(page);
    let elements = Selector::parse(selector).unwrap();
    page.select(&elements)
        .map(|element| {
            let words: Vec<&str> = element.text().flat_map(str::split_whitespace).collect();
            words
                .join(" ")
                .replace(" ,", ",")
                .replace(" )", ")")
                .replace("( ", "(")
        })
        .collect()
}

/// An attribute of each element that has it.
pub(super) fn attributes(page: &str, selector: &str, name: &str) -> Vec<String> {
    let page = Html::parse_document(page);
    let elements = Selector::parse(selector).unwrap();
    page.select(&elements)
        .filter_map(|element| element.attr(name).map(str::to_owned))
        .collect()
}

pub(super) fn trace_id(number: u64) -> TraceId {
    let mut bytes = [0xab; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    TraceId::from_bytes(&bytes).unwrap()
}

/// A span from and to these milliseconds after [`NOW`]. Parent 0 is none.
pub(super) fn span(trace: u64, id: u64, parent: u64, from: u64, to: u64) -> Span {
    Span {
        trace_id: trace_id(trace).to_bytes().into(),
        span_id: id.to_be_bytes().into(),
        parent_span_id: match parent {
            0 => Vec::new(),
            parent => parent.to_be_bytes().into(),
        },
        name: format!("span {id}"),
        kind: 1,
        start_time_unix_nano: NOW + from * MS,
        end_time_unix_nano: NOW + to * MS,
        ..Span::default()
    }
}

pub(super) fn log(trace: u64, span: u64, at: u64, body: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: NOW + at * MS,
        severity_number: 9,
        body: Some(text(body)),
        trace_id: trace_id(trace).to_bytes().into(),
        span_id: match span {
            0 => Vec::new(),
            span => span.to_be_bytes().into(),
        },
        ..LogRecord::default()
    }
}

pub(super) fn text(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

pub(super) fn attribute(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(text(value)),
        ..KeyValue::default()
    }
}

pub(super) fn insert(lens: &Lens, service: &str, spans: Vec<Span>) {
    lens.store.insert_traces(&ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(service)),
            schema_url: "https://example.org/resource".to_owned(),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope()),
                schema_url: "https://example.org/scope".to_owned(),
                spans,
            }],
        }],
    });
}

pub(super) fn insert_logs(lens: &Lens, service: &str, log_records: Vec<LogRecord>) {
    lens.store.insert_logs(&ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(service)),
            scope_logs: vec![ScopeLogs {
                scope: Some(scope()),
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    });
}

fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![
            attribute("service.name", service),
            attribute("host.name", "box"),
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
