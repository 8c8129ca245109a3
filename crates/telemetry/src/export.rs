//! The way out: bounded queues, OTLP, and an account of what is lost.
//!
//! Log records go through the SDK's batch processor and the exporter of `opentelemetry-otlp`. Spans
//! do not: the SDK's way costs several times what it takes to encode them where they end. Metrics do
//! not: that exporter has no exemplars. One [`Sender`] for each of the two sends what is encoded. TLS,
//! URLs and headers are the same for all three. A [`Flow`] for each signal lets in what the queue can
//! hold, and counts what it cannot, and what the collector did not take.

pub(crate) mod encode;
mod flow;
mod limits;
pub(crate) mod logs;
mod metrics;
mod sender;
pub(crate) mod spans;
mod tls;

pub use self::tls::BadSetting;

pub(crate) use self::{
    flow::{Flow, Outage, Route},
    limits::{AttributeLimits, cut},
    metrics::MetricExporter,
    sender::Sender,
};
