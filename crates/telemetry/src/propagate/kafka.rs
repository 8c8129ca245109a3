//! Headers of Kafka records.
//!
//! The headers of a record are names with values that are bytes or null. The functions here use that
//! form, so this crate depends on no Kafka client.
//!
//! Unless propagation is switched off, the format is always W3C Trace Context, as CloudEvents define
//! it. The outbox stores it, and no proxy between a producer and a consumer needs B3.

use opentelemetry::{
    Context,
    baggage::BaggageExt as _,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};

use super::{
    Format, Propagators, is_for_others,
    w3c::{self, BAGGAGE_PROPAGATOR},
};

/// The context of the producer of a record; empty if the headers have no valid one. If a header
/// occurs several times, the last one counts.
pub fn extract<'a>(headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>) -> Context {
    let propagators = Propagators::get();
    if propagators.is_off() {
        return Context::new();
    }
    let headers = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, std::str::from_utf8(value?).ok()?)));
    let headers = Headers(headers.collect());
    let mut context = Context::new();
    if propagators.has(Format::Baggage) {
        context = BAGGAGE_PROPAGATOR.extract_with_context(&context, &headers);
    }
    let parent = headers
        .get(w3c::TRACEPARENT)
        .and_then(|parent| w3c::parse(parent, headers.get(w3c::TRACESTATE)));
    match parent {
        Some(span) => context.with_remote_span_context(span),
        None => context,
    }
}

/// The headers to add to a record, so that its consumers continue this context's trace.
#[must_use]
pub fn inject(context: &Context) -> Vec<(String, Vec<u8>)> {
    let mut headers = HeadersMut(Vec::new());
    let propagators = Propagators::get();
    if propagators.is_off() {
        return headers.0;
    }
    let span = context.span();
    let span = span.span_context();
    if is_for_others(context) {
        let parent = w3c::traceparent(span).to_vec();
        headers.0.push((w3c::TRACEPARENT.to_owned(), parent));
        let state = span.trace_state().header();
        if !state.is_empty() {
            headers.set(w3c::TRACESTATE, state);
        }
    }
    if propagators.has(Format::Baggage) && !context.baggage().is_empty() {
        BAGGAGE_PROPAGATOR.inject_context(context, &mut headers);
    }
    headers.0
}

struct Headers<'a>(Vec<(&'a str, &'a str)>);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(name, _)| *name == key)?;
        Some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

struct HeadersMut(Vec<(String, Vec<u8>)>);

impl Injector for HeadersMut {
    fn set(&mut self, key: &str, value: String) {
        self.0.push((key.to_owned(), value.into_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{
        KeyValue,
        baggage::BaggageExt as _,
        trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState},
    };

    use super::*;

    fn borrowed(headers: &[(String, Vec<u8>)]) -> Vec<(&str, Option<&[u8]>)> {
        headers
            .iter()
            .map(|(name, value)| (name.as_str(), Some(value.as_slice())))
            .collect()
    }

    #[test]
    fn a_consumer_continues_the_trace_and_the_baggage() {
        let span = SpanContext::new(
            TraceId::from(7),
            SpanId::from(9),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        );
        let context = Context::new()
            .with_remote_span_context(span)
            .with_baggage([KeyValue::new("tenant", "a b")]);
        let headers = inject(&context);
        let received = extract(borrowed(&headers));
        assert_eq!(received.span().span_context().trace_id(), TraceId::from(7));
        assert_eq!(received.span().span_context().span_id(), SpanId::from(9));
        assert!(received.span().span_context().is_sampled());
        assert!(received.span().span_context().is_remote());
        let tenant = received.baggage().get("tenant").map(ToString::to_string);
        assert_eq!(tenant.as_deref(), Some("a b"));
    }

    #[test]
    fn a_malformed_context_is_ignored() {
        for value in [None, Some(&b"\xff\xfe"[..]), Some(b"00-0-0-01"), Some(b"")] {
            let context = extract([("traceparent", value), ("baggage", value)]);
            assert!(!context.span().span_context().is_valid(), "{value:?}");
        }
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".as_slice();
        let context = extract([
            ("traceparent", Some(b"x".as_slice())),
            ("traceparent", Some(parent)),
        ]);
        assert!(context.span().span_context().is_valid());
    }
}
