//! Takes OTLP requests into the store.

use std::{hash::BuildHasher as _, time::SystemTime};

use foldhash::fast::FixedState;
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{InstrumentationScope, any_value::Value},
    logs::v1::LogRecord,
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind, status::StatusCode},
};
use prost::Message;

use super::{LogColumns, SpanColumns, Store, Writer, segment::Record, signal::Group};
use crate::ids::{SpanId, TraceId};

/// Number of records after which the writer lets readers in.
const BATCH: usize = 512;

/// Size of an encoded record above which its buffer is freed, in bytes.
const ENCODED: usize = 64 << 10;

/// Lowest severity number of an error.
pub(super) const ERROR: u8 = 17;

/// Highest severity number.
const FATAL4: u8 = 24;

/// What the store did with a request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Inserted {
    /// Number of records that are new.
    pub stored: usize,
    /// Number of spans that were stored already.
    pub duplicates: usize,
    /// Number of spans that are not stored, because another span has the same ids.
    pub conflicts: usize,
    /// The last of these.
    pub conflict: Option<(TraceId, SpanId)>,
    /// Number of spans without a valid id, which are not stored.
    pub invalid: usize,
}

impl Store {
    /// Stores the spans of a request. A span with the ids of one that is stored is not stored.
    pub fn insert_traces(&self, request: &ExportTraceServiceRequest) -> Inserted {
        self.insert_traces_at(request, SystemTime::now())
    }

    /// Stores the spans of a request that arrived at this time.
    pub(crate) fn insert_traces_at(
        &self,
        request: &ExportTraceServiceRequest,
        arrived: SystemTime,
    ) -> Inserted {
        let mut inserted = Inserted::default();
        for group in &request.resource_spans {
            let resource = group.resource.as_ref();
            let message = encode_resource(resource, &group.schema_url);
            for scoped in &group.scope_spans {
                let scope = encode_scope(scoped.scope.as_ref(), &scoped.schema_url);
                let mut group = Group::new(service_name(resource), &message, &scope, arrived);
                for spans in scoped.spans.chunks(BATCH) {
                    self.write(|writer| {
                        for span in spans {
                            writer.insert_span(&mut group, span, &mut inserted);
                        }
                    });
                }
            }
        }
        self.announce(inserted);
        inserted
    }

    /// Stores the log records of a request.
    pub fn insert_logs(&self, request: &ExportLogsServiceRequest) -> Inserted {
        self.insert_logs_at(request, SystemTime::now())
    }

    /// Stores the log records of a request that arrived at this time.
    pub(crate) fn insert_logs_at(
        &self,
        request: &ExportLogsServiceRequest,
        arrived: SystemTime,
    ) -> Inserted {
        let mut inserted = Inserted::default();
        for group in &request.resource_logs {
            let resource = group.resource.as_ref();
            let message = encode_resource(resource, &group.schema_url);
            for scoped in &group.scope_logs {
                let scope = encode_scope(scoped.scope.as_ref(), &scoped.schema_url);
                let mut group = Group::new(service_name(resource), &message, &scope, arrived);
                for logs in scoped.log_records.chunks(BATCH) {
                    self.write(|writer| {
                        for log in logs {
                            writer.insert_log(&mut group, log);
                        }
                    });
                    inserted.stored += logs.len();
                }
            }
        }
        self.announce(inserted);
        inserted
    }

    fn announce(&self, inserted: Inserted) {
        if inserted.stored > 0 {
            self.version.send_modify(|version| *version += 1);
        }
    }
}

