//! Export by OTLP: bounded queues, senders, and the accounting of losses.
//!
//! Log records use the SDK's batch processor. Spans are encoded as they end, because the SDK's processor takes several
//! times the processor time. Each signal has a [`Sender`] for encoded messages. The exporters of `opentelemetry-otlp`
//! would not do: they have one resource for each message, and no exemplars.
//!
//! Each signal has a [`Flow`]. It refuses items that find no room in the queue, and counts them and the items that
//! the collector did not accept.

pub(crate) mod encode;
mod flow;
mod limits;
pub(crate) mod logs;
mod metrics;
mod sender;
mod services;
pub(crate) mod spans;
mod tls;

pub use self::tls::BadSetting;

#[cfg(feature = "profiles")]
pub(crate) use self::sender::Encoded;
pub(crate) use self::{
    flow::{Flow, Outage, Route},
    limits::{AttributeLimits, cut},
    metrics::MetricExporter,
    sender::Sender,
};
