//! The newest errors: spans and log records, the same ones counted once.

use std::{collections::HashMap, ops::Range};

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};

use super::services::Services;
use crate::{
    query::{Condition, Filter, Level, Operator, Term},
    store::{Page, SpanId, Store, StoredLog, TraceId},
};

/// Number of errors that the overview shows.
const SHOWN: usize = 12;

/// Number of the newest log records that are read.
const LOGS: usize = 200;

/// Maximum length of a message, in characters.
const LENGTH: usize = 300;

/// Errors with the same service and name, or the same service and message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Error {
    /// Empty if the service has no name.
    pub(crate) service: String,
    /// Name of the span, or the message of the log record.
    pub(crate) text: String,
    /// The message of the newest span.
    pub(crate) message: String,
    /// Whether it is a log record.
    pub(crate) is_log: bool,
    /// How often it happened in the window. For log records, how often among the newest 200 errors.
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

/// The newest errors of a window, newest first.
pub(super) fn newest(store: &Store, services: &Services, range: &Range<u64>) -> Vec<Error> {
    let spans = services.failed.iter().map(|failed| Error {
        service: failed.service.clone(),
        text: failed.name.clone(),
        message: String::new(),
        is_log: false,
        count: failed.count,
        time: failed.time,
        place: Some(Place {
            trace: failed.trace,
            span: Some(failed.span),
        }),
    });
    let mut errors: Vec<_> = spans.chain(logs(store, range)).collect();
    errors.sort_by(|one, other| {
        let by_time = other.time.cmp(&one.time);
        by_time.then_with(|| (&one.service, &one.text).cmp(&(&other.service, &other.text)))
    });
    errors.truncate(SHOWN);
    for error in errors.iter_mut().filter(|error| !error.is_log) {
        error.message = error
            .place
            .and_then(|place| message(store, place))
            .unwrap_or_default();
    }
    errors
}

fn logs(store: &Store, range: &Range<u64>) -> Vec<Error> {
    let term = Term::is(Condition::Level(Operator::GreaterOrEqual, Level::Error));
    let filter = Filter::default().with(term);
    let Some(filter) = filter.and_then(|filter| filter.to_log_filter().ok()) else {
        return Vec::new();
    };
    let page = Page {
        limit: LOGS,
        before: None,
    };
    let mut errors: HashMap<(String, String), Error> = HashMap::new();
    for log in store.logs(&filter, &page).rows {
        if !range.contains(&log.time) {
            continue;
        }
        let service = log.source.service.clone();
        let text = text(&log);
        // The newest comes first.
        let error = errors
            .entry((service, text))
            .or_insert_with_key(|(service, text)| Error {
                service: service.clone(),
                text: text.clone(),
                message: String::new(),
                is_log: true,
                count: 0,
                time: log.time,
                place: TraceId::from_bytes(&log.record.trace_id).map(|trace| Place {
                    trace,
                    span: SpanId::from_bytes(&log.record.span_id),
                }),
            });
        error.count += 1;
    }
    errors.into_values().collect()
}

/// The message of a span with an error: that of its status, or of the exception it recorded.
fn message(store: &Store, place: Place) -> Option<String> {
    let outline = store.outline(place.trace)?;
    let number = outline
        .spans()
        .position(|span| Some(span.span) == place.span)?;
    let span = outline.read([number]).pop()?.span;
    let status = span.status.as_ref().map(|status| status.message.as_str());
    let status = status.filter(|message| !message.is_empty());
    let exception = || {
        let attributes = span.events.iter().flat_map(|event| &event.attributes);
        attributes
            .filter(|attribute| attribute.key == "exception.message")
            .find_map(|attribute| string(attribute.value.as_ref()))
    };
    status.or_else(exception).map(cut)
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
