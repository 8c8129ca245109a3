//! Trace context across process boundaries: W3C Trace Context and W3C Baggage.
//!
//! One file per carrier, functions without state. gRPC metadata are HTTP/2 headers, so both
//! protocols share a carrier.

use std::sync::LazyLock;

use opentelemetry::propagation::TextMapCompositePropagator;
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};

pub mod headers;
pub mod kafka;

static PROPAGATOR: LazyLock<TextMapCompositePropagator> = LazyLock::new(|| {
    TextMapCompositePropagator::new(vec![
        Box::new(TraceContextPropagator::new()),
        Box::new(BaggagePropagator::new()),
    ])
});
