//! Checks of decoded requests: what no store can keep is removed, and what is doubtful is reported.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    metrics::v1::{AggregationTemporality, Metric, metric::Data},
    trace::v1::Span,
};

use crate::sink::Accepted;

/// Lengths of ids in bytes.
const TRACE_ID: usize = 16;
const SPAN_ID: usize = 8;

/// Longest name that a message quotes, in characters.
const NAME: usize = 80;

/// Whether an id has this length and is not all zeros, as W3C Trace Context requires.
fn is_id(bytes: &[u8], length: usize) -> bool {
    bytes.len() == length && bytes.iter().any(|byte| *byte != 0)
}

/// Rejects spans without a valid trace id and span id. Clears invalid ids of parents.
pub(crate) fn traces(request: &mut ExportTraceServiceRequest) -> Accepted {
    let mut spans = Notes::default();
    let mut parents = Notes::default();
    let all = request
        .resource_spans
        .iter_mut()
        .flat_map(|group| &mut group.scope_spans);
    for scope in all {
        scope.spans.retain(|span| {
            let problem = identity(span);
            if let Some(problem) = &problem {
                spans.add(|| format!("{problem} (the span \"{}\")", short(&span.name)));
            }
            problem.is_none()
        });
        for span in &mut scope.spans {
            let parent = &mut span.parent_span_id;
            if !parent.is_empty() && !is_id(parent, SPAN_ID) {
                // Some SDKs send zeros for a root. That is no mistake worth a message.
                if parent.len() != SPAN_ID {
                    parents.add(|| format!("the span \"{}\"", short(&span.name)));
                }
                parent.clear();
            }
        }
    }
    let rejected = spans.count;
    let message = [
        spans.message(|count, first| format!("{count} rejected: {first}"), "span"),
        parents.message(
            |count, first| {
                format!(
                    "the id of the parent is not 8 bytes long and was ignored in {count}: {first}"
                )
            },
            "span",
        ),
    ];
    Accepted {
        rejected,
        message: join(message),
        ..Accepted::default()
    }
}

/// The problem of a span's own ids.
fn identity(span: &Span) -> Option<String> {
    for (name, id, length) in [
        ("trace id", &span.trace_id, TRACE_ID),
        ("span id", &span.span_id, SPAN_ID),
    ] {
        if id.len() != length {
            return Some(format!(
                "the {name} has a length of {} instead of {length} bytes",
                id.len()
            ));
        }
        if !is_id(id, length) {
            return Some(format!("the {name} is all zeros"));
        }
    }
    None
}

/// Clears invalid ids of log records.
pub(crate) fn logs(request: &mut ExportLogsServiceRequest) -> Accepted {
    let mut ids = Notes::default();
    let records = request
        .resource_logs
        .iter_mut()
        .flat_map(|group| &mut group.scope_logs)
        .flat_map(|scope| &mut scope.log_records);
    for record in records {
        for (name, id, length) in [
            ("trace id", &mut record.trace_id, TRACE_ID),
            ("span id", &mut record.span_id, SPAN_ID),
        ] {
            if !id.is_empty() && !is_id(id, length) {
                if id.len() != length {
                    ids.add(|| {
                        format!(
                            "a {name} with a length of {} instead of {length} bytes",
                            id.len()
                        )
                    });
                }
                id.clear();
            }
        }
    }
    Accepted {
        message: join([ids.message(
            |count, first| format!("invalid ids were ignored in {count}: {first}"),
            "log record",
        )]),
        ..Accepted::default()
    }
}

/// Warns about metrics whose points cannot be understood in full.
pub(crate) fn metrics(request: &mut ExportMetricsServiceRequest) -> Accepted {
    let mut temporality = Notes::default();
    let mut empty = Notes::default();
    let metrics = request
        .resource_metrics
        .iter()
        .flat_map(|group| &group.scope_metrics)
        .flat_map(|scope| &scope.metrics);
    for metric in metrics {
        if metric.data.is_none() {
            empty.add(|| format!("\"{}\"", short(&metric.name)));
        } else if has_unspecified_temporality(metric) {
            temporality.add(|| format!("\"{}\"", short(&metric.name)));
        }
    }
    Accepted {
        message: join([
            temporality.message(
                |count, first| {
                    format!("the aggregation temporality is unspecified in {count}: {first}")
                },
                "metric",
            ),
            empty.message(
                |count, first| format!("{count} without data: {first}"),
                "metric",
            ),
        ]),
        ..Accepted::default()
    }
}

