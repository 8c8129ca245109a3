//! The way out: bounded queues, OTLP, and an account of what is lost.
//!
//! The SDK's batch processors and OTLP exporters do the work. Around each pair stands a [`Flow`],
//! which lets in what the queue can hold and counts what it cannot, and what the collector did
//! not take. Metrics have an exporter of their own: the SDK's has no place for exemplars.

mod flow;
mod limits;
pub(crate) mod logs;
mod metrics;
pub(crate) mod spans;

pub(crate) use self::{flow::Flow, limits::Limits, metrics::MetricExporter};
