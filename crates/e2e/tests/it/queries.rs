//! Queries of dashboards and rules: the metrics that a query reads, and whether it returns data.

use std::collections::BTreeSet;

use e2e::Stack;

/// Prefixes of metrics without a source in these tests: a supervisor, Redpanda, and programs in other languages.
pub(crate) const ABSENT: &[&str] = &[
    "supervisor_",
    "redpanda_",
    "dotnet_",
    "go_",
    "jvm_",
    "nodejs_",
    "v8js_",
];

/// Prefixes of metrics that appear only after a failure, or with a consumer that has a group.
pub(crate) const ONLY_IN_TROUBLE: &[&str] = &[
    "events_dead_lettered_total",
    "admission_data_points_dropped_total",
    "loki_discarded_samples_total",
    "otelcol_exporter_send_failed_",
    "otelcol_exporter_enqueue_failed_",
    "tempo_discarded_spans_total",
];

/// A query, the panel or rule that has it, and its store.
#[derive(Clone)]
pub(crate) struct Asked {
    pub(crate) who: String,
    pub(crate) store: Store,
    pub(crate) query: String,
}

#[derive(Clone, Copy)]
pub(crate) enum Store {
    Prometheus,
    Loki,
    Tempo,
}

impl Asked {
    pub(crate) async fn has_data(&self, stack: &Stack) -> anyhow::Result<bool> {
        Ok(match self.store {
            Store::Prometheus => {
                let series = stack.prometheus.query(&self.query).await?;
                // A histogram has no value, but counts as data.
                series.iter().any(|series| series["value"][1] != "NaN")
            }
            Store::Loki => !stack.loki.result(&self.query).await?.is_empty(),
            Store::Tempo => !stack.tempo.search(&self.query).await?.is_empty(),
        })
    }
}

pub(crate) fn is_any(metric: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| metric.starts_with(prefix))
}

/// The metrics that a PromQL expression reads: all names in it that are neither functions nor operators nor labels.
pub(crate) fn metrics(promql: &str) -> BTreeSet<String> {
    const WORDS: &[&str] = &[
        "and",
        "bool",
        "by",
        "group_left",
        "group_right",
        "ignoring",
        "offset",
        "on",
        "or",
        "unless",
        "without",
    ];
    // These are followed by a list of labels.
    const LISTS: &[&str] = &[
        "by",
        "group_left",
        "group_right",
        "ignoring",
        "on",
        "without",
    ];
    let is_name = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    let mut metrics = BTreeSet::new();
    let mut rest = promql;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '"' => after_string(rest),
            '{' | '[' => after_brackets(rest),
            _ if is_name(first) => {
                let end = rest.find(|character| !is_name(character));
                let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
                let next = after.trim_start();
                let is_call = next.starts_with('(');
                let is_number = first.is_ascii_digit();
                let is_aggregation = ["by ", "by(", "without ", "without("]
                    .iter()
                    .any(|list| next.starts_with(list));
                if !is_number && !is_call && !is_aggregation && !WORDS.contains(&name) {
                    metrics.insert(name.to_owned());
                }
                if is_call && LISTS.contains(&name) {
                    after_brackets(next)
                } else {
                    after
                }
            }
            _ => rest.get(first.len_utf8()..).unwrap_or_default(),
        };
    }
    metrics
}

/// The text after a string that begins here.
fn after_string(text: &str) -> &str {
    let mut is_escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            '"' if !is_escaped => return text.get(index + 1..).unwrap_or_default(),
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    ""
}

/// The text after brackets that open here. They must not be nested.
fn after_brackets(text: &str) -> &str {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match first {
            '"' => rest = after_string(rest),
            '}' | ']' | ')' => return rest.get(1..).unwrap_or_default(),
            _ => rest = rest.get(first.len_utf8()..).unwrap_or_default(),
        }
    }
    ""
}
