//! A trace as OTLP JSON.

use std::{collections::HashMap, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    logs::v1::{ResourceLogs, ScopeLogs},
    trace::v1::{ResourceSpans, ScopeSpans},
};

use crate::store::{Source, StoredLog, Trace, TraceSpan};

/// One object with `resourceSpans` and `resourceLogs`.
pub(super) fn encode(trace: Trace) -> Vec<u8> {
    let spans = ExportTraceServiceRequest {
        resource_spans: spans(trace.spans),
    };
    let logs = ExportLogsServiceRequest {
        resource_logs: logs(trace.logs),
    };
    join(otlp::json::encode(&spans), &otlp::json::encode(&logs))
}

/// The members of two objects in one.
fn join(mut first: Vec<u8>, second: &[u8]) -> Vec<u8> {
    let is_empty = |object: &[u8]| object.len() <= 2;
    if is_empty(second) {
        return first;
    }
    if is_empty(&first) {
        return second.to_vec();
    }
    first.pop();
    first.push(b',');
    first.extend_from_slice(&second[1..]);
    first
}

fn spans(spans: Vec<TraceSpan>) -> Vec<ResourceSpans> {
    let groups = by_source(spans.into_iter().map(|span| (span.source, span.span)));
    let groups = groups.into_iter().map(|(source, spans)| ResourceSpans {
        resource: source.resource.clone(),
        schema_url: source.resource_schema_url.clone(),
        scope_spans: vec![ScopeSpans {
            scope: source.scope.clone(),
            schema_url: source.scope_schema_url.clone(),
            spans,
        }],
    });
    groups.collect()
}

fn logs(logs: Vec<StoredLog>) -> Vec<ResourceLogs> {
    let groups = by_source(logs.into_iter().map(|log| (log.source, log.record)));
    let groups = groups
        .into_iter()
        .map(|(source, log_records)| ResourceLogs {
            resource: source.resource.clone(),
            schema_url: source.resource_schema_url.clone(),
            scope_logs: vec![ScopeLogs {
                scope: source.scope.clone(),
                schema_url: source.scope_schema_url.clone(),
                log_records,
            }],
        });
    groups.collect()
}

/// Records by their sources, in the order of the first record of each.
fn by_source<T>(records: impl Iterator<Item = (Arc<Source>, T)>) -> Vec<(Arc<Source>, Vec<T>)> {
    let mut places = HashMap::new();
    let mut groups: Vec<(Arc<Source>, Vec<T>)> = Vec::new();
    for (source, record) in records {
        // The store decodes each source once.
        let place = *places.entry(Arc::as_ptr(&source)).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, records)) => records.push(record),
            None => groups.push((source, vec![record])),
        }
    }
    groups
}
