//! Limits for the length of exported texts: one huge attribute must not fill the queue's memory, nor
//! make a batch that the collector refuses as a whole.

use std::borrow::Cow;

use opentelemetry::{
    KeyValue, StringValue, Value,
    logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _},
};
use opentelemetry_sdk::{
    logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider},
    trace::SpanData,
};

/// Truncates long texts.
#[derive(Clone, Debug)]
pub(crate) struct AttributeLimits {
    /// Maximum number of characters in a text.
    length: usize,
    /// Makes empty records to copy into, because a record's attributes cannot be changed.
    records: SdkLogger,
}

impl AttributeLimits {
    pub(crate) fn new(length: usize) -> Self {
        Self {
            length,
            records: SdkLoggerProvider::builder().build().logger(""),
        }
    }

    pub(crate) fn span(&self, span: &mut SpanData) {
        if !self.holds(&span.name) {
            span.name = Cow::Owned(cut(&span.name, self.length).to_owned());
        }
        self.attributes(&mut span.attributes);
        for event in &mut span.events.events {
            self.attributes(&mut event.attributes);
        }
        for link in &mut span.links.links {
            self.attributes(&mut link.attributes);
        }
    }

    pub(crate) fn record(&self, record: &mut SdkLogRecord) {
        let fits = record.body().is_none_or(|body| self.fits(body))
            && record.attributes_iter().all(|(_, value)| self.fits(value));
        if fits {
            return;
        }
        let mut short = self.records.create_log_record();
        if let Some(name) = record.event_name() {
            short.set_event_name(name);
        }
        if let Some(target) = record.target() {
            short.set_target(target.clone());
        }
        if let Some(time) = record.timestamp() {
            short.set_timestamp(time);
        }
        if let Some(time) = record.observed_timestamp() {
            short.set_observed_timestamp(time);
        }
        if let Some(text) = record.severity_text() {
            short.set_severity_text(text);
        }
        if let Some(number) = record.severity_number() {
            short.set_severity_number(number);
        }
        if let Some(trace) = record.trace_context() {
            short.set_trace_context(trace.trace_id, trace.span_id, trace.trace_flags);
        }
        if let Some(body) = record.body() {
            short.set_body(self.shortened(body));
        }
        for (key, value) in record.attributes_iter() {
            short.add_attribute(key.clone(), self.shortened(value));
        }
        *record = short;
    }

    pub(crate) fn attributes(&self, attributes: &mut [KeyValue]) {
        for attribute in attributes {
            match &mut attribute.value {
                Value::String(text) if !self.holds(text.as_str()) => {
                    *text = StringValue::from(cut(text.as_str(), self.length).to_owned());
                }
                Value::Array(opentelemetry::Array::String(texts)) => {
                    for text in texts {
                        if !self.holds(text.as_str()) {
                            *text = StringValue::from(cut(text.as_str(), self.length).to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn fits(&self, value: &AnyValue) -> bool {
        match value {
            AnyValue::String(text) => self.holds(text.as_str()),
            AnyValue::Bytes(bytes) => bytes.len() <= self.length,
            AnyValue::ListAny(values) => values.iter().all(|value| self.fits(value)),
            AnyValue::Map(map) => map.values().all(|value| self.fits(value)),
            _ => true,
        }
    }

    fn shortened(&self, value: &AnyValue) -> AnyValue {
        match value {
            AnyValue::String(text) => AnyValue::from(cut(text.as_str(), self.length).to_owned()),
            AnyValue::Bytes(bytes) => {
                AnyValue::Bytes(Box::new(bytes[..bytes.len().min(self.length)].to_vec()))
            }
            AnyValue::ListAny(values) => AnyValue::ListAny(Box::new(
                values.iter().map(|value| self.shortened(value)).collect(),
            )),
            AnyValue::Map(map) => AnyValue::Map(Box::new(
                map.iter()
                    .map(|(key, value)| (key.clone(), self.shortened(value)))
                    .collect(),
            )),
            other => other.clone(),
        }
    }

    fn holds(&self, text: &str) -> bool {
        cut(text, self.length).len() == text.len()
    }
}

/// The first `characters` characters of a text.
pub(crate) fn cut(text: &str, characters: usize) -> &str {
    // No text has more characters than bytes.
    if text.len() <= characters {
        return text;
    }
    let end = text.char_indices().nth(characters);
    end.map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_record_is_cut_and_keeps_the_rest() {
        let limits = AttributeLimits::new(5);
        let mut record = limits.records.create_log_record();
        record.set_event_name("name");
        record.set_severity_text("INFO");
        record.set_body("größerer Tag".into());
        record.add_attribute("long", "ab€€€€");
        record.add_attribute("fits", "€€€€€");
        record.add_attribute("short", 7);
        record.add_attribute("bytes", AnyValue::Bytes(Box::new(vec![0xff; 9])));
        limits.record(&mut record);
        assert_eq!(record.event_name(), Some("name"));
        assert_eq!(record.severity_text(), Some("INFO"));
        assert_eq!(record.body(), Some(&AnyValue::from("größe")));
        let values: Vec<_> = record.attributes_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                &AnyValue::from("ab€€€"),
                &AnyValue::from("€€€€€"),
                &AnyValue::Int(7),
                &AnyValue::Bytes(Box::new(vec![0xff; 5]))
            ]
        );
    }
}
