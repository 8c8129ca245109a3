//! The way out: bounded queues, OTLP, and an account of what is lost.
//!
//! Log records go through the SDK's batch processor and exporter. Spans and metrics do not: the
//! SDK's way for spans costs several times what it takes to encode them where they end, and its
//! metrics have no place for exemplars. A [`Flow`] for each signal lets in what the queue can
//! hold, and counts what it cannot, and what the collector did not take.

pub(crate) mod encode;
mod flow;
mod limits;
pub(crate) mod logs;
mod metrics;
mod sender;
pub(crate) mod spans;

pub(crate) use self::{flow::Flow, limits::Limits, metrics::MetricExporter, sender::Sender};
