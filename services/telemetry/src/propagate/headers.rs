//! HTTP headers and gRPC metadata.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
};

use super::PROPAGATOR;

const TRACEPARENT: &str = "traceparent";

/// Bytes of a header that is passed on: W3C Baggage's limit.
const MAX_LENGTH: usize = 8192;

/// The context that the sender of these headers was in; empty where they carry none, or a
/// malformed one.
#[must_use]
pub fn extract(headers: &HeaderMap) -> Context {
    PROPAGATOR.extract_with_context(&Context::new(), &Headers(headers))
}

/// Adds the current context to the headers of an outgoing request.
pub fn inject(headers: &mut HeaderMap) {
    inject_context(&Context::current(), headers);
}

pub(crate) fn inject_context(context: &Context, headers: &mut HeaderMap) {
    PROPAGATOR.inject_context(context, &mut HeadersMut(headers));
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let mut values = self.0.get_all(key).iter();
        let value = values.next()?.to_str().ok()?;
        // The propagator is more lenient than W3C Trace Context: a malformed parent, or one of
        // several, is none.
        if key == TRACEPARENT && (values.next().is_some() || !is_parent(value)) {
            return None;
        }
        Some(value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

/// Whether the fields of a `traceparent` have their lengths: version, trace id, span id, flags.
/// A version that is not known may have more of them.
fn is_parent(value: &str) -> bool {
    let mut fields = value.split('-').map(str::len);
    let known = [2, 32, 16, 2].map(Some) == std::array::from_fn(|_| fields.next());
    known && (!value.starts_with("00") || fields.next().is_none())
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        // What came in within W3C's limit can be longer when it is encoded again; passed on, it
        // would be more than the next server takes, and the call would be lost.
        if value.is_empty() || value.len() > MAX_LENGTH {
            return;
        }
        if let (Ok(name), Ok(mut value)) = (
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::try_from(value),
        ) {
            // It differs in each call: it would only drive others out of HTTP/2's header table.
            value.set_sensitive(true);
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt as _;

    use super::*;

    fn headers(traceparent: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            "traceparent",
            HeaderValue::from_bytes(traceparent.as_bytes()).unwrap(),
        );
        headers
    }

    #[test]
    fn what_was_extracted_is_injected() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = extract(&headers(parent));
        let mut out = HeaderMap::new();
        inject_context(&context, &mut out);
        assert_eq!(out["traceparent"], parent);
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
            inject_context(&extract(&headers), &mut out);
            assert_eq!(out.contains_key("baggage"), passed_on, "{quotes}");
        }
    }
}
