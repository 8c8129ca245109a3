//! Shows traces, metrics and logs of any service: an OTLP receiver, a bounded store, and pages.

pub mod analysis;
pub mod metrics;
pub mod query;
pub mod store;
