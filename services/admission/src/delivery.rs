//! Delivery to Prometheus.
//!
//! Prometheus refuses a whole request for one data point that it does not take. So a refused request is divided until the
//! parts with such data points are found. What Prometheus has stored of a refused request does not matter: it takes the
//! same value of a series for the same time again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    series::{Dropped, Reason},
};

/// Time limit of a request. The collector gives up after the same time.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Requests that may be spent on the parts of one service in a batch. They find ten data points among a thousand.
const REQUESTS_PER_SERVICE: u32 = 100;

/// Requests that may be spent on one batch. Prometheus answers a small one within a millisecond.
const REQUESTS: u32 = 2_000;

/// Bytes of an answer that are read.
const ANSWER: usize = 1_000;

/// A client of Prometheus's receiver of OTLP.
#[derive(Clone, Debug)]
pub(crate) struct Prometheus {
    http: reqwest::Client,
    url: Url,
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

/// The requests that may still be spent on a batch.
struct Budget {
    batch: u32,
    service: u32,
    /// The service of the last part, if it had one. The parts of a service follow each other.
    last: Option<String>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            batch: REQUESTS,
            service: REQUESTS_PER_SERVICE,
            last: None,
        }
    }
}

impl Budget {
    /// Whether a refused part may be divided. Otherwise it is dropped as a whole.
    fn allows(&mut self, part: &Batch<'_>) -> bool {
        let service = part.service();
        if service != self.last.as_deref() {
            self.service = REQUESTS_PER_SERVICE;
            self.last = service.map(ToOwned::to_owned);
        }
        self.batch > 0 && self.service > 0
    }

    fn spend(&mut self) {
        self.batch = self.batch.saturating_sub(1);
        self.service = self.service.saturating_sub(1);
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
        let url = format!(
            "{}/api/v1/otlp/v1/metrics",
            base.as_str().trim_end_matches('/')
        );
        let url = url.parse().context("the URL of Prometheus takes no path")?;
        Ok(Self { http, url })
    }

    /// Stores a batch, which `body` is the encoding of, but for the data points that Prometheus refuses.
    pub(crate) async fn store<'a>(
        &self,
        body: Bytes,
        batch: impl FnOnce() -> Batch<'a>,
    ) -> Result<Outcome, Unavailable> {
        match self.send(body).await? {
            Some(reason) => self.search(batch(), reason).await,
            None => Ok(Outcome::default()),
        }
    }

    /// Stores the parts of a refused batch that Prometheus takes.
    async fn search(&self, batch: Batch<'_>, reason: String) -> Result<Outcome, Unavailable> {
        let mut outcome = Outcome {
            reason,
            ..Outcome::default()
        };
        let mut budget = Budget::default();
        let mut waiting = Vec::new();
        let mut refused = Some(batch);
        loop {
            if let Some(part) = refused.take() {
                let counts = part.count(Reason::Refused);
                match budget.allows(&part).then(|| part.divide()).flatten() {
                    Some((first, second)) => waiting.extend([second, first]),
                    None => add(&mut outcome.refused, counts),
                }
            }
            let Some(part) = waiting.pop() else {
                return Ok(outcome);
            };
            budget.spend();
            if let Some(reason) = self.send(part.encode()).await? {
                outcome.reason = reason;
                refused = Some(part);
            }
        }
    }

    /// Sends a request. Returns the reason if Prometheus refuses it for its content.
    async fn send(&self, body: Bytes) -> Result<Option<String>, Unavailable> {
        match self.post(body).await? {
            Answer::Stored => Ok(None),
            Answer::Refused(reason) => Ok(Some(reason)),
            // Prometheus answers so for content that it does not take, and if its disk is full.
            Answer::Failed(reason) => match self.post(probe()).await? {
                Answer::Stored => Ok(Some(reason)),
                Answer::Refused(_) | Answer::Failed(_) => Err(Unavailable(reason)),
            },
        }
    }

    async fn post(&self, body: Bytes) -> Result<Answer, Unavailable> {
        let request = self.http.post(self.url.clone()).body(body);
        let request = request.header(header::CONTENT_TYPE, "application/x-protobuf");
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_timeout() => {
                return Err(Unavailable(chain(&error)));
            }
            // Prometheus ends the connection if its handler panics.
            Err(error) => return Ok(Answer::Failed(chain(&error))),
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
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// A request that Prometheus takes if it can store anything.
fn probe() -> Bytes {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let name = Value::StringValue(env!("CARGO_PKG_NAME").to_owned());
    let name = KeyValue {
        key: "service.name".to_owned(),
        value: Some(AnyValue { value: Some(name) }),
        ..KeyValue::default()
    };
    let point = NumberDataPoint {
        time_unix_nano: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        value: Some(number_data_point::Value::AsInt(1)),
        ..NumberDataPoint::default()
    };
    let metric = Metric {
        name: "admission.probe".to_owned(),
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
        attributes: vec![name],
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
    request.encode_to_vec().into()
}

#[cfg(test)]
mod tests;
