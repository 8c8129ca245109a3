//! One trace with everything that is stored of it.

use std::sync::Arc;

use opentelemetry_proto::tonic::{logs::v1::LogRecord, trace::v1::Span};

use super::{Store, source::Source};
use crate::ids::{SpanId, TraceId};

/// Maximum number of links that [`Trace::linked_from`] has.
const LINKS: usize = 1000;

/// One trace with everything that is stored of it.
///
/// Its spans are as they came: parents can be missing, and can form cycles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The spans, in the order in which they came.
    pub spans: Vec<TraceSpan>,
    /// Whether spans of this trace were evicted. The store remembers a limited number of traces that were evicted as a
    /// whole and came again.
    pub evicted_spans: bool,
    /// The log records, oldest first.
    pub logs: Vec<StoredLog>,
    /// Whether log records of this trace were evicted, as for [`Self::evicted_spans`].
    pub evicted_logs: bool,
    /// The newest links from other spans to spans of this trace, at most 1,000.
    pub linked_from: Vec<LinkedFrom>,
}

/// A stored span.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSpan {
    /// Resource and scope.
    pub source: Arc<Source>,
    /// The span as it was received.
    pub span: Span,
}

/// A stored log record.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLog {
    /// Resource and scope.
    pub source: Arc<Source>,
    /// Time at which it happened, or else was observed, in nanoseconds since 1970.
    pub time: u64,
    /// The log record as it was received.
    pub record: LogRecord,
}

/// A span that links to a span of a trace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LinkedFrom {
    /// Trace of the span with the link.
    pub trace: TraceId,
    /// The span with the link.
    pub span: SpanId,
    /// Service of the span with the link. Empty if it has no name.
    pub service: String,
    /// Name of the span with the link.
    pub name: String,
    /// Start of the span with the link, in nanoseconds since 1970.
    pub start: u64,
    /// The linked span. `None` if the link has no valid id.
    pub linked: Option<SpanId>,
}

impl Store {
    /// Whether a span or a log record of a trace is stored.
    pub fn has_trace(&self, id: TraceId) -> bool {
        self.read(|writer| {
            writer.spans.newest_part(id).is_some() || writer.logs.newest_part(id).is_some()
        })
    }

    /// Everything that is stored of a trace. `None` if that is no span and no log record.
    pub fn trace(&self, id: TraceId) -> Option<Trace> {
        let (outline, logs) = (self.outline(id), self.log_outline(id));
        if outline.is_none() && logs.is_none() {
            return None;
        }
        let mut trace = Trace {
            linked_from: self.linked_from(id),
            ..Trace::default()
        };
        if let Some(outline) = outline {
            trace.evicted_spans = outline.evicted_spans();
            trace.spans = outline.read(0..outline.len());
        }
        if let Some(logs) = logs {
            trace.evicted_logs = logs.evicted_logs();
            trace.logs = logs.read(0..logs.len());
        }
        Some(trace)
    }

    /// The newest links from other spans to spans of a trace, at most 1,000.
    pub fn linked_from(&self, id: TraceId) -> Vec<LinkedFrom> {
        let links = self.read(|writer| writer.spans.links_to(id, LINKS));
        let links = links.iter().filter_map(|(segment, slot)| {
            let link = &segment.links[*slot as usize];
            let row = &segment.rows[link.row as usize];
            Some(LinkedFrom {
                trace: segment.parts[row.part as usize].trace,
                span: SpanId::from_number(row.span)?,
                service: segment.names.text(row.origin.service).to_owned(),
                name: segment.names.text(row.name).to_owned(),
                start: row.time,
                linked: SpanId::from_number(link.span),
            })
        });
        links.collect()
    }
}
