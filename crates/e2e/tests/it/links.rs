//! Tests of every link of `datasources.yaml` between signals. They follow each link as Grafana 13 does, from exemplars,
//! log lines and spans of each kind, in a system under load.

mod settings;
mod streaming;
mod template;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{Stack, collector::text, system::eventually};
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::{
    common::v1::any_value::Value as Any,
    trace::v1::{Span, span::SpanKind},
};
use reqwest::Client;
use serde_json::{Map, Value, json};
use tonic::{Streaming, transport::Endpoint};

use self::{
    settings::{
        NodeGraph, OfExemplar, OfLine, ServiceMap, Streaming as Streams, Tag, ToLogs, ToMetrics,
        TraceQuery, read, setting, shift,
    },
    streaming::{QueryRangeRequest, QueryRangeResponse, SearchRequest, SearchResponse, ask},
    template::fill,
};
use crate::{
    busy::{BACKENDS, Busy},
    shared::Shared,
    tree::{hex, tree},
    trial,
};

/// The settings that are links. For each one there is a test that follows it.
const LINKS: &[(&str, &str)] = &[
    ("prometheus", "exemplarTraceIdDestinations"),
    ("loki", "derivedFields"),
    ("tempo", "nodeGraph"),
    ("tempo", "serviceMap"),
    ("tempo", "streamingEnabled"),
    ("tempo", "traceQuery"),
    ("tempo", "tracesToLogsV2"),
    ("tempo", "tracesToMetrics"),
];

/// A label for trace ids that no program here uses. Programs of Grafana Labs use it when they are traced themselves. A
/// test sends telemetry as such a program does.
const FOREIGN_LABEL: &str = "traceID";

/// The interval of exports and scrapes, which is Grafana's smallest step.
const STEP: Duration = Duration::from_secs(5);

/// Deadline of each wait. A rate needs two exports of a series.
const WITHIN: Duration = Duration::from_secs(90);

/// Number of traces that are followed, enough to include all kinds.
const MANY: usize = 40;

pub(crate) fn trials(busy: &Arc<Shared<Busy>>) -> Vec<Trial> {
    let follow = |name: &str, test: fn(&Busy) -> Following<'_>| {
        busy.trial(name, Stack::missing(BACKENDS), async move |busy| {
            test(busy).await
        })
    };
    vec![
        trial(
            "provisioning::each_link_is_followed_by_a_test",
            async || known(),
        ),
        follow("links::an_exemplar_leads_to_its_trace", |busy| {
            Box::pin(from_exemplars(busy))
        }),
        follow("links::a_log_line_leads_to_its_trace", |busy| {
            Box::pin(from_lines(busy))
        }),
        follow(
            "links::a_span_leads_to_the_log_lines_of_its_trace_and_to_its_own",
            |busy| Box::pin(to_lines(busy)),
        ),
        follow(
            "links::a_span_of_any_kind_leads_to_metrics_of_its_kind",
            |busy| Box::pin(to_metrics(busy)),
        ),
        follow("links::the_service_map_has_metrics_of_each_edge", |busy| {
            Box::pin(service_map(busy))
        }),
        follow("links::the_node_graph_of_a_trace_is_whole", |busy| {
            Box::pin(node_graph(busy))
        }),
        follow("links::a_trace_is_found_around_its_time", |busy| {
            Box::pin(around_its_time(busy))
        }),
        follow("links::searches_and_metrics_are_streamed", |busy| {
            Box::pin(streams(busy))
        }),
    ]
}

type Following<'a> = std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>;

/// A span with its trace and service.
#[derive(Clone, Debug)]
struct Found {
    trace: String,
    service: String,
    span: Span,
}

impl Found {
    fn kind(&self) -> Kind {
        let kind = self.span.kind().as_str_name().to_owned();
        (self.service.clone(), kind, self.span.name.clone())
    }

