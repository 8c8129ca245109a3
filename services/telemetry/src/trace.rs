//! Spans of the hot path, made by the OpenTelemetry API itself.
//!
//! Each request has half a dozen of them, and a `tracing` span would be kept twice: in the
//! subscriber's registry, and as what `tracing-opentelemetry` makes of it. Both kinds nest in each
//! other, as both make theirs the current context.

use std::{borrow::Cow, sync::OnceLock};

use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, SpanKind, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::trace::SdkTracer;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Begins a span below `parent`, and returns the context that it is current in.
///
/// The span ends with `context.span().end()`, or when the last clone of the context is dropped.
/// Where traces are switched off there is no span, and the context is the parent.
#[must_use]
pub fn start(
    parent: &Context,
    kind: SpanKind,
    name: impl Into<Cow<'static, str>>,
    attributes: Vec<KeyValue>,
) -> Context {
    let Some(tracer) = TRACER.get() else {
        return parent.clone();
    };
    let builder = SpanBuilder::from_name(name)
        .with_kind(kind)
        .with_attributes(attributes);
    let span = tracer.build_with_context(builder, parent);
    parent.with_span(span)
}

/// Begins a span below the one of `parent` that is linked to it too, as a consumer's is to its
/// producer's: what shows traces as trees follows the first, what shows messages the second.
#[must_use]
pub fn start_linked(
    parent: &Context,
    kind: SpanKind,
    name: impl Into<Cow<'static, str>>,
    attributes: Vec<KeyValue>,
) -> Context {
    let linked = parent.span().span_context().clone();
    let context = start(parent, kind, name, attributes);
    if linked.is_valid() {
        context.span().add_link(linked, Vec::new());
    }
    context
}

/// From now on spans are made by this tracer. Of several, the first stays.
pub(crate) fn install(tracer: SdkTracer) {
    // The subscriber of the process, which is installed before, refuses a second start.
    let _ = TRACER.set(tracer);
}
