//! Clients of the backends for tests.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::trace::v1::{Span, TracesData};
use prost::Message as _;
use reqwest::{Client, Url};
use serde_json::Value;

use crate::collector::service;

/// The time range of queries, back from now.
const WINDOW: Duration = Duration::from_secs(60 * 60);

/// Prometheus's HTTP API.
#[derive(Clone, Debug)]
pub struct Prometheus(Api);

/// Loki's HTTP API.
#[derive(Clone, Debug)]
pub struct Loki(Api);

/// Tempo's HTTP API.
#[derive(Clone, Debug)]
pub struct Tempo(Api);

/// A log line of Loki.
#[derive(Clone, Debug)]
pub struct LogLine {
    /// Index labels and structured metadata.
    pub labels: BTreeMap<String, String>,
    /// The body.
    pub text: String,
}

impl Prometheus {
    /// A client for this URL.
    #[must_use]
    pub fn new(url: String, http: Client) -> Self {
        Self(Api { url, http })
    }

    /// The series that an expression yields now.
    ///
    /// # Errors
    /// When the expression is wrong or nothing answers.
    pub async fn query(&self, promql: &str) -> anyhow::Result<Vec<Value>> {
        let answer = self.0.get("/api/v1/query", &[("query", promql)]).await?;
        list(&answer["data"]["result"])
    }

    /// The series that an expression yields between two times, in milliseconds since 1970, each with its points.
    ///
    /// # Errors
    /// When the expression is wrong or nothing answers.
    pub async fn query_range(
        &self,
        promql: &str,
        time: &Range<u64>,
        step: Duration,
    ) -> anyhow::Result<Vec<Value>> {
        let parameters = [
            ("query", promql),
            ("start", &seconds(time.start)),
            ("end", &seconds(time.end)),
            ("step", &step.as_secs().to_string()),
        ];
        let answer = self.0.get("/api/v1/query_range", &parameters).await?;
        list(&answer["data"]["result"])
    }

    /// The exemplars of the last hour, grouped by the labels of their series.
    ///
    /// # Errors
    /// When the expression is wrong or nothing answers.
    pub async fn query_exemplars(&self, promql: &str) -> anyhow::Result<Vec<Value>> {
        let (start, end) = window()?;
        let parameters = [
            ("query", promql),
            ("start", &start.to_string()),
            ("end", &end.to_string()),
        ];
        let answer = self.0.get("/api/v1/query_exemplars", &parameters).await?;
        list(&answer["data"])
    }

    /// The names of the metrics that have series.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn names(&self) -> anyhow::Result<Vec<String>> {
        self.values("__name__").await
    }

    /// The names of the labels that any series has.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn labels(&self) -> anyhow::Result<Vec<String>> {
        let answer = self.0.get("/api/v1/labels", &[]).await?;
        Ok(serde_json::from_value(answer["data"].clone())?)
    }

    /// The values that a label has in any series.
    ///
    /// # Errors
    /// When nothing answers.
    pub async fn values(&self, label: &str) -> anyhow::Result<Vec<String>> {
        let path = format!("/api/v1/label/{label}/values");
        let answer = self.0.get(&path, &[]).await?;
        Ok(serde_json::from_value(answer["data"].clone())?)
    }

    /// The type of a scraped metric: `counter`, `gauge`, `histogram` and so on. Prometheus does not know
    /// the type of metrics that were sent to it.
    ///
    /// # Errors
    /// When Prometheus does not know the type.
    pub async fn metric_type(&self, metric: &str) -> anyhow::Result<String> {
        let parameters = [("metric", metric)];
        let answer = self.0.get("/api/v1/metadata", &parameters).await?;
        answer["data"][metric][0]["type"]
            .as_str()
            .map(ToOwned::to_owned)
            .with_context(|| format!("no type of {metric}"))
    }
}

impl Loki {
    /// A client for this URL.
    #[must_use]
    pub fn new(url: String, http: Client) -> Self {
        Self(Api { url, http })
    }

    /// The result of a query over the last hour, streams of lines or series of numbers, as Loki's JSON.
    ///
    /// # Errors
    /// When the query is wrong or nothing answers.
    pub async fn result(&self, logql: &str) -> anyhow::Result<Vec<Value>> {
        let (start, end) = window()?;
        self.result_of(logql, &(start * 1000..end * 1000)).await
    }

    async fn result_of(&self, logql: &str, time: &Range<u64>) -> anyhow::Result<Vec<Value>> {
        let parameters = [
            ("query", logql),
            ("start", &seconds(time.start)),
            ("end", &seconds(time.end)),
            ("limit", "1000"),
        ];
        let answer = self.0.get("/loki/api/v1/query_range", &parameters).await?;
        list(&answer["data"]["result"])
    }

