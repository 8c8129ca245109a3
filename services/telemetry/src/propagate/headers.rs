//! HTTP headers and gRPC metadata.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    baggage::BaggageExt as _,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _},
};

use super::{
    is_for_others,
    w3c::{self, BAGGAGE_PROPAGATOR},
};

const TRACEPARENT: HeaderName = HeaderName::from_static(w3c::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(w3c::TRACESTATE);
const BAGGAGE: HeaderName = HeaderName::from_static(w3c::BAGGAGE);

/// Bytes of a header that is passed on: W3C Baggage's limit.
const MAX_LENGTH: usize = 8192;

/// The context that the sender of these headers was in; empty where they carry none, or a
/// malformed one.
pub(crate) fn extract(headers: &HeaderMap) -> Context {
    let mut context = Context::new();
    if let Some(baggage) = combined(headers, &BAGGAGE) {
        context = BAGGAGE_PROPAGATOR.extract_with_context(&context, &Text(&baggage));
    }
    match parent(headers) {
        Some(span) => context.with_remote_span_context(span),
        None => context,
    }
}

fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = parents.next()?.to_str().ok()?;
    // Of several, none counts.
    if parents.next().is_some() {
        return None;
    }
    w3c::parse(parent, combined(headers, &TRACESTATE).as_deref())
}

/// The value of a list, which may be spread over several headers. One that is not text is left out.
fn combined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .map(Cow::Borrowed)
        .reduce(|list, value| Cow::Owned(format!("{list},{value}")))
}

/// Adds the context to the headers of an outgoing request.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap) {
    if is_for_others(context) {
        let span = context.span();
        let span = span.span_context();
        insert(headers, TRACEPARENT, &w3c::traceparent(span));
        insert(headers, TRACESTATE, span.trace_state().header().as_bytes());
    }
    if !context.baggage().is_empty() {
        BAGGAGE_PROPAGATOR.inject_context(context, &mut HeadersMut(headers));
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    // What came in within W3C's limit can be longer when it is encoded again; passed on, it
    // would be more than the next server takes, and the call would be lost.
    if value.is_empty() || value.len() > MAX_LENGTH {
        return;
    }
    if let Ok(mut value) = HeaderValue::from_bytes(value) {
        // It differs in each call: it would only drive others out of HTTP/2's header table.
        value.set_sensitive(true);
        headers.insert(name, value);
    }
}

/// The value of the baggage header.
struct Text<'a>(&'a str);

impl Extractor for Text<'_> {
    fn get(&self, _: &str) -> Option<&str> {
        Some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![w3c::BAGGAGE]
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, _: &str, value: String) {
        insert(self.0, BAGGAGE, value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(traceparent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            "traceparent",
            HeaderValue::from_bytes(traceparent.as_bytes()).unwrap(),
        );
        headers
    }

    fn all(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    /// What a process without spans of its own sends on, as `name: value` lines.
    fn passed_on(fields: &[(&'static str, &str)]) -> Vec<String> {
        let mut out = HeaderMap::new();
        inject(&extract(&all(fields)), &mut out);
        let mut lines: Vec<_> = out
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_was_extracted_is_injected() {
        for flags in ["00", "01", "02", "03"] {
            let parent = format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}");
            let fields = [("traceparent", &*parent), ("tracestate", "a=1,b@c=2")];
            let expected = [
                format!("traceparent: {parent}"),
                "tracestate: a=1,b@c=2".to_owned(),
            ];
            assert_eq!(passed_on(&fields), expected);
        }
    }

    #[test]
    fn lists_in_several_headers_are_one_list() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let fields = [
            ("traceparent", parent),
            ("tracestate", "a=1, b=2"),
            ("baggage", "k=1"),
            ("tracestate", ""),
            ("tracestate", "c=3"),
            ("baggage", "l=2,k=3"),
        ];
        let context = extract(&all(&fields));
        let span = context.span();
        assert_eq!(span.span_context().trace_state().header(), "a=1,b=2,c=3");
        let value = |key: &str| context.baggage().get(key).map(ToString::to_string);
        assert_eq!(value("k").as_deref(), Some("3"));
        assert_eq!(value("l").as_deref(), Some("2"));
    }

    #[test]
    fn a_malformed_parent_is_no_parent() {
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "zz-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-zz",
            "00-af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-02",
            "\u{fffd}",
        ] {
            let context = extract(&headers(bad));
            assert!(!context.span().span_context().is_valid(), "{bad}");
        }
    }

    #[test]
    fn of_two_parents_neither_is_one() {
        let mut headers = headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert!(extract(&headers).span().span_context().is_valid());
        headers.append(TRACEPARENT, headers[TRACEPARENT].clone());
        assert!(!extract(&headers).span().span_context().is_valid());
    }

    #[test]
    fn baggage_that_would_not_fit_stays_behind() {
        for (quotes, passed_on) in [(2000, true), (8000, false)] {
            // Each is encoded as three bytes.
            let value = format!("k={}", "\"".repeat(quotes));
            let mut headers = HeaderMap::new();
            headers.insert("baggage", HeaderValue::from_str(&value).unwrap());
            let mut out = HeaderMap::new();
            inject(&extract(&headers), &mut out);
            assert_eq!(out.contains_key("baggage"), passed_on, "{quotes}");
        }
    }
}
