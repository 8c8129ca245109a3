//! The three export calls of OTLP.

use std::{fmt, str::FromStr};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse},
        metrics::v1::{
            ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        },
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        },
    },
    metrics::v1::{Metric, metric::Data},
};

use crate::{
    check, json,
    parts::Path,
    sink::{Accepted, Busy, Sink},
};

/// A kind of telemetry.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metrics.
    Metrics,
    /// Log records.
    Logs,
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        })
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let all = [Self::Traces, Self::Metrics, Self::Logs];
        let found = all.into_iter().find(|signal| signal.to_string() == text);
        found.ok_or(UnknownSignal)
    }
}

/// The text is no signal.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a signal is `traces`, `metrics` or `logs`")]
pub struct UnknownSignal;

/// The request of an export call.
pub(crate) trait Export: json::Message + 'static {
    const SIGNAL: Signal;
    /// The fields that lead to its records.
    const PATH: Path;
    /// Bytes of the parts of a large request in memory.
    ///
    /// As a rule, the thread that reads a part stores it too, because an allocator may keep what one thread allocates and
    /// another one frees.
    const PART: usize = 256 << 10;
    type Response: json::Message;

    /// Whether the request holds nothing. Such a request is a success.
    fn is_empty(&self) -> bool;

    /// Number of spans, data points or log records.
    fn records(&self) -> u64;

    /// Removes what cannot be stored, and tells how much that was.
    fn check(&mut self) -> Accepted;

    fn deliver(self, sink: &impl Sink) -> impl Future<Output = Result<Accepted, Busy>> + Send;

    fn response(accepted: Accepted) -> Self::Response;
}

/// The counts of a partial success are signed on the wire.
fn count(rejected: u64) -> i64 {
    i64::try_from(rejected).unwrap_or(i64::MAX)
}

impl Export for ExportTraceServiceRequest {
    const SIGNAL: Signal = Signal::Traces;
    const PATH: Path = &[&[1], &[2], &[2]];
    type Response = ExportTraceServiceResponse;

    fn is_empty(&self) -> bool {
        self.resource_spans.is_empty()
    }

    fn records(&self) -> u64 {
        let scopes = self
            .resource_spans
            .iter()
            .flat_map(|group| &group.scope_spans);
        scopes.map(|scope| scope.spans.len() as u64).sum()
    }

    fn check(&mut self) -> Accepted {
        check::traces(self)
    }

    async fn deliver(self, sink: &impl Sink) -> Result<Accepted, Busy> {
        sink.traces(self).await
    }

    fn response(accepted: Accepted) -> Self::Response {
        let partial_success = (!accepted.is_full_success()).then(|| ExportTracePartialSuccess {
            rejected_spans: count(accepted.rejected),
            error_message: accepted.message,
        });
        Self::Response { partial_success }
    }
}

/// Number of data points of a metric.
#[must_use]
pub fn data_points(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
    }
}

impl Export for ExportMetricsServiceRequest {
    const SIGNAL: Signal = Signal::Metrics;
    /// The last but one is the kind of the metric, from gauge to summary.
    const PATH: Path = &[&[1], &[2], &[2], &[5, 7, 9, 10, 11], &[1]];
    /// A part with late points may move all points of a series.
    const PART: usize = 4 << 20;
    type Response = ExportMetricsServiceResponse;

    fn is_empty(&self) -> bool {
        self.resource_metrics.is_empty()
    }

    fn records(&self) -> u64 {
        let scopes = self
            .resource_metrics
            .iter()
            .flat_map(|group| &group.scope_metrics);
        let metrics = scopes.flat_map(|scope| &scope.metrics);
        metrics.map(data_points).sum::<usize>() as u64
    }

    fn check(&mut self) -> Accepted {
        check::metrics(self)
    }

    async fn deliver(self, sink: &impl Sink) -> Result<Accepted, Busy> {
        sink.metrics(self).await
    }

    fn response(accepted: Accepted) -> Self::Response {
        let partial_success = (!accepted.is_full_success()).then(|| ExportMetricsPartialSuccess {
            rejected_data_points: count(accepted.rejected),
            error_message: accepted.message,
        });
        Self::Response { partial_success }
    }
}

impl Export for ExportLogsServiceRequest {
    const SIGNAL: Signal = Signal::Logs;
    const PATH: Path = &[&[1], &[2], &[2]];
    type Response = ExportLogsServiceResponse;

    fn is_empty(&self) -> bool {
        self.resource_logs.is_empty()
    }

    fn records(&self) -> u64 {
        let scopes = self
            .resource_logs
            .iter()
            .flat_map(|group| &group.scope_logs);
        scopes.map(|scope| scope.log_records.len() as u64).sum()
    }

    fn check(&mut self) -> Accepted {
        check::logs(self)
    }

    async fn deliver(self, sink: &impl Sink) -> Result<Accepted, Busy> {
        sink.logs(self).await
    }

    fn response(accepted: Accepted) -> Self::Response {
        let partial_success = (!accepted.is_full_success()).then(|| ExportLogsPartialSuccess {
            rejected_log_records: count(accepted.rejected),
            error_message: accepted.message,
        });
        Self::Response { partial_success }
    }
}