    /// The lines of the last hour that a query yields.
    ///
    /// # Errors
    /// When the query is wrong or nothing answers.
    pub async fn query(&self, logql: &str) -> anyhow::Result<Vec<LogLine>> {
        lines(self.result(logql).await?)
    }

    /// The lines between two times, in milliseconds since 1970, that a query yields.
    ///
    /// # Errors
    /// When the query is wrong or nothing answers.
    pub async fn query_range(
        &self,
        logql: &str,
        time: &Range<u64>,
    ) -> anyhow::Result<Vec<LogLine>> {
        lines(self.result_of(logql, time).await?)
    }
}

impl Tempo {
    /// A client for this URL.
    #[must_use]
    pub fn new(url: String, http: Client) -> Self {
        Self(Api { url, http })
    }

    /// A trace by its id in hexadecimal, as OTLP's JSON.
    ///
    /// # Errors
    /// When there is none, or nothing answers.
    pub async fn trace(&self, id: &str) -> anyhow::Result<Value> {
        let answer = self.0.get(&format!("/api/v2/traces/{id}"), &[]).await?;
        ensure!(answer["trace"].is_object(), "no trace in {answer}");
        Ok(answer["trace"].clone())
    }

    /// A trace by its id, searched for between two times, in milliseconds since 1970.
    ///
    /// # Errors
    /// When there is none in that time, or nothing answers.
    pub async fn trace_between(&self, id: &str, time: &Range<u64>) -> anyhow::Result<Value> {
        let parameters = [
            ("start", (time.start / 1000).to_string()),
            ("end", (time.end / 1000).to_string()),
        ];
        let parameters = parameters
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let path = format!("/api/v2/traces/{id}");
        let answer = self.0.get(&path, &parameters).await?;
        ensure!(answer["trace"].is_object(), "no trace in {answer}");
        Ok(answer["trace"].clone())
    }

    /// The spans of a trace, each with the `service.name` of its resource, in the form of
    /// [`crate::collector::Received`].
    ///
    /// # Errors
    /// When there is none, or nothing answers.
    pub async fn spans(&self, id: &str) -> anyhow::Result<Vec<(String, Span)>> {
        let path = format!("/api/traces/{id}");
        let answer = self.0.fetch(&path, &[], "application/protobuf").await?;
        let trace = TracesData::decode(answer.as_slice())?;
        let mut spans = Vec::new();
        for group in trace.resource_spans {
            let name = service(group.resource.as_ref());
            let of_group = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(of_group.map(|span| (name.clone(), span)));
        }
        Ok(spans)
    }

    /// The traces of the last hour that a query yields.
    ///
    /// # Errors
    /// When the query is wrong or nothing answers.
    pub async fn search(&self, traceql: &str) -> anyhow::Result<Vec<Value>> {
        let (start, end) = window()?;
        self.search_between(traceql, start..end).await
    }

    /// The traces of a time that a query yields, in seconds since 1970.
    ///
    /// # Errors
    /// When the query is wrong or nothing answers.
    pub async fn search_between(
        &self,
        traceql: &str,
        time: Range<u64>,
    ) -> anyhow::Result<Vec<Value>> {
        let parameters = [
            ("q", traceql),
            ("start", &time.start.to_string()),
            ("end", &time.end.to_string()),
            ("limit", "100"),
        ];
        let answer = self.0.get("/api/search", &parameters).await?;
        list(&answer["traces"])
    }
}

#[derive(Clone, Debug)]
struct Api {
    url: String,
    http: Client,
}

impl Api {
    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let body = self.fetch(path, parameters, "application/json").await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{path}: {}", String::from_utf8_lossy(&body)))
    }

    async fn fetch(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
        format: &str,
    ) -> anyhow::Result<Vec<u8>> {
        let url = Url::parse_with_params(&format!("{}{path}", self.url), parameters)?;
        let response = self.http.get(url).header("accept", format).send().await?;
        let status = response.status();
        let body = response.bytes().await?.to_vec();
        let text = String::from_utf8_lossy(&body);
        ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(body)
    }
}

fn lines(streams: Vec<Value>) -> anyhow::Result<Vec<LogLine>> {
    let mut lines = Vec::new();
    for stream in streams {
        let labels: BTreeMap<_, _> = serde_json::from_value(stream["stream"].clone())?;
        for entry in list(&stream["values"])? {
            let text = entry[1].as_str().context("no line")?.to_owned();
            let labels = labels.clone();
            lines.push(LogLine { labels, text });
        }
    }
    Ok(lines)
}

/// Converts milliseconds since 1970 to seconds, for queries.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// The last hour and a short time after now, in seconds since 1970.
fn window() -> anyhow::Result<(u64, u64)> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(((now - WINDOW).as_secs(), now.as_secs() + 1))
}

fn list(value: &Value) -> anyhow::Result<Vec<Value>> {
    value
        .as_array()
        .cloned()
        .with_context(|| format!("no list: {value}"))
}
