//! The links of `datasources.yaml`, as Grafana reads them.

use std::{fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use e2e::compose::ROOT;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

const FILE: &str = "configs/grafana/provisioning/datasources/datasources.yaml";

#[derive(Deserialize)]
struct File {
    datasources: Vec<Datasource>,
}

/// A data source. An unknown field is an error, because it may be a new kind of link.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the fields are known, but not all are used")]
pub(super) struct Datasource {
    pub(super) uid: String,
    pub(super) r#type: String,
    #[serde(default)]
    pub(super) json_data: Map<String, Value>,
    name: String,
    access: Option<String>,
    url: Option<String>,
    is_default: Option<bool>,
}

/// The link from a label of an exemplar.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OfExemplar {
    pub(super) name: String,
    pub(super) datasource_uid: String,
    pub(super) url_display_label: String,
}

/// The link from a label of a log line.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OfLine {
    pub(super) name: String,
    pub(super) matcher_type: String,
    pub(super) matcher_regex: String,
    pub(super) datasource_uid: String,
    pub(super) url: String,
    pub(super) url_display_label: String,
}

/// The link from a span to log lines.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ToLogs {
    pub(super) datasource_uid: String,
    pub(super) span_start_time_shift: String,
    pub(super) span_end_time_shift: String,
    pub(super) custom_query: bool,
    pub(super) query: String,
}

/// The link from a span to metrics.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ToMetrics {
    pub(super) datasource_uid: String,
    pub(super) span_start_time_shift: String,
    pub(super) span_end_time_shift: String,
    pub(super) tags: Vec<Tag>,
    pub(super) queries: Vec<Query>,
}

/// An attribute, and the label with the same value.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    pub(super) name: String,
    pub(super) query: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ServiceMap {
    pub(super) datasource_uid: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NodeGraph {
    pub(super) enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Streaming {
    pub(super) search: bool,
    pub(super) metrics: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TraceQuery {
    pub(super) time_shift_enabled: bool,
    pub(super) span_start_time_shift: String,
    pub(super) span_end_time_shift: String,
}

/// All data sources.
pub(super) fn read() -> anyhow::Result<Vec<Datasource>> {
    let text = fs::read_to_string(Path::new(ROOT).join(FILE))?;
    let mut file: Value = serde_saphyr::from_str(&text)?;
    expand(&mut file)?;
    let file: File = serde_json::from_value(file)?;
    Ok(file.datasources)
}

/// A setting of a data source.
pub(super) fn setting<T: DeserializeOwned>(uid: &str, name: &str) -> anyhow::Result<T> {
    let stores = read()?;
    let store = stores.iter().find(|store| store.uid == uid);
    let store = store.with_context(|| format!("no {uid}"))?;
    let setting = store.json_data.get(name);
    let setting = setting.with_context(|| format!("{uid} has no {name}"))?;
    serde_json::from_value(setting.clone()).with_context(|| format!("{uid}: {name}"))
}

/// Parses a shift such as `-1h` or `5m` to milliseconds.
pub(super) fn shift(text: &str) -> anyhow::Result<i64> {
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .with_context(|| format!("no shift: {text}"))?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => bail!("no unit: {text}"),
    };
    Ok(number.parse::<i64>()? * seconds * 1000)
}

/// Replaces `$$` by `$`. A single `$` would be an environment variable for Grafana, which is an error here.
fn expand(value: &mut Value) -> anyhow::Result<()> {
    match value {
        Value::String(text) => {
            let plain = text.replace("$$", "");
            ensure!(
                !plain.contains('$'),
                "a variable of the environment: {text}"
            );
            *text = text.replace("$$", "$");
        }
        Value::Array(values) => values.iter_mut().try_for_each(expand)?,
        Value::Object(fields) => fields.values_mut().try_for_each(expand)?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}
