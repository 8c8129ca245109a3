use std::time::Duration;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};

/// The destination of received telemetry.
///
/// A receiver acknowledges a request to its client after the sink has accepted it.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Takes spans. All of them have valid ids.
    fn traces(
        &self,
        request: ExportTraceServiceRequest,
    ) -> impl Future<Output = Result<Accepted, Busy>> + Send;

    /// Takes metrics.
    fn metrics(
        &self,
        request: ExportMetricsServiceRequest,
    ) -> impl Future<Output = Result<Accepted, Busy>> + Send;

    /// Takes log records.
    fn logs(
        &self,
        request: ExportLogsServiceRequest,
    ) -> impl Future<Output = Result<Accepted, Busy>> + Send;
}

/// What a sink did with a request: the partial success of OTLP.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Accepted {
    /// Number of spans, data points or log records that the sink rejected for good.
    pub rejected: u64,
    /// The reason for the rejections. Without rejections, a warning. Empty if there is neither.
    pub message: String,
}

/// The sink cannot take the request now. The client should retry it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}")]
pub struct Busy {
    /// The reason, for the client.
    pub reason: String,
    /// Time after which the client should retry.
    pub retry_after: Duration,
}
