//! HTTP headers and gRPC metadata.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
};

use super::PROPAGATOR;

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
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
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
            "\u{fffd}",
        ] {
            let context = extract(&headers(bad));
            assert!(!context.span().span_context().is_valid(), "{bad}");
        }
    }
}
