//! A service that sends traces, logs and metrics at fixed rates, a hostile sender beside it, and what the backends
//! store.

use std::{
    io::Write as _,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
        metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{
        AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Metric,
        NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric::Data,
        number_data_point::Value,
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message as _;
use reqwest::{Client, header};
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::{
    samples::{self, record, resource, text},
    stack::Stack,
};

/// Requests a second of each signal.
const REQUESTS: u64 = 10;
/// Time limit for a request, as SDKs have it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Traces that are read whole after a load.
const READ_TRACES: u64 = 20;
/// Queues of the collector, one for each signal.
const QUEUES: usize = 3;

/// Numbers of records, or of records a second.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Records {
    /// Spans.
    pub spans: u64,
    /// Log records.
    pub lines: u64,
    /// Data points.
    pub points: u64,
}

impl Records {
    /// Four spans and ten points for each log line.
    #[must_use]
    pub fn mixed(lines: u64) -> Self {
        Self {
            spans: 4 * lines,
            lines,
            points: 10 * lines,
        }
    }
}

/// A service that sends telemetry.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    /// Number of the first record, so that no other service has the same ids.
    first: u64,
}

/// What became of a load.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Acknowledged records.
    pub sent: Records,
    /// Requests that were refused or not answered.
    pub refused: u64,
    /// Time from the first to the last answer.
    pub lasted: Duration,
}