    /// The time range of the span in milliseconds, extended by these shifts, as Grafana computes it.
    fn time(&self, start: &str, end: &str) -> anyhow::Result<Range<u64>> {
        let of = |nanoseconds: u64, by: &str| -> anyhow::Result<u64> {
            let time = (nanoseconds / 1_000_000).checked_add_signed(shift(by)?);
            time.context("no such time")
        };
        let start = of(self.span.start_time_unix_nano, start)?;
        let end = of(self.span.end_time_unix_nano, end)?;
        Ok(start..end.max(start + 1))
    }

    fn tags(&self) -> Map<String, Value> {
        let mut tags = Map::new();
        tags.insert("service.name".to_owned(), json!(self.service));
        for attribute in &self.span.attributes {
            let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
            let value = match value {
                Some(Any::StringValue(text)) => json!(text),
                Some(Any::IntValue(number)) => json!(number),
                other => json!(format!("{other:?}")),
            };
            tags.insert(attribute.key.clone(), value);
        }
        tags
    }

    /// The variables that Grafana offers for the span. Of its resource, only the name of the service is used.
    fn variables(&self, tags: &[Tag]) -> Value {
        let own = self.tags();
        let labels = tags.iter().filter_map(|tag| {
            let value = own.get(&tag.key)?.as_str()?;
            Some(format!("{}=\"{value}\"", tag.value))
        });
        let labels: Vec<_> = labels.collect();
        json!({
            "__trace": { "traceId": self.trace },
            "__span": {
                "traceId": self.trace,
                "spanId": hex(&self.span.span_id),
                "name": self.span.name,
                "tags": own,
            },
            "__tags": labels.join(", "),
        })
    }
}

/// Service, kind and name of a span. A metric counts spans with the same ones together.
type Kind = (String, String, String);

/// A span of each kind that occurs repeatedly. Spans that occur once, such as those of a start, have neither a rate
/// nor quantiles.
async fn kinds(busy: &Busy) -> anyhow::Result<BTreeMap<Kind, Found>> {
    // The metrics of spans include all kinds. A search returns only the newest traces.
    let counter = "traces_spanmetrics_calls_total";
    let named = async |counted: &str| -> anyhow::Result<BTreeSet<(String, String)>> {
        let query = format!("sum by (service, span_name) ({counted}) > 0");
        let series = busy.stack.prometheus.query(&query).await?;
        let labels = series.iter().map(|series| &series["metric"]);
        let names = labels.map(|labels| (said(&labels["service"]), said(&labels["span_name"])));
        Ok(names.collect())
    };
    let often = named(&format!("rate({counter}[10m])")).await?;
    let mut found = BTreeMap::new();
    let mut met = BTreeSet::new();
    for (service, name) in &often {
        let query = format!("{{ resource.service.name = \"{service}\" && name = \"{name}\" }}");
        let traces = busy.stack.tempo.search(&query).await?;
        let id = traces.first().map(|trace| said(&trace["traceID"]));
        let id = id.with_context(|| format!("counted, but not to be found: {query}"))?;
        for span in trace(busy, &id).await? {
            let name = (span.service.clone(), span.span.name.clone());
            if often.contains(&name) {
                found.entry(span.kind()).or_insert(span);
            }
            met.insert(name);
        }
    }
    let counted = named(counter).await?;
    ensure!(
        met.is_subset(&counted),
        "{met:?} are not all of {counted:?}"
    );
    Ok(found)
}

async fn trace(busy: &Busy, id: &str) -> anyhow::Result<Vec<Found>> {
    let spans = busy.stack.tempo.spans(id).await?.into_iter();
    Ok(spans
        .map(|(service, span)| Found {
            trace: hex(&span.trace_id),
            service,
            span,
        })
        .collect())
}

