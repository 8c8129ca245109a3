//! The newest errors: spans and log records, those of the same kind as one.

use std::{collections::HashMap, ops::Range};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value::Value},
    trace::v1::Span,
};

use super::{services::Services, shape::shape};
use crate::{
    query::{Condition, Filter, Level, Operator, Term},
    store::{LogCursor, Page, SpanId, Spans, Store, StoredLog, TraceId},
};

/// Number of errors that the overview shows.
const SHOWN: usize = 12;

/// Number of the newest log records that are read.
const LOGS: usize = 1_000;

/// Maximum length of a message, in characters.
const LENGTH: usize = 300;

/// The newest errors.
#[derive(Debug)]
pub(crate) struct Errors {
    /// Newest first.
    pub(crate) rows: Vec<Error>,
    /// Whether there are more errors than were read and counted.
    pub(crate) is_cut: bool,
}

/// Errors of one service that differ in numbers and ids alone: in the name of the span and the message, or in the text
/// of the log record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Error {
    /// Empty if the service has no name.
    pub(crate) service: String,
    /// Name of the newest span, or the message of the newest log record.
    pub(crate) text: String,
    /// Whether all of them have this text.
    pub(crate) is_same: bool,
    /// The message of the newest span.
    pub(crate) message: String,
    /// Whether it is a log record.
    pub(crate) is_log: bool,
    /// How often it happened in the window.
    pub(crate) count: u64,
    /// Time of the newest, in nanoseconds since 1970.
    pub(crate) time: u64,
    /// Where the newest is.
    pub(crate) place: Option<Place>,
}

/// A place in a trace.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) trace: TraceId,
    pub(crate) span: Option<SpanId>,
}

/// Errors by what they have in common.
#[derive(Default)]
struct Groups(HashMap<(bool, String, String, String), Error>);

impl Groups {
    fn add(&mut self, error: Error) {
        // A name may have any length.
        let shapes = (shape(&cut(&error.text)), shape(&error.message));
        let key = (error.is_log, error.service.clone(), shapes.0, shapes.1);
        let Some(known) = self.0.get_mut(&key) else {
            self.0.insert(key, error);
            return;
        };
        let count = known.count + error.count;
        let is_same = known.is_same && known.text == error.text;
        if error.time >= known.time {
            *known = error;
        }
        (known.count, known.is_same) = (count, is_same);
    }
}

/// The newest errors of a window.
pub(super) fn newest(
    store: &Store,
    spans: &Spans,
    services: &Services,
    range: &Range<u64>,
) -> Errors {
    let mut groups = Groups::default();
    spans.decode(
        |span| services.failed.contains(&(span.trace, span.span)),
        |view, span| {
            groups.add(Error {
                service: view.service.to_owned(),
                text: view.name.to_owned(),
                is_same: true,
                message: message(&span).map(cut).unwrap_or_default(),
                is_log: false,
                count: 1,
                time: view.start,
                place: Some(Place {
                    trace: view.trace,
                    span: Some(view.span),
                }),
            });
        },
    );
    let (logs, more) = logs(store, range);
    for log in logs {
        groups.add(log);
    }
    let mut rows: Vec<_> = groups.0.into_values().collect();
    rows.sort_by(|one, other| {
        let by_time = other.time.cmp(&one.time);
        by_time.then_with(|| (&one.service, &one.text).cmp(&(&other.service, &other.text)))
    });
    rows.truncate(SHOWN);
    Errors {
        rows,
        is_cut: more || services.failures > services.failed.len() as u64,
    }
}

/// The newest log records with an error, and whether there are more.
fn logs(store: &Store, range: &Range<u64>) -> (Vec<Error>, bool) {
    let term = Term::is(Condition::Level(Operator::GreaterOrEqual, Level::Error));
    let filter = Filter::default().with(term);
    let Some(filter) = filter.and_then(|filter| filter.to_log_filter().ok()) else {
        return (Vec::new(), false);
    };
    let page = Page {
        limit: LOGS,
        before: Some(LogCursor::after(range.end)),
    };
    let list = store.logs_since(&filter, &page, range.start);
    let logs = list.rows.into_iter();
    let errors = logs.map(|log| Error {
        service: log.source.service.clone(),
        text: text(&log),
        is_same: true,
        message: String::new(),
        is_log: true,
        count: 1,
        time: log.time,
        place: TraceId::from_bytes(&log.record.trace_id).map(|trace| Place {
            trace,
            span: SpanId::from_bytes(&log.record.span_id),
        }),
    });
    (errors.collect(), list.next.is_some())
}

/// The message of a span with an error: that of its status, or of the exception it recorded.
fn message(span: &Span) -> Option<&str> {
    let status = span.status.as_ref().map(|status| status.message.as_str());
    let status = status.filter(|message| !message.is_empty());
    let exception = || {
        let attributes = span.events.iter().flat_map(|event| &event.attributes);
        attributes
            .filter(|attribute| attribute.key == "exception.message")
            .find_map(|attribute| string(attribute.value.as_ref()))
    };
    status.or_else(exception)
}

fn text(log: &StoredLog) -> String {
    let record = &log.record;
    let body = string(record.body.as_ref()).filter(|text| !text.is_empty());
    let exception = || {
        let named = |key| {
            let attributes = record.attributes.iter();
            attributes
                .filter(|attribute| attribute.key == key)
                .find_map(|attribute| string(attribute.value.as_ref()))
        };
        named("exception.message").or_else(|| named("exception.type"))
    };
    cut(body.or_else(exception).unwrap_or(&record.event_name))
}

fn string(value: Option<&AnyValue>) -> Option<&str> {
    match value?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LENGTH).collect()
}
