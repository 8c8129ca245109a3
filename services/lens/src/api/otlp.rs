//! Stored records as OTLP JSON.

use std::{collections::HashMap, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::ResourceMetrics,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use otlp::json;

use crate::store::{Source, StoredLog, TraceSpan};

/// Spans as an export object.
pub(crate) fn spans(spans: Vec<TraceSpan>) -> Vec<u8> {
    let spans = spans.into_iter().map(|span| (span.source, span.span));
    let group = |(source, spans): (Arc<Source>, Vec<Span>)| ResourceSpans {
        resource: source.resource.clone(),
        scope_spans: vec![ScopeSpans {
            scope: source.scope.clone(),
            spans,
            schema_url: source.scope_schema_url.clone(),
        }],
        schema_url: source.resource_schema_url.clone(),
    };
    json::encode(&ExportTraceServiceRequest {
        resource_spans: by_source(spans).into_iter().map(group).collect(),
    })
}

/// Log records as an export object.
pub(crate) fn logs(logs: Vec<StoredLog>) -> Vec<u8> {
    let logs = logs.into_iter().map(|log| (log.source, log.record));
    let group = |(source, log_records): (Arc<Source>, Vec<LogRecord>)| ResourceLogs {
        resource: source.resource.clone(),
        scope_logs: vec![ScopeLogs {
            scope: source.scope.clone(),
            log_records,
            schema_url: source.scope_schema_url.clone(),
        }],
        schema_url: source.resource_schema_url.clone(),
    };
    json::encode(&ExportLogsServiceRequest {
        resource_logs: by_source(logs).into_iter().map(group).collect(),
    })
}

/// Series as an export object.
pub(super) fn metrics(resource_metrics: Vec<ResourceMetrics>) -> Vec<u8> {
    json::encode(&ExportMetricsServiceRequest { resource_metrics })
}

/// The elements of the only array of an export object, without brackets.
pub(super) fn elements(object: &[u8]) -> &[u8] {
    let start = object.iter().position(|&byte| byte == b'[');
    let end = object.iter().rposition(|&byte| byte == b']');
    match (start, end) {
        (Some(start), Some(end)) => &object[start + 1..end],
        _ => &[],
    }
}

/// Groups records by their source, in the order of the first of each.
fn by_source<T>(records: impl Iterator<Item = (Arc<Source>, T)>) -> Vec<(Arc<Source>, Vec<T>)> {
    let mut groups: Vec<(Arc<Source>, Vec<T>)> = Vec::new();
    let mut numbers = HashMap::new();
    for (source, record) in records {
        let number = *numbers.entry(Arc::as_ptr(&source)).or_insert_with(|| {
            groups.push((source, Vec::new()));
            groups.len() - 1
        });
        groups[number].1.push(record);
    }
    groups
}