impl Writer {
    fn insert_span(&mut self, group: &mut Group<'_>, span: &Span, inserted: &mut Inserted) {
        let (Some(trace), Some(id)) = (
            TraceId::from_bytes(&span.trace_id),
            SpanId::from_bytes(&span.span_id),
        ) else {
            inserted.invalid += 1;
            return;
        };
        let start = span.start_time_unix_nano;
        // Without a start there is no duration.
        let duration = match start {
            0 => 0,
            _ => span.end_time_unix_nano.saturating_sub(start),
        };
        let parent = SpanId::from_bytes(&span.parent_span_id);
        let status = span.status.as_ref().map_or(0, |status| status.code);
        let status = StatusCode::try_from(status).unwrap_or_default();
        let kind = SpanKind::try_from(span.kind).unwrap_or_default();
        let error = status == StatusCode::Error;
        self.encode(span);
        let columns = SpanColumns {
            duration,
            parent: parent.map_or(0, SpanId::number),
            digest: FixedState::default().hash_one(&self.encoded) as u32,
            kind: kind as u8,
            status: status as u8,
        };
        if let Some((segment, row)) = self.spans.find(trace, id) {
            // Stored spans are compressed, so the hash stands for what has no column. The rest of the resource and the
            // scope may differ: a collector on one of two ways adds attributes there.
            let is_same = (row.time, &row.columns) == (start, &columns)
                && segment.names.text(row.name) == span.name
                && segment.names.text(row.origin.service) == group.service;
            if is_same {
                inserted.duplicates += 1;
            } else {
                inserted.conflicts += 1;
                inserted.conflict = Some((trace, id));
            }
            return;
        }
        let record = Record {
            trace: Some(trace),
            span: Some(id),
            time: start,
            end: start.saturating_add(duration),
            name: &span.name,
            error,
            root: parent.is_none(),
            attributes: &span.attributes,
            columns,
        };
        self.spans
            .append(group, record, &self.encoded, self.insertions);
        let links = span.links.iter().filter_map(|link| {
            let linked = SpanId::from_bytes(&link.span_id).map_or(0, SpanId::number);
            Some((TraceId::from_bytes(&link.trace_id)?, linked))
        });
        self.spans.index(links);
        inserted.stored += 1;
    }

    fn insert_log(&mut self, group: &mut Group<'_>, log: &LogRecord) {
        let time = log_time(log);
        let severity = u8::try_from(log.severity_number).unwrap_or_default();
        let severity = if severity > FATAL4 { 0 } else { severity };
        let record = Record {
            trace: TraceId::from_bytes(&log.trace_id),
            span: SpanId::from_bytes(&log.span_id),
            time,
            end: time,
            name: &log.event_name,
            error: severity >= ERROR,
            root: false,
            attributes: &log.attributes,
            columns: LogColumns { severity },
        };
        self.encode(log);
        self.logs
            .append(group, record, &self.encoded, self.insertions);
    }

    fn encode(&mut self, record: &impl Message) {
        // A large record must not leave its buffer behind.
        if self.encoded.capacity() > ENCODED {
            self.encoded = Vec::new();
        }
        self.encoded.clear();
        record
            .encode(&mut self.encoded)
            .expect("a vector has room for any message");
    }
}

/// Time of a log record: when it happened, or else when it was observed, in nanoseconds since 1970.
pub(super) fn log_time(log: &LogRecord) -> u64 {
    match log.time_unix_nano {
        0 => log.observed_time_unix_nano,
        time => time,
    }
}

/// The `service.name` of a resource, or nothing.
pub(super) fn service_name(resource: Option<&Resource>) -> &str {
    let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
    let value = attributes
        .iter()
        .find(|attribute| attribute.key == "service.name")
        .and_then(|attribute| attribute.value.as_ref()?.value.as_ref());
    match value {
        Some(Value::StringValue(name)) => name,
        _ => "",
    }
}

/// A resource with its schema. The message for log records has the same encoding.
fn encode_resource(resource: Option<&Resource>, schema_url: &str) -> Vec<u8> {
    let message = ResourceSpans {
        resource: resource.cloned(),
        scope_spans: Vec::new(),
        schema_url: schema_url.to_owned(),
    };
    message.encode_to_vec()
}

/// A scope with its schema. The message for log records has the same encoding.
fn encode_scope(scope: Option<&InstrumentationScope>, schema_url: &str) -> Vec<u8> {
    let message = ScopeSpans {
        scope: scope.cloned(),
        spans: Vec::new(),
        schema_url: schema_url.to_owned(),
    };
    message.encode_to_vec()
}