impl Service {
    /// A service with ids of its own.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self {
            name: format!("load-{number}"),
            first: number << 32,
        }
    }

    /// The value of `service.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends records at these rates to a collector, ten requests a second for each signal. A request that is late
    /// because of earlier ones is sent at once.
    ///
    /// # Errors
    /// When nothing listens.
    pub async fn send(
        &self,
        endpoint: &str,
        rates: Records,
        time: Duration,
    ) -> anyhow::Result<Outcome> {
        let channel = Channel::from_shared(endpoint.to_owned())?.timeout(PATIENCE);
        let begin = Instant::now();
        let mut tasks = Vec::new();
        for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
            let count = signal.of(rates) / REQUESTS;
            if count == 0 {
                continue;
            }
            let channel = channel.connect().await?;
            let service = self.clone();
            tasks.push(tokio::spawn(async move {
                let (mut sent, mut refused) = (0, 0);
                let requests = REQUESTS * time.as_secs();
                for number in 0..requests {
                    let due = begin + Duration::from_secs(1) * u32::try_from(number)? / 10;
                    tokio::time::sleep_until(due).await;
                    match service.export(signal, &channel, number, count).await {
                        Ok(()) => sent += count,
                        Err(_) => refused += 1,
                    }
                }
                anyhow::Ok((signal, sent, refused))
            }));
        }
        let mut outcome = Outcome {
            sent: Records::default(),
            refused: 0,
            lasted: Duration::ZERO,
        };
        for task in tasks {
            let (signal, sent, refused) = task.await??;
            *signal.of_mut(&mut outcome.sent) = sent;
            outcome.refused += refused;
        }
        outcome.lasted = begin.elapsed();
        Ok(outcome)
    }

    async fn export(
        &self,
        signal: Signal,
        channel: &Channel,
        number: u64,
        count: u64,
    ) -> anyhow::Result<()> {
        let numbers = number * count..(number + 1) * count;
        let now = nanoseconds()?;
        let rejected = match signal {
            Signal::Traces => {
                let spans = numbers.map(|number| self.span(number, now)).collect();
                let mut client = TraceServiceClient::new(channel.clone());
                let answer = client.export(traces(&self.name, spans)).await?.into_inner();
                answer.partial_success.map(|partial| partial.rejected_spans)
            }
            Signal::Logs => {
                let records = numbers.map(|number| {
                    let mut record = record(self.first + number);
                    record.time_unix_nano = now + number;
                    record
                });
                let mut client = LogsServiceClient::new(channel.clone());
                let request = logs(&self.name, records.collect());
                let answer = client.export(request).await?.into_inner();
                let partial = answer.partial_success;
                partial.map(|partial| partial.rejected_log_records)
            }
            Signal::Metrics => {
                // Each series gets a point a second.
                let series = number % REQUESTS * count;
                let request = metrics(&self.name, now, series..series + count);
                let mut client = MetricsServiceClient::new(channel.clone());
                let answer = client.export(request).await?.into_inner();
                let partial = answer.partial_success;
                partial.map(|partial| partial.rejected_data_points)
            }
        };
        ensure!(rejected.unwrap_or(0) == 0, "rejected {rejected:?}");
        Ok(())
    }

    /// A span that ends now.
    fn span(&self, number: u64, now: u64) -> Span {
        let mut span = samples::span(self.first + number);
        let duration = span.end_time_unix_nano - span.start_time_unix_nano;
        span.end_time_unix_nano = now;
        span.start_time_unix_nano = now - duration;
        span
    }

    /// The records of this service that the backends have stored.
    ///
    /// # Errors
    /// When a backend does not answer.
    pub async fn stored(&self, stack: &Stack) -> anyhow::Result<Records> {
        let name = &self.name;
        let spans = format!(r#"sum(traces_spanmetrics_calls_total{{service="{name}"}})"#);
        let points = format!(r#"sum(count_over_time({{job="{name}", __name__=~"load_.*"}}[30m]))"#);
        let lines = format!(r#"sum(count_over_time({{service_name="{name}"}}[30m]))"#);
        let series = stack.loki.result(&lines).await?;
        // The last value is that of now.
        let values = series
            .first()
            .and_then(|series| series["values"].as_array());
        let newest = values.and_then(|values| values.last());
        let lines = newest.and_then(|pair| pair[1].as_str()).unwrap_or("0");
        Ok(Records {
            spans: number(stack, &spans).await?,
            lines: lines.parse()?,
            points: number(stack, &points).await?,
        })
    }

    /// Reads some of the traces, and checks that they are whole.
    ///
    /// # Errors
    /// When one lacks a span.
    pub async fn read_traces(&self, stack: &Stack, spans: u64) -> anyhow::Result<()> {
        let traces = spans / samples::DEPTH;
        for trace in 0..READ_TRACES.min(traces) {
            let number = self.first + trace * (traces / READ_TRACES).max(1) * samples::DEPTH;
            let id = samples::span(number).trace_id;
            let id = id
                .iter()
                .fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
            let found = stack.tempo.spans(&id).await?;
            let (found, depth) = (found.len(), usize::try_from(samples::DEPTH)?);
            ensure!(found == depth, "trace {id} has {found} of {depth} spans");
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    const fn of(self, records: Records) -> u64 {
        match self {
            Self::Traces => records.spans,
            Self::Logs => records.lines,
            Self::Metrics => records.points,
        }
    }

    const fn of_mut(self, records: &mut Records) -> &mut u64 {
        match self {
            Self::Traces => &mut records.spans,
            Self::Logs => &mut records.lines,
            Self::Metrics => &mut records.points,
        }
    }
}

/// Sends records that backends refuse, large requests and garbage, until the future is dropped.
///
/// Its span names and series have ids in their names. Counts the requests that the collector takes.
///
/// # Errors
/// When the collector takes none of a round.
pub async fn hostile(stack: &Stack, taken: &AtomicU64) -> anyhow::Result<()> {
    const LINES: usize = 5_000;
    let http = Client::new();
    let garbage: Vec<u8> = (0..1_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let bomb = gzip(&vec![0; 64 << 20])?;
    let mut number = 0;
    loop {
        number += 1;
        let now = nanoseconds()?;
        let name = format!("hostile-{}", number % 100);
        let spans = (0..200).map(|index| {
            let mut span = samples::span(number * 200 + index);
            span.name = format!("GET /orders/{number}-{index}");
            // Too long ago, too far ahead, and without times.
            let time = [1, now + 10_u64.pow(18), 0][(index % 3) as usize];
            span.start_time_unix_nano = time;
            span.end_time_unix_nano = time;
            span
        });
        let lines = (0..LINES as u64).map(|index| {
            let mut line = record(index);
            line.time_unix_nano = [1, now + 10_u64.pow(18), 0][(index % 3) as usize];
            line.body = text("", &format!("{index} {}", "x".repeat(1_000))).value;
            line
        });
        let bodies = [
            ("traces", traces(&name, spans.collect()).encode_to_vec()),
            ("logs", logs(&name, lines.collect()).encode_to_vec()),
            ("metrics", bad_points(&name, number).encode_to_vec()),
            ("traces", garbage.clone()),
        ];
        let before = taken.load(Relaxed);
        for (signal, body) in bodies {
            if post(&http, stack, signal, body, None).await {
                taken.fetch_add(1, Relaxed);
            }
        }
        post(&http, stack, "metrics", bomb.clone(), Some("gzip")).await;
        ensure!(taken.load(Relaxed) > before, "nothing was taken");
    }
}

/// Sends a request. Returns whether it was taken.
async fn post(
    http: &Client,
    stack: &Stack,
    signal: &str,
    body: Vec<u8>,
    encoding: Option<&str>,
) -> bool {
    let mut request = http
        .post(format!("{}/v1/{signal}", stack.otlp_http()))
        .header(header::CONTENT_TYPE, "application/x-protobuf")
        .body(body);
    if let Some(encoding) = encoding {
        request = request.header(header::CONTENT_ENCODING, encoding);
    }
    let answer = request.send().await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

fn gzip(data: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data)?;
    Ok(encoder.finish()?)
}

/// The number of batches in the collector's queues.
///
/// # Errors
/// When the collector does not answer, or has no such queue.
pub async fn queued(stack: &Stack) -> anyhow::Result<f64> {
    let url = format!(
        "http://{}/metrics",
        stack.address("OTEL_COLLECTOR_METRICS_PORT")
    );
    let text = reqwest::get(url).await?.error_for_status()?.text().await?;
    let sizes: Vec<f64> = text
        .lines()
        .filter(|line| line.starts_with("otelcol_exporter_queue_size{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    ensure!(sizes.len() >= QUEUES, "queues: {sizes:?}");
    Ok(sizes.iter().sum())
}

fn traces(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(service)),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn logs(service: &str, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource(service)),
            scope_logs: vec![ScopeLogs {
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

/// Half of the points are those of a gauge, and half those of a sum.
fn metrics(service: &str, now: u64, series: Range<u64>) -> ExportMetricsServiceRequest {
    let point = |series: u64| NumberDataPoint {
        attributes: vec![
            text("worker", &format!("worker-{series}")),
            text("http.route", "/users/{id}"),
        ],
        start_time_unix_nano: 0,
        time_unix_nano: now,
        value: Some(Value::AsInt((now / 1_000_000_000) as i64)),
        ..NumberDataPoint::default()
    };
    let (even, odd): (Vec<u64>, Vec<u64>) = series.partition(|series| series % 2 == 0);
    let gauge = Data::Gauge(Gauge {
        data_points: even.into_iter().map(point).collect(),
    });
    let sum = Data::Sum(Sum {
        data_points: odd.into_iter().map(point).collect(),
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
        is_monotonic: true,
    });
    let metric = |name: &str, data| Metric {
        name: name.to_owned(),
        data: Some(data),
        ..Metric::default()
    };
    points_of(
        service,
        vec![metric("load.queue", gauge), metric("load.orders", sum)],
    )
}

/// Histograms of a scale that no backend has, values without a time, and deltas of series with ids in their names.
fn bad_points(service: &str, number: u64) -> ExportMetricsServiceRequest {
    let coarse = ExponentialHistogram {
        data_points: vec![ExponentialHistogramDataPoint {
            time_unix_nano: 1,
            count: 1,
            scale: -9,
            ..ExponentialHistogramDataPoint::default()
        }],
        aggregation_temporality: AggregationTemporality::Cumulative.into(),
    };
    let deltas = Sum {
        data_points: (0..200)
            .map(|index| NumberDataPoint {
                attributes: vec![text("order", &format!("{number}-{index}"))],
                value: Some(Value::AsInt(1)),
                ..NumberDataPoint::default()
            })
            .collect(),
        aggregation_temporality: AggregationTemporality::Delta.into(),
        is_monotonic: true,
    };
    let metric = |data| Metric {
        name: "hostile".to_owned(),
        data: Some(data),
        ..Metric::default()
    };
    points_of(
        service,
        vec![
            metric(Data::ExponentialHistogram(coarse)),
            metric(Data::Sum(deltas)),
        ],
    )
}

fn points_of(service: &str, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource(service)),
            scope_metrics: vec![ScopeMetrics {
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

/// The value of an expression that yields one series; 0 if it yields none.
async fn number(stack: &Stack, promql: &str) -> anyhow::Result<u64> {
    let series = stack.prometheus.query(promql).await?;
    let value = series
        .first()
        .and_then(|series| series["value"][1].as_str());
    value.unwrap_or("0").parse().context("no number")
}

fn nanoseconds() -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_nanos())?)
}