/// The newest traces.
async fn traces(busy: &Busy) -> anyhow::Result<Vec<String>> {
    eventually(WITHIN, async || {
        let found = busy.stack.tempo.search("{ kind = server }").await?;
        ensure!(found.len() >= MANY, "{} traces", found.len());
        let ids = found.iter().take(MANY);
        let ids = ids.map(|trace| said(&trace["traceID"])).collect();
        Ok(ids)
    })
    .await
}

fn said(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn known() -> anyhow::Result<()> {
    let stores = read()?;
    let uids: BTreeSet<&str> = stores.iter().map(|store| store.uid.as_str()).collect();
    let mut links = BTreeSet::new();
    for store in &stores {
        for (name, setting) in &store.json_data {
            let link = (store.uid.as_str(), name.as_str());
            let text = setting.to_string();
            for (_, rest) in text
                .match_indices("datasourceUid")
                .map(|at| text.split_at(at.0))
            {
                let uid = rest.split('"').nth(2).unwrap_or_default();
                ensure!(uids.contains(uid), "{link:?} leads to {uid}");
            }
            if LINKS.contains(&link) {
                links.insert(link);
            } else {
                let is_link = text.contains("datasourceUid") || text.contains('$');
                ensure!(!is_link, "no test follows {link:?}");
            }
        }
    }
    let expected: BTreeSet<_> = LINKS.iter().copied().collect();
    ensure!(links == expected, "{links:?} is not {expected:?}");
    Ok(())
}

async fn from_exemplars(busy: &Busy) -> anyhow::Result<()> {
    let destinations: Vec<OfExemplar> = setting("prometheus", "exemplarTraceIdDestinations")?;
    let real = traces(busy).await?.swap_remove(0);
    foreign(busy, &real).await?;
    for destination in destinations {
        let OfExemplar {
            name,
            datasource_uid,
            url_display_label,
        } = destination;
        ensure!(datasource_uid == "tempo" && !url_display_label.is_empty());
        // The newest exemplar of each metric is enough, since older ones have the same kind of links.
        let newest = eventually(WITHIN, async || {
            let mut newest = BTreeMap::new();
            let all = busy.stack.prometheus.query_exemplars(r#"{__name__=~".+"}"#);
            for series in all.await? {
                let metric = said(&series["seriesLabels"]["__name__"]);
                let exemplars = series["exemplars"].as_array().context("no list")?;
                let ids = exemplars.iter().map(|exemplar| &exemplar["labels"][&name]);
                if let Some(id) = ids.filter_map(Value::as_str).next_back() {
                    newest.insert(metric, id.to_owned());
                }
            }
            let expected: &[&str] = match name.as_str() {
                FOREIGN_LABEL => &["foreign_calls_total"],
                // Metrics of services, and metrics that Tempo generates from spans.
                _ => &[
                    "http_server_request_duration_seconds",
                    "rpc_server_call_duration_seconds",
                    "traces_spanmetrics_latency_bucket",
                ],
            };
            for metric in expected {
                ensure!(
                    newest.contains_key(*metric),
                    "{name}: none of {metric}: {newest:?}"
                );
            }
            Ok(newest)
        })
        .await?;
        for (metric, id) in newest {
            eventually(WITHIN, async || busy.stack.tempo.trace(&id).await)
                .await
                .with_context(|| format!("{metric}: {name}={id}"))?;
        }
    }
    Ok(())
}

/// Sends telemetry as a program does that uses [`FOREIGN_LABEL`].
async fn foreign(busy: &Busy, trace: &str) -> anyhow::Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let time = now.as_nanos().to_string();
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let metrics = json!({ "resourceMetrics": [{
        "resource": { "attributes": [text("service.name", "foreign")] },
        "scopeMetrics": [{ "metrics": [{
            "name": "foreign.calls",
            "sum": {
                "aggregationTemporality": 2,
                "isMonotonic": true,
                "dataPoints": [{
                    "asInt": "1",
                    "timeUnixNano": time,
                    "exemplars": [{
                        "asInt": "1",
                        "timeUnixNano": time,
                        "filteredAttributes": [text(FOREIGN_LABEL, trace)],
                    }],
                }],
            },
        }] }],
    }] });
    let request = Client::new()
        .post(format!("{}/v1/metrics", busy.stack.otlp_http()))
        .header("content-type", "application/json")
        .body(metrics.to_string());
    request.send().await?.error_for_status()?;
    Ok(())
}

async fn from_lines(busy: &Busy) -> anyhow::Result<()> {
    let fields: Vec<OfLine> = setting("loki", "derivedFields")?;
    let lines = lines(busy).await?;
    for field in fields {
        let OfLine {
            name,
            matcher_type,
            matcher_regex,
            datasource_uid,
            url,
            url_display_label,
        } = field;
        ensure!(datasource_uid == "tempo" && !name.is_empty() && !url_display_label.is_empty());
        // As a regular expression, the name would also match labels that contain it.
        ensure!(matcher_type == "label", "{matcher_type}");
        ensure!(!matcher_regex.contains(|sign: char| !sign.is_alphanumeric() && sign != '_'));
        let mut ids = BTreeMap::new();
        for line in &lines {
            let label = line
                .labels
                .iter()
                .find(|(name, _)| name.contains(&matcher_regex));
            let (_, value) = label.with_context(|| format!("{name}: none of {line:?}"))?;
            let id = fill(&url, &json!({ "__value": { "raw": value } }))?;
            ids.insert((line.labels.get("service_name"), &line.text), id);
        }
        ensure!(ids.len() >= 4, "{ids:?}");
        for (line, id) in ids {
            eventually(WITHIN, async || busy.stack.tempo.trace(&id).await)
                .await
                .with_context(|| format!("{line:?}: {id}"))?;
        }
    }
    Ok(())
}

/// The log lines that belong to a trace.
async fn lines(busy: &Busy) -> anyhow::Result<Vec<e2e::stack::LogLine>> {
    eventually(WITHIN, async || {
        let query = r#"{service_name=~".+"} | trace_id != """#;
        let lines = busy.stack.loki.query(query).await?;
        ensure!(lines.len() >= MANY, "{} lines", lines.len());
        Ok(lines)
    })
    .await
}

async fn to_lines(busy: &Busy) -> anyhow::Result<()> {
    let link: ToLogs = setting("tempo", "tracesToLogsV2")?;
    ensure!(link.datasource_uid == "loki");
    ensure!(
        link.custom_query,
        "the custom query is not used: {}",
        link.query
    );
    // Traces in the middle of the load are complete.
    let ids: BTreeSet<String> = lines(busy)
        .await?
        .iter()
        .filter_map(|line| line.labels.get("trace_id").cloned())
        .collect();
    let mut kinds_with_lines = BTreeSet::new();
    let mut services = BTreeSet::new();
    for id in ids.iter().take(MANY) {
        let spans = eventually(WITHIN, async || trace(busy, id).await).await?;
        let query = format!(r#"{{service_name=~".+"}} | trace_id = "{id}""#);
        let of_trace = texts(&busy.stack.loki.query(&query).await?);
        ensure!(!of_trace.is_empty(), "{id}");
        for found in spans {
            let time = found.time(&link.span_start_time_shift, &link.span_end_time_shift)?;
            let query = fill(&link.query, &found.variables(&[]))?;
            let seen = busy.stack.loki.query_range(&query, &time).await?;
            let seen = texts(&seen);
            ensure!(seen == of_trace, "{query}: {seen:?} is not {of_trace:?}");

            // The filter that a click on that label of a line adds.
            let query = format!(r#"{query} | this_span = "true""#);
            let own = busy.stack.loki.query_range(&query, &time).await?;
            let span = hex(&found.span.span_id);
            let expected: BTreeSet<_> = of_trace.iter().filter(|line| line.1 == span).collect();
            let own = texts(&own);
            ensure!(own.iter().eq(expected), "{query}: {own:?}, of {of_trace:?}");
            if !own.is_empty() {
                kinds_with_lines.insert(found.span.kind());
                services.insert(found.service);
            }
        }
    }
    ensure!(
        kinds_with_lines.contains(&SpanKind::Server),
        "{kinds_with_lines:?}"
    );
    ensure!(services.len() >= 2, "{services:?}");
    Ok(())
}

/// Service, span id and text of each line.
fn texts(lines: &[e2e::stack::LogLine]) -> BTreeSet<(String, String, String)> {
    let label =
        |line: &e2e::stack::LogLine, name: &str| line.labels.get(name).cloned().unwrap_or_default();
    let lines = lines.iter();
    lines
        .map(|line| {
            (
                label(line, "service_name"),
                label(line, "span_id"),
                line.text.clone(),
            )
        })
        .collect()
}

async fn to_metrics(busy: &Busy) -> anyhow::Result<()> {
    let link: ToMetrics = setting("tempo", "tracesToMetrics")?;
    ensure!(link.datasource_uid == "prometheus" && link.queries.len() >= 4);
    let expected = ["CLIENT", "CONSUMER", "INTERNAL", "PRODUCER", "SERVER"];
    let expected = expected.map(|kind| format!("SPAN_KIND_{kind}"));
    let kinds = eventually(WITHIN, async || {
        let kinds = kinds(busy).await?;
        let met: BTreeSet<&str> = kinds.keys().map(|(_, kind, _)| kind.as_str()).collect();
        ensure!(met.iter().eq(&expected), "{met:?}");
        Ok(kinds)
    })
    .await?;
    let mut without = Vec::new();
    eventually(WITHIN, async || {
        without.clear();
        for (kind, found) in &kinds {
            for query in &link.queries {
                let time = found.time(&link.span_start_time_shift, &link.span_end_time_shift)?;
                let promql = fill(&query.query, &found.variables(&link.tags))?;
                let series = busy
                    .stack
                    .prometheus
                    .query_range(&promql, &time, STEP)
                    .await;
                let series = series.with_context(|| promql.clone())?;
                let points = series
                    .iter()
                    .filter_map(|series| series["values"].as_array());
                if !points.flatten().any(|point| point[1] != "NaN") {
                    without.push(format!("{}: {kind:?}: {promql}", query.name));
                }
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        ensure!(
            without.is_empty(),
            "these lead nowhere:\n{}",
            without.join("\n")
        );
        Ok(())
    })
    .await
}

async fn service_map(busy: &Busy) -> anyhow::Result<()> {
    let link: ServiceMap = setting("tempo", "serviceMap")?;
    ensure!(link.datasource_uid == "prometheus");
    let edges = async |metric: &str| -> anyhow::Result<BTreeSet<(String, String)>> {
        let query = format!("sum by (client, server) (rate({metric}[15m]))");
        let series = busy.stack.prometheus.query(&query).await?;
        let labels = series.iter().map(|series| &series["metric"]);
        Ok(labels
            .map(|labels| (said(&labels["client"]), said(&labels["server"])))
            .collect())
    };
    eventually(WITHIN, async || {
        let all = edges("traces_service_graph_request_total").await?;
        ensure!(all.len() >= 7, "{all:?}");
        for part in ["sum", "bucket", "count"] {
            let metric = format!("traces_service_graph_request_server_seconds_{part}");
            let timed = edges(&metric).await?;
            ensure!(timed == all, "{metric}: {timed:?} is not {all:?}");
        }
        let native = edges("traces_service_graph_request_server_seconds").await?;
        ensure!(native == all, "{native:?} is not {all:?}");
        let failed = edges("traces_service_graph_request_failed_total").await?;
        ensure!(!failed.is_empty() && failed.is_subset(&all), "{failed:?}");
        // The queries of the table beside the graph.
        for query in [
            "topk(5, sum(rate(traces_spanmetrics_calls_total{}[15m])) by (span_name))",
            "topk(5, sum(rate(traces_spanmetrics_calls_total{status_code=\"STATUS_CODE_ERROR\"}[15m])) by (span_name))",
            "histogram_quantile(.9, sum(rate(traces_spanmetrics_latency_bucket{}[15m])) by (le))",
            "histogram_quantile(.9, sum(rate(traces_spanmetrics_latency{}[15m])))",
        ] {
            let series = busy.stack.prometheus.query(query).await?;
            let has_data = series.iter().any(|series| series["value"][1] != "NaN");
            ensure!(has_data, "{query}: {series:?}");
        }
        Ok(())
    })
    .await
}

async fn node_graph(busy: &Busy) -> anyhow::Result<()> {
    let NodeGraph { enabled } = setting("tempo", "nodeGraph")?;
    ensure!(enabled);
    for id in traces(busy).await? {
        // Spans of consumers arrive later than the others.
        eventually(WITHIN, async || {
            let spans = busy.stack.tempo.spans(&id).await?;
            let nodes: BTreeSet<&[u8]> = spans.iter().map(|(_, span)| &*span.span_id).collect();
            let edges = spans.iter().map(|(_, span)| &*span.parent_span_id);
            let (roots, edges): (Vec<_>, Vec<_>) = edges.partition(|parent| parent.is_empty());
            let is_whole = roots.len() == 1 && edges.iter().all(|parent| nodes.contains(*parent));
            ensure!(is_whole, "{id}:\n{}", tree(&spans));
            Ok(())
        })
        .await?;
    }
    Ok(())
}

async fn around_its_time(busy: &Busy) -> anyhow::Result<()> {
    let link: TraceQuery = setting("tempo", "traceQuery")?;
    ensure!(link.time_shift_enabled);
    for id in traces(busy).await? {
        for found in trace(busy, &id).await? {
            // Searches in the time of the span alone, extended by the shifts.
            let time = found.time(&link.span_start_time_shift, &link.span_end_time_shift)?;
            busy.stack.tempo.trace_between(&id, &time).await?;
        }
    }
    Ok(())
}

async fn streams(busy: &Busy) -> anyhow::Result<()> {
    let Streams { search, metrics } = setting("tempo", "streamingEnabled")?;
    ensure!(search && metrics);
    // Grafana streams over the same port as its other requests, which is that of HTTP.
    let url = format!("http://{}", busy.stack.address("TEMPO_PORT"));
    let channel = Endpoint::from_shared(url)?.connect().await?;
    traces(busy).await?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let start = now - Duration::from_secs(60 * 60);

    let request = SearchRequest {
        limit: 20,
        start: start.as_secs().try_into()?,
        end: now.as_secs().try_into()?,
        query: "{ kind = server }".to_owned(),
    };
    let mut answers: Streaming<SearchResponse> = ask(channel.clone(), "Search", request).await?;
    let mut found = BTreeSet::new();
    while let Some(answer) = answers.message().await? {
        found.extend(answer.traces.into_iter().map(|trace| trace.id));
    }
    ensure!(!found.is_empty(), "no trace was streamed");
    for id in found {
        busy.stack.tempo.trace(&id).await?;
    }

    let request = QueryRangeRequest {
        query: "{ kind = server } | rate() by (resource.service.name)".to_owned(),
        start: start.as_nanos().try_into()?,
        end: now.as_nanos().try_into()?,
        step: STEP.as_nanos().try_into()?,
    };
    let mut answers: Streaming<QueryRangeResponse> =
        ask(channel, "MetricsQueryRange", request).await?;
    let mut series = BTreeSet::new();
    while let Some(answer) = answers.message().await? {
        let all = answer.series.iter();
        series.extend(
            all.filter_map(|series| {
                Some(text(&series.labels, "resource.service.name")?.to_owned())
            }),
        );
    }
    ensure!(series.len() >= 3, "{series:?}");
    Ok(())
}
