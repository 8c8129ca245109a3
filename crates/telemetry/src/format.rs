//! Log records on stdout, each with the id of its trace.
//!
//! The ids come from the active OpenTelemetry context and not from span fields, so that a
//! record and the span it belongs to cannot disagree.

mod limit;
mod text;

pub(crate) use self::{limit::Limit, text::Text};

use std::fmt;

use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt as _},
};
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use crate::export::cut;
/// One JSON object a line: `timestamp`, `level`, `target`, `message`, the fields, `trace_id`
/// and `span_id`.
#[derive(Debug)]
pub(crate) struct Json {
    /// Maximum number of characters of a text. Longer texts are truncated.
    pub(crate) limit: usize,
}

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;

        let mut record = Record {
            fields: Map::new(),
            limit: self.limit,
        };
        record
            .fields
            .insert("timestamp".to_owned(), timestamp.into());
        record
            .fields
            .insert("level".to_owned(), event.metadata().level().as_str().into());
        record
            .fields
            .insert("target".to_owned(), event.metadata().target().into());
        event.record(&mut record);
        if let Some(span) = current() {
            record
                .fields
                .insert("trace_id".to_owned(), span.trace_id().to_string().into());
            record
                .fields
                .insert("span_id".to_owned(), span.span_id().to_string().into());
        }
        let line = serde_json::to_string(&record.fields).or(Err(fmt::Error))?;
        writeln!(writer, "{line}")
    }
}

fn current() -> Option<SpanContext> {
    let context = Context::current();
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// An error and all its causes: the log record is the last place that sees them.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// The fields of an event as JSON values of their own types.
struct Record {
    fields: Map<String, Value>,
    limit: usize,
}

impl Record {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.insert(field.name().to_owned(), value.into());
    }

    fn put_text(&mut self, field: &Field, text: &str) {
        self.put(field, cut(text, self.limit));
    }
}

impl Visit for Record {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put_text(field, &chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, &format!("{value:?}"));
    }
}
