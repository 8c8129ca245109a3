//! Attributes as text.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

use crate::{
    metrics::Labels,
    pages::text::{is_unbroken, unbroken},
};

/// Characters of a text that are shown.
const SHOWN: usize = 120;

/// Attributes that tell two series apart, at most, beyond those of the series.
const SERVICE: &str = "service.name";

/// A value as text, as a filter compares it.
pub(super) fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => "empty".to_owned(),
        Some(Value::StringValue(value)) => value.clone(),
        Some(Value::BoolValue(value)) => value.to_string(),
        Some(Value::IntValue(value)) => value.to_string(),
        Some(Value::DoubleValue(value)) => value.to_string(),
        Some(Value::BytesValue(value)) => format!("{} bytes", value.len()),
        Some(Value::ArrayValue(array)) => {
            let values = array.values.iter().map(|value| text(Some(value)));
            format!("[{}]", values.collect::<Vec<_>>().join(", "))
        }
        Some(Value::KvlistValue(list)) => {
            let values = list.values.iter();
            let values = values.map(|one| format!("{}: {}", one.key, text(one.value.as_ref())));
            format!("{{{}}}", values.collect::<Vec<_>>().join(", "))
        }
        // An index into the strings of a profile.
        Some(_) => "unknown".to_owned(),
    }
}

/// Whether a filter can ask for exactly this value.
pub(super) fn is_plain(value: Option<&AnyValue>) -> bool {
    matches!(
        value.and_then(|value| value.value.as_ref()),
        Some(
            Value::StringValue(_)
                | Value::BoolValue(_)
                | Value::IntValue(_)
                | Value::DoubleValue(_)
        )
    )
}

/// A text as it is shown: the start of a long one, and control characters as symbols.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars
        .by_ref()
        .take(SHOWN)
        .map(|char| match char {
            '\u{0}'..='\u{1f}' => {
                char::from_u32(u32::from(char) + 0x2400).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            char if char.is_control() => char::REPLACEMENT_CHARACTER,
            char => char,
        })
        .collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A text of a client, which cannot reorder what is around it.
pub(super) fn foreign(text: &str) -> Markup {
    if is_unbroken(text) {
        return unbroken(text, shown(text));
    }
    html! { bdi { (shown(text)) } }
}

/// The name of a metric, which may break after its separators.
pub(super) fn metric_name(name: &str) -> Markup {
    let name = shown(name);
    html! {
        bdi {
            @for part in name.split_inclusive(['.', '_', '/', ':']) { (part) wbr; }
        }
    }
}

/// Attributes in one line.
pub(super) fn line(attributes: &[KeyValue]) -> Markup {
    html! {
        @for (index, attribute) in attributes.iter().enumerate() {
            @if index > 0 { ", " }
            (foreign(&attribute.key)) "=" (foreign(&text(attribute.value.as_ref())))
        }
    }
}

/// The value of an attribute of a series, or else of its resource.
pub(super) fn value(labels: &Labels, key: &str) -> Option<String> {
    if key == SERVICE {
        return Some(labels.service.clone()).filter(|service| !service.is_empty());
    }
    let attributes = labels.attributes.iter().chain(&labels.resource.attributes);
    let found = attributes.into_iter().find(|one| one.key == key)?;
    Some(text(found.value.as_ref()))
}

/// The attributes by which series differ: `service.name` and the attributes of series, if one has several values.
pub(super) fn differing(series: &[Labels]) -> Vec<String> {
    let mut values = BTreeMap::<&str, BTreeSet<Option<String>>>::new();
    let keys = series.iter().flat_map(|one| &one.attributes);
    let keys: BTreeSet<&str> = keys.map(|attribute| attribute.key.as_str()).collect();
    for key in keys.into_iter().chain([SERVICE]) {
        for one in series {
            let values = values.entry(key).or_default();
            values.insert(value(one, key).map(|text| shown(&text)));
            if values.len() > 1 {
                break;
            }
        }
    }
    let values = values.into_iter().filter(|(_, values)| values.len() > 1);
    values.map(|(key, _)| key.to_owned()).collect()
}

/// A short name for each series: the attributes that tell it from the others.
pub(super) fn names(series: &[Labels]) -> Vec<String> {
    let mut keys = differing(series);
    let of = |one: &Labels, keys: &[String]| {
        let parts = keys.iter().filter_map(|key| {
            let text = value(one, key)?;
            Some(format!("{}={}", shown(key), shown(&text)))
        });
        parts.collect::<Vec<_>>().join(" ")
    };
    let mut names: Vec<_> = series.iter().map(|one| of(one, &keys)).collect();
    let unique: BTreeSet<_> = names.iter().collect();
    if unique.len() < names.len() {
        let resources = series.iter().flat_map(|one| &one.resource.attributes);
        let resources: BTreeSet<&String> = resources.map(|attribute| &attribute.key).collect();
        let differs = |key: &&&String| {
            let values = series.iter().map(|one| value(one, key));
            values.collect::<BTreeSet<_>>().len() > 1
        };
        // Few tell enough.
        let more: Vec<String> = resources
            .iter()
            .filter(differs)
            .take(2)
            .map(|key| (*key).clone())
            .collect();
        keys.extend(more);
        names = series.iter().map(|one| of(one, &keys)).collect();
    }
    for (name, one) in names.iter_mut().zip(series) {
        if name.is_empty() {
            *name = match one.service.is_empty() {
                true => "no attributes".to_owned(),
                false => shown(&one.service),
            };
        }
    }
    names
}
