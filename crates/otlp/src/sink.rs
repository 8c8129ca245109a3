use std::time::Duration;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};

use crate::failure::Refusal;

/// Length after which a message takes no more of those of further parts, in bytes.
const MESSAGE: usize = 1000;

/// The destination of received telemetry.
///
/// The receiver acknowledges a request to its client after the sink has accepted it. A request that takes much memory
/// comes in parts. If the sink is busy at one of them, the client sends all of them again.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Takes spans. All of them have valid ids. The id of a parent is valid or empty.
    fn traces(
        &self,
        request: ExportTraceServiceRequest,
    ) -> impl Future<Output = Result<Accepted, Busy>> + Send;

    /// Takes metrics.
    fn metrics(
        &self,
        request: ExportMetricsServiceRequest,
    ) -> impl Future<Output = Result<Accepted, Busy>> + Send;

    /// Takes log records. Their trace and span ids are valid or empty.
    fn logs(
        &self,
        request: ExportLogsServiceRequest,
    ) -> impl Future<Output = Result<Accepted, Busy>> + Send;

    /// Learns what the receiver refused or warned about, for people who search for their telemetry.
    fn refused(&self, refusal: Refusal) {
        drop(refusal);
    }
}

/// What a sink did with a request: the partial success of OTLP.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Accepted {
    /// Number of spans, data points or log records that were rejected for good.
    pub rejected: u64,
    /// The reason for the rejections. Without rejections, a warning. Empty if there is neither.
    pub message: String,
    /// Number of spans that the sink had already. For the client, they are a success.
    pub duplicates: u64,
}

impl Accepted {
    /// Whether there is nothing to tell the client.
    pub(crate) fn is_full_success(&self) -> bool {
        self.rejected == 0 && self.message.is_empty()
    }

    /// Adds what a second stage did with the rest of the same request.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.rejected += other.rejected;
        self.duplicates += other.duplicates;
        if !self.message.is_empty() && !other.message.is_empty() {
            self.message.push_str("; ");
        }
        self.message.push_str(&other.message);
        self
    }

    /// Adds what became of the next part of the same request. A message of a kind that is known is left out.
    pub(crate) fn add(&mut self, part: &Self) {
        let kind = |message: &str| message.replace(|char: char| char.is_ascii_digit(), "");
        self.rejected += part.rejected;
        self.duplicates += part.duplicates;
        if self.message.is_empty() {
            self.message.clone_from(&part.message);
        } else if self.message.len() < MESSAGE
            && !kind(&self.message).contains(&kind(&part.message))
        {
            self.message.push_str("; ");
            self.message.push_str(&part.message);
        }
    }
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
