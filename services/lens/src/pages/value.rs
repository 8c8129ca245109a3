//! Values of attributes.

use std::fmt::Write as _;

use maud::{Markup, html};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

use super::text;
use crate::{
    params::Params,
    query::{Condition, Filter, Operator, Term},
};

/// Maximum number of attributes in a list.
const MOST: usize = 200;

/// Maximum depth of a value. OTLP allows about 100 levels.
const DEPTH: usize = 16;

/// Maximum size of a value as text, in bytes. It is above what [`text::long`] shows.
const SIZE: usize = 64 * 1024;

/// Attributes as a list of keys and values. `find` is the path of a list that can be filtered by them.
pub(super) fn list(attributes: &[KeyValue], find: Option<&str>) -> Markup {
    html! {
        dl.pairs {
            @for attribute in attributes.iter().take(MOST) {
                dt { (text::short(&attribute.key, 200)) }
                dd {
                    (value(attribute.value.as_ref()))
                    @if let Some(href) = find.and_then(|path| href(path, attribute)) {
                        " " a.find href=(href) { "find" span.hidden { " others with this " (text::line(&attribute.key)) } }
                    }
                }
            }
        }
        @if attributes.len() > MOST {
            p.hint { "And " (attributes.len() - MOST) " more. OTLP JSON has all of them." }
        }
    }
}

/// A value as text.
pub(super) fn value(value: Option<&AnyValue>) -> Markup {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(value)) if value.is_empty() => html! { em { "empty" } },
        Some(Value::StringValue(value)) => text::long(value),
        None => html! { em { "no value" } },
        Some(_) => text::long(&plain(value)),
    }
}

/// A value as plain text: a string without quotes, and anything else as JSON.
pub(super) fn plain(value: Option<&AnyValue>) -> String {
    let mut text = String::new();
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(value)) => return text::split(value, SIZE).0.to_owned(),
        Some(Value::BytesValue(value)) => return bytes(value),
        Some(value) => write(&mut text, value, 0),
        None => {}
    }
    text
}

fn write(text: &mut String, value: &Value, depth: usize) {
    if depth > DEPTH || text.len() > SIZE {
        text.push('…');
        return;
    }
    let inner = |text: &mut String, value: Option<&AnyValue>| match value
        .and_then(|value| value.value.as_ref())
    {
        Some(value) => write(text, value, depth + 1),
        None => text.push_str("null"),
    };
    // Writing to a string does not fail.
    let _ = match value {
        Value::StringValue(value) => write!(text, "{}", quoted(value)),
        Value::BoolValue(value) => write!(text, "{value}"),
        Value::IntValue(value) => write!(text, "{value}"),
        // JSON has no NaN and no infinities.
        Value::DoubleValue(value) if depth > 0 && !value.is_finite() => write!(text, "\"{value}\""),
        Value::DoubleValue(value) => write!(text, "{value}"),
        Value::BytesValue(value) => write!(text, "{}", quoted(&bytes(value))),
        Value::ArrayValue(array) => {
            text.push('[');
            for (number, value) in array.values.iter().enumerate() {
                if number > 0 {
                    text.push_str(", ");
                }
                inner(text, Some(value));
                if text.len() > SIZE {
                    break;
                }
            }
            write!(text, "]")
        }
        Value::KvlistValue(list) => {
            text.push('{');
            for (number, pair) in list.values.iter().enumerate() {
                if number > 0 {
                    text.push_str(", ");
                }
                let _ = write!(text, "{}: ", quoted(&pair.key));
                inner(text, pair.value.as_ref());
                if text.len() > SIZE {
                    break;
                }
            }
            write!(text, "}}")
        }
        // A reference into a table that only profiles have.
        Value::StringValueStrindex(index) => write!(text, "\"string {index}\""),
    };
}

/// A string of JSON.
fn quoted(value: &str) -> serde_json::Value {
    text::split(value, SIZE).0.into()
}

