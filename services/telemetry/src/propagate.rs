//! Trace context across process boundaries: W3C Trace Context and W3C Baggage.
//!
//! One file per carrier, functions without state. gRPC metadata are HTTP/2 headers, so both
//! protocols share a carrier.

use opentelemetry::{Context, trace::TraceContextExt as _};

pub mod kafka;

pub(crate) mod headers;
pub(crate) mod w3c;

/// Marks a context whose span has ids for logs and pages alone, as this process exports no traces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unexported;

/// Whether others may continue the span of this context. A span that nobody exports would only
/// switch off their traces.
fn is_for_others(context: &Context) -> bool {
    context.span().span_context().is_valid() && context.get::<Unexported>().is_none()
}
