//! Delivery to Prometheus.
//!
//! Prometheus refuses a whole request for one data point that it does not take. So a refused request is divided until the
//! parts with such data points are found: by service, then by metric, and then by series. Each metric is tried at least
//! once, so that a data point costs others of its metric at most.
//!
//! Metrics with such data points are suspects for a while. Their data points are separated from the others at the first
//! refusal, because they come again.
//!
//! What Prometheus has stored of a refused request does not matter: it takes the same value of a series for the same time
//! again.
//!
//! Prometheus 3 answers 200 even if it could not write, such as on a full disk. So each request has a data point of our
//! own, which is read back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric::Data,
        number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message as _;
use reqwest::{StatusCode, header, redirect::Policy};
use url::Url;

use crate::{
    batch::Batch,
    record::lock,
    series::{Dropped, Reason},
};

/// Time limit of a request.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Time for the parts of a batch. With the wait for a place it is below the 30 s after which the collector gives up. The
/// next attempt is faster, because more suspects are known.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time for the search inside of metrics. After it, a refused metric is dropped.
const SEARCH: Duration = Duration::from_secs(3);

/// Requests that may be spent inside of one metric in a batch. They find two data points among a thousand.
const REQUESTS_PER_METRIC: u32 = 40;

/// Requests that may be spent inside of all metrics of a batch.
const REQUESTS: u32 = 400;

/// How long a metric is a suspect after its last refusal.
const SUSPECT: Duration = Duration::from_secs(10 * 60);

/// The number of suspects.
const SUSPECTS: usize = 10_000;

/// The metric of the probes.
const PROBE: &str = "admission_probe";

/// Bytes of an answer that are read.
const ANSWER: usize = 1_000;

/// A client of Prometheus's receiver of OTLP.
#[derive(Clone, Debug)]
pub(crate) struct Prometheus {
    http: reqwest::Client,
    export: Url,
    query: Url,
    suspects: Arc<Mutex<HashMap<(String, u64), Instant>>>,
}

/// The series that tells whether Prometheus writes. One request at a time may use it.
#[derive(Debug)]
pub(crate) struct Probe {
    /// Its number.
    pub(crate) place: usize,
    /// The time of its last value, in milliseconds since the Unix epoch. Times rise, since Prometheus takes no second
    /// value for a time.
    pub(crate) last: u64,
}

/// Prometheus cannot store anything now.
#[derive(Debug)]
pub(crate) struct Unavailable(pub(crate) String);

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) refused: Dropped,
    /// What Prometheus said about the last refused part.
    pub(crate) reason: String,
}

/// The answer to a request.
enum Answer {
    Stored,
    /// Because of its content, or because Prometheus cannot store anything.
    Failed(String),
    Refused(String),
}

/// The requests that may still be spent inside of metrics.
struct Budget {
    end: Instant,
    batch: u32,
    metric: u32,
    /// The last metric. Its parts follow each other.
    last: Option<(String, u64)>,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self {
            end: now + SEARCH,
            batch: REQUESTS,
            metric: REQUESTS_PER_METRIC,
            last: None,
        }
    }

    /// Whether a refused part of a metric may be divided. Otherwise it is dropped as a whole.
    fn allows(&mut self, metric: (String, u64)) -> bool {
        if self.last.as_ref() != Some(&metric) {
            self.metric = REQUESTS_PER_METRIC;
            self.last = Some(metric);
        }
        let allows = self.batch > 1 && self.metric > 1 && Instant::now() < self.end;
        if allows {
            // Both halves are tried.
            self.batch -= 2;
            self.metric -= 2;
        }
        allows
    }
}

