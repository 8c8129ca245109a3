//! Export by OTLP: bounded queues, senders, and the accounting of losses.
//!
//! Log records use the SDK's batch processor and the exporter of `opentelemetry-otlp`. Spans are encoded as they end,
//! because the SDK's processor takes several times the processor time. Metrics have an exporter of their own, because
//! that of `opentelemetry-otlp` has no exemplars. Spans and metrics each have a [`Sender`] for encoded messages. All
//! three signals share the code for TLS, URLs and headers.
//!
//! Each signal has a [`Flow`]. It refuses items that find no room in the queue, and counts them and the items that
//! the collector did not accept.

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