/// Bytes in hexadecimal.
fn bytes(bytes: &[u8]) -> String {
    let mut text = format!("{} bytes: ", bytes.len());
    for byte in bytes.iter().take(256) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > 256 {
        text.push('…');
    }
    text
}

/// A list of the records that have the attribute. `None` if the filter cannot say that.
fn href(path: &str, attribute: &KeyValue) -> Option<String> {
    let value = attribute.value.as_ref()?;
    let value = match value.value.as_ref()? {
        Value::StringValue(value) if value.is_empty() || value.len() > 200 => return None,
        Value::StringValue(value) => value.clone(),
        Value::BoolValue(_) | Value::IntValue(_) => plain(Some(value)),
        _ => return None,
    };
    let condition = Condition::Attribute(attribute.key.clone(), Operator::Equal, value);
    search(path, condition)
}

/// A list that is filtered by a condition. `None` if the filter cannot say that.
pub(super) fn search(path: &str, condition: Condition) -> Option<String> {
    let filter = Filter::default().with(Term::is(condition))?;
    Some(Params::default().with("q", filter).href(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn values_are_text() {
        use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
        let array = any(Value::ArrayValue(ArrayValue {
            values: vec![
                any(Value::StringValue("a\"b".to_owned())),
                any(Value::IntValue(-1)),
                AnyValue { value: None },
            ],
        }));
        let list = any(Value::KvlistValue(KeyValueList {
            values: vec![KeyValue {
                key: "k".to_owned(),
                value: Some(array),
                ..KeyValue::default()
            }],
        }));
        assert_eq!(plain(Some(&list)), r#"{"k": ["a\"b", -1, null]}"#);
        let bytes = any(Value::BytesValue(vec![0, 255]));
        assert_eq!(plain(Some(&bytes)), "2 bytes: 00ff");
        let mut deep = any(Value::BoolValue(true));
        for _ in 0..100 {
            deep = any(Value::ArrayValue(ArrayValue { values: vec![deep] }));
        }
        assert!(plain(Some(&deep)).contains('…'));
    }

    #[test]
    fn a_structured_value_is_json() {
        use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};
        let text = "it's \u{1b}[31m\u{202e}\n\t\\ \u{7f}é";
        let values = vec![
            any(Value::StringValue(text.to_owned())),
            any(Value::DoubleValue(f64::NAN)),
            any(Value::DoubleValue(f64::NEG_INFINITY)),
            any(Value::DoubleValue(1e300)),
            any(Value::DoubleValue(-0.5)),
            any(Value::BytesValue(vec![0, 255])),
            any(Value::KvlistValue(KeyValueList::default())),
            any(Value::ArrayValue(ArrayValue::default())),
            any(Value::StringValueStrindex(7)),
        ];
        let value = any(Value::KvlistValue(KeyValueList {
            values: vec![KeyValue {
                key: "a \"key\"".to_owned(),
                value: Some(any(Value::ArrayValue(ArrayValue { values }))),
                ..KeyValue::default()
            }],
        }));
        let read: serde_json::Value = serde_json::from_str(&plain(Some(&value))).unwrap();
        let expected = serde_json::json!({"a \"key\"": [
            text, "NaN", "-inf", 1e300, -0.5, "2 bytes: 00ff", {}, [], "string 7"
        ]});
        assert_eq!(read, expected);
    }

    #[test]
    fn a_value_leads_to_its_like() {
        let attribute = KeyValue {
            key: "http.route".to_owned(),
            value: Some(any(Value::StringValue("/a b\"".to_owned()))),
            ..KeyValue::default()
        };
        let href = href("/traces", &attribute).unwrap();
        let query = Params::new(href.split_once('?').unwrap().1);
        let filter: Filter = query.get("q").unwrap().parse().unwrap();
        assert_eq!(filter.terms().len(), 1);
    }
}