impl Prometheus {
    pub(crate) fn new(base: &Url) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .context("cannot create an HTTP client")?;
        let url = |path: &str| {
            let base = base.as_str().trim_end_matches('/');
            Url::parse(&format!("{base}/api/v1/{path}"))
                .context("the URL of Prometheus is not complete")
        };
        Ok(Self {
            http,
            export: url("otlp/v1/metrics")?,
            query: url("query")?,
            suspects: Arc::default(),
        })
    }

    /// Stores a batch, which `body` is the encoding of, but for the data points that Prometheus refuses.
    pub(crate) async fn store<'a>(
        &self,
        probe: &mut Probe,
        body: Bytes,
        batch: impl FnOnce() -> Batch<'a>,
    ) -> Result<Outcome, Unavailable> {
        let (own, value) = probe.next();
        // Two encoded messages after each other are one message with the fields of both.
        let all = [&body[..], &own].concat().into();
        let reason = match self.post(all).await? {
            Answer::Stored => {
                self.verify(probe, value).await?;
                return Ok(Outcome::default());
            }
            Answer::Refused(reason) => reason,
            Answer::Failed(reason) => {
                self.writes(probe, &reason).await?;
                reason
            }
        };
        let outcome = self.search(probe, batch(), reason).await?;
        self.writes(probe, "").await?;
        Ok(outcome)
    }

    /// Stores the parts of a refused batch that Prometheus takes.
    async fn search(
        &self,
        probe: &mut Probe,
        batch: Batch<'_>,
        reason: String,
    ) -> Result<Outcome, Unavailable> {
        let mut outcome = Outcome {
            reason,
            ..Outcome::default()
        };
        let started = Instant::now();
        let (rest, mut waiting) = {
            let mut suspects = lock(&self.suspects);
            suspects.retain(|_, last| started.duration_since(*last) < SUSPECT);
            batch.without(|metric| suspects.contains_key(metric))
        };
        let mut refused = None;
        if waiting.is_empty() {
            // It has just been refused.
            refused = Some(rest);
        } else if !rest.is_empty() {
            waiting.push(rest);
        }
        let mut budget = Budget::new(started);
        loop {
            if let Some(part) = refused.take() {
                let counts = part.count(Reason::Refused);
                let may_divide = match part.metric() {
                    Some(metric) => {
                        self.suspect(&metric);
                        budget.allows(metric)
                    }
                    None => true,
                };
                match may_divide.then(|| part.divide()).flatten() {
                    Some((first, second)) => waiting.extend([second, first]),
                    None => add(&mut outcome.refused, counts),
                }
            }
            let Some(part) = waiting.pop() else {
                return Ok(outcome);
            };
            if started.elapsed() > PATIENCE {
                let reason = "a batch with data points that Prometheus refuses takes too long";
                return Err(Unavailable(reason.to_owned()));
            }
            match self.post(part.encode()).await? {
                Answer::Stored => continue,
                Answer::Refused(reason) => outcome.reason = reason,
                Answer::Failed(reason) => {
                    self.writes(probe, &reason).await?;
                    outcome.reason = reason;
                }
            }
            refused = Some(part);
        }
    }

    /// Remembers a metric of which a data point was refused.
    fn suspect(&self, metric: &(String, u64)) {
        let mut suspects = lock(&self.suspects);
        if suspects.len() >= SUSPECTS {
            suspects.clear();
        }
        suspects.insert(metric.clone(), Instant::now());
    }

    /// Checks that Prometheus writes. `reason` is what it said before.
    async fn writes(&self, probe: &mut Probe, reason: &str) -> Result<(), Unavailable> {
        let (own, value) = probe.next();
        match self.post(own.into()).await? {
            Answer::Stored => self.verify(probe, value).await,
            Answer::Refused(own) | Answer::Failed(own) => {
                Err(Unavailable(format!("{reason} {own}").trim().to_owned()))
            }
        }
    }

    /// Checks that the last value of the probe is stored.
    async fn verify(&self, probe: &Probe, value: u64) -> Result<(), Unavailable> {
        let time = format!("{}.{:03}", probe.last / 1_000, probe.last % 1_000);
        let query = format!(r#"{PROBE}{{place="{}"}}"#, probe.place);
        let request = self.http.get(self.query.clone());
        let request = request.query(&[("query", query), ("time", time)]);
        let answer = async {
            let response = request.send().await?.error_for_status()?;
            response.bytes().await
        };
        let answer = answer.await.map_err(|error| Unavailable(chain(error)))?;
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        let stored = answer["data"]["result"][0]["value"][1].as_str();
        if stored == Some(value.to_string().as_str()) {
            return Ok(());
        }
        let reason = "Prometheus has answered 200 and stored nothing; its log has the reason, such as a full disk";
        Err(Unavailable(reason.to_owned()))
    }

    async fn post(&self, body: Bytes) -> Result<Answer, Unavailable> {
        let request = self.http.post(self.export.clone()).body(body);
        let request = request.header(header::CONTENT_TYPE, "application/x-protobuf");
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_timeout() => {
                return Err(Unavailable(chain(error)));
            }
            // Prometheus ends the connection if its handler panics.
            Err(error) => return Ok(Answer::Failed(chain(error))),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(Answer::Stored);
        }
        let mut text = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await
            && text.len() < ANSWER
        {
            text.extend_from_slice(&chunk);
        }
        text.truncate(ANSWER);
        let reason = format!("{status}: {}", String::from_utf8_lossy(&text).trim());
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::REQUEST_TIMEOUT => Err(Unavailable(reason)),
            status if status.is_server_error() => Ok(Answer::Failed(reason)),
            _ => Ok(Answer::Refused(reason)),
        }
    }
}

fn add(all: &mut Dropped, more: Dropped) {
    for (key, count) in more {
        *all.entry(key).or_default() += count;
    }
}

/// The message of an error with those of its causes.
fn chain(error: reqwest::Error) -> String {
    format!("{:#}", anyhow::Error::new(error))
}

impl Probe {
    /// A request with the next value, and the value.
    fn next(&mut self) -> (Vec<u8>, u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX / 2);
        self.last = now.max(self.last + 1);
        // A small number is written without an exponent.
        let value = self.last % 1_000_000;
        let attribute = |key: &str, value: String| KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(value)),
            }),
            ..KeyValue::default()
        };
        let point = NumberDataPoint {
            attributes: vec![attribute("place", self.place.to_string())],
            time_unix_nano: self.last * 1_000_000,
            value: Some(number_data_point::Value::AsInt(value.cast_signed())),
            ..NumberDataPoint::default()
        };
        let metric = Metric {
            name: PROBE.to_owned(),
            data: Some(Data::Gauge(Gauge {
                data_points: vec![point],
            })),
            ..Metric::default()
        };
        let scope = ScopeMetrics {
            metrics: vec![metric],
            ..ScopeMetrics::default()
        };
        let resource = Resource {
            attributes: vec![attribute("service.name", env!("CARGO_PKG_NAME").to_owned())],
            ..Resource::default()
        };
        let group = ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope],
            ..ResourceMetrics::default()
        };
        let request = ExportMetricsServiceRequest {
            resource_metrics: vec![group],
        };
        (request.encode_to_vec(), value)
    }
}

#[cfg(test)]
mod tests;
