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
    Format, Propagators,
    b3::{self, Decision},
    is_for_others,
    w3c::{self, BAGGAGE_PROPAGATOR},
};

const TRACEPARENT: HeaderName = HeaderName::from_static(w3c::TRACEPARENT);
const TRACESTATE: HeaderName = HeaderName::from_static(w3c::TRACESTATE);
const BAGGAGE: HeaderName = HeaderName::from_static(w3c::BAGGAGE);

/// Maximum length in bytes of a header that is passed on: the limit of W3C Baggage.
const MAX_LENGTH: usize = 8192;

/// The context of the sender; empty if the headers have no valid one.
pub(crate) fn extract(headers: &HeaderMap) -> Context {
    extract_by(Propagators::get(), headers)
}

fn extract_by(propagators: &Propagators, headers: &HeaderMap) -> Context {
    let mut context = Context::new();
    let mut span = None;
    let mut decision = None;
    for format in &propagators.formats {
        match format {
            Format::TraceContext => {
                if let Some(parent) = parent(headers) {
                    (span, decision) = (Some(parent), None);
                }
            }
            Format::B3 | Format::B3Multi => match b3::parse(headers) {
                Some((Some(parent), decided)) => {
                    (span, decision) = (Some(parent), Some(decided));
                }
                Some((None, decided)) if span.is_none() => decision = Some(decided),
                _ => {}
            },
            Format::Baggage => {
                if let Some(baggage) = combined(headers, &BAGGAGE) {
                    context = BAGGAGE_PROPAGATOR.extract_with_context(&context, &Text(&baggage));
                }
            }
        }
    }
    let has_span = span.is_some();
    if let Some(span) = span {
        context = context.with_remote_span_context(span);
    }
    match decision {
        // The flags of the span express the same decision.
        Some(Decision::Deny | Decision::Accept) if has_span => context,
        Some(decision) => context.with_value(decision),
        None => context,
    }
}

fn parent(headers: &HeaderMap) -> Option<SpanContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = parents.next()?.to_str().ok()?;
    // Several headers are invalid.
    if parents.next().is_some() {
        return None;
    }
    w3c::parse(parent, combined(headers, &TRACESTATE).as_deref())
}

/// The value of a list, which may be spread over several headers. Values that are not text are left out.
fn combined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let values = headers.get_all(name).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .map(Cow::Borrowed)
        .reduce(|list, value| Cow::Owned(format!("{list},{value}")))
}

/// Adds the context to the headers of an outgoing request.
pub(crate) fn inject(context: &Context, headers: &mut HeaderMap) {
    inject_by(Propagators::get(), context, headers);
}

fn inject_by(propagators: &Propagators, context: &Context, headers: &mut HeaderMap) {
    let span = context.span();
    let span = Some(span.span_context()).filter(|_| is_for_others(context));
    for format in &propagators.formats {
        match format {
            Format::TraceContext => {
                if let Some(span) = span {
                    insert(headers, TRACEPARENT, &w3c::traceparent(span));
                    insert(headers, TRACESTATE, span.trace_state().header().as_bytes());
                }
            }
            Format::B3 => {
                b3::inject_single(context, span, |name, value| insert(headers, name, value));
            }
            Format::B3Multi => {
                b3::inject_multiple(context, span, |name, value| insert(headers, name, value));
            }
            Format::Baggage => {
                if !context.baggage().is_empty() {
                    BAGGAGE_PROPAGATOR.inject_context(context, &mut HeadersMut(headers));
                }
            }
        }
    }
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    // A value within the limit can exceed it when it is encoded again. The next server may refuse the
    // whole call for it.
    if value.is_empty() || value.len() > MAX_LENGTH {
        return;
    }
    if let Ok(mut value) = HeaderValue::from_bytes(value) {
        // The value differs in each call, so in HTTP/2's header table it would only evict others.
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

    /// The headers that a process without spans of its own passes on, as `name: value` lines.
    fn passed_on(propagators: &str, fields: &[(&'static str, &str)]) -> Vec<String> {
        let Ok(propagators) = propagators.parse();
        let context = extract_by(&propagators, &all(fields));
        let mut out = HeaderMap::new();
        inject_by(&propagators, &context, &mut out);
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
            assert_eq!(passed_on("", &fields), expected);
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
        let context = extract_by(&Propagators::default(), &all(&fields));
        let span = context.span();
        assert_eq!(span.span_context().trace_state().header(), "a=1,b=2,c=3");
        let value = |key: &str| context.baggage().get(key).map(ToString::to_string);
        assert_eq!(value("k").as_deref(), Some("3"));
        assert_eq!(value("l").as_deref(), Some("2"));
    }

    #[test]
    fn b3_is_passed_on_as_it_came() {
        let ids = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1";
        let (trace, span) = ids.split_once('-').unwrap();
        let (trace, span) = (("x-b3-traceid", trace), ("x-b3-spanid", span));
        let single = ["", "-0", "-1", "-d"].map(|state| format!("{ids}{state}"));
        for value in single.iter().map(String::as_str).chain(["0", "1", "d"]) {
            let expected = format!("b3: {value}");
            assert_eq!(passed_on("b3", &[("b3", value)]), [expected]);
        }
        for rest in [
            &[][..],
            &[("x-b3-sampled", "0")],
            &[("x-b3-sampled", "1")],
            &[("x-b3-flags", "1")],
        ] {
            for fields in [[rest, &[span, trace]].concat(), rest.to_vec()] {
                let lines: Vec<_> = fields.iter().map(|(k, v)| format!("{k}: {v}")).collect();
                assert_eq!(passed_on("b3multi", &fields), lines);
            }
        }
        let single = passed_on("b3", &[trace, span, ("x-b3-sampled", "true")]);
        assert_eq!(single, [format!("b3: {ids}-1")]);
        assert_eq!(passed_on("b3", &[]), Vec::<String>::new());
    }

    #[test]
    fn only_formats_of_the_propagators_are_read_and_written() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let b3 = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1";
        let of_b3 = "00-80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-01";
        let to_b3 = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0";
        let fields = [("traceparent", parent), ("b3", b3), ("baggage", "k=v")];
        let w3c = |parent: &str| format!("traceparent: {parent}");
        let single = |b3: &str| format!("b3: {b3}");
        for (propagators, expected) in [
            ("none", vec![]),
            ("", vec!["baggage: k=v".to_owned(), w3c(parent)]),
            ("tracecontext", vec![w3c(parent)]),
            ("baggage", vec!["baggage: k=v".to_owned()]),
            ("b3", vec![single(b3)]),
            ("tracecontext,b3", vec![single(b3), w3c(of_b3)]),
            ("b3,tracecontext", vec![single(to_b3), w3c(parent)]),
        ] {
            assert_eq!(passed_on(propagators, &fields), expected, "{propagators}");
        }
        // A decision without a span does not replace a span.
        let fields = [("traceparent", parent), ("b3", "1")];
        let expected = [single(to_b3), w3c(parent)];
        assert_eq!(passed_on("tracecontext,b3", &fields), expected);
    }

    #[test]
    fn a_malformed_parent_is_ignored() {
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
    fn two_parents_are_invalid() {
        let mut headers = headers("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert!(extract(&headers).span().span_context().is_valid());
        headers.append(TRACEPARENT, headers[TRACEPARENT].clone());
        assert!(!extract(&headers).span().span_context().is_valid());
    }

    #[test]
    fn baggage_above_the_limit_is_not_passed_on() {
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