fn has_unspecified_temporality(metric: &Metric) -> bool {
    let temporality = match &metric.data {
        Some(Data::Sum(sum)) => sum.aggregation_temporality,
        Some(Data::Histogram(histogram)) => histogram.aggregation_temporality,
        Some(Data::ExponentialHistogram(histogram)) => histogram.aggregation_temporality,
        Some(Data::Gauge(_) | Data::Summary(_)) | None => return false,
    };
    !matches!(
        AggregationTemporality::try_from(temporality),
        Ok(AggregationTemporality::Delta | AggregationTemporality::Cumulative)
    )
}

/// The number of problems of one kind, and the first of them.
#[derive(Default)]
struct Notes {
    count: u64,
    first: String,
}

impl Notes {
    fn add(&mut self, text: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = text();
        }
        self.count += 1;
    }

    fn message(self, text: impl FnOnce(String, String) -> String, noun: &str) -> Option<String> {
        let count = match self.count {
            0 => return None,
            1 => format!("1 {noun}"),
            more => format!("{more} {noun}s"),
        };
        let first = if self.count == 1 {
            self.first
        } else {
            format!("first {}", self.first)
        };
        Some(text(count, first))
    }
}

fn join<const N: usize>(messages: [Option<String>; N]) -> String {
    messages
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ")
}

fn short(name: &str) -> String {
    name.chars()
        .take(NAME)
        .flat_map(char::escape_debug)
        .collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::{
        logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
        trace::v1::{ResourceSpans, ScopeSpans},
    };

    use super::*;

    #[test]
    fn an_invalid_parent_is_ignored_and_its_span_stays() {
        let span = |parent_span_id| Span {
            trace_id: vec![1; TRACE_ID],
            span_id: vec![1; SPAN_ID],
            parent_span_id,
            name: "a \"name\"".to_owned(),
            ..Span::default()
        };
        let mut request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                scope_spans: vec![ScopeSpans {
                    spans: vec![
                        span(vec![]),
                        span(vec![2; SPAN_ID]),
                        span(vec![0; SPAN_ID]),
                        span(vec![2; 7]),
                    ],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        };
        let accepted = traces(&mut request);
        let message = "the id of the parent is not 8 bytes long and was ignored in 1 span: the span \"a \\\"name\\\"\"";
        assert_eq!((accepted.rejected, accepted.message.as_str()), (0, message));
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        let parents: Vec<_> = spans.iter().map(|span| span.parent_span_id.len()).collect();
        assert_eq!(parents, [0, SPAN_ID, 0, 0]);
    }

    #[test]
    fn invalid_ids_of_log_records_are_ignored() {
        let record = |trace_id, span_id| LogRecord {
            trace_id,
            span_id,
            ..LogRecord::default()
        };
        let mut request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records: vec![
                        record(vec![1; TRACE_ID], vec![1; SPAN_ID]),
                        record(vec![0; TRACE_ID], vec![]),
                        record(vec![1; 15], vec![1; SPAN_ID]),
                    ],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        };
        let accepted = logs(&mut request);
        let message = "invalid ids were ignored in 1 log record: a trace id with a length of 15 instead of 16 bytes";
        assert_eq!((accepted.rejected, accepted.message.as_str()), (0, message));
        let records = &request.resource_logs[0].scope_logs[0].log_records;
        let ids: Vec<_> = records
            .iter()
            .map(|record| (record.trace_id.len(), record.span_id.len()))
            .collect();
        assert_eq!(ids, [(TRACE_ID, SPAN_ID), (0, 0), (0, SPAN_ID)]);
    }
}
