//! B3, the format of Zipkin: <https://github.com/openzipkin/b3-propagation>.
//!
//! The context is in one header `b3`, or in one header for each part. With B3 enabled, both forms
//! are read. If a request has both, the single header counts.

use http::{HeaderMap, HeaderName};
use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState},
};

use super::w3c::{digits, number};

const SINGLE: HeaderName = HeaderName::from_static("b3");
const TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
const SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
const SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
const FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// Length in bytes of a trace id of 128 bits, a hyphen and a span id.
const IDS: usize = 49;

/// The sender's sampling decision. It is stored in a [`Context`] if the span context cannot express it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// Do not record it.
    Deny,
    /// Record it.
    Accept,
    /// Record it, and let no later sampler drop it.
    Debug,
    /// The receiver decides.
    Defer,
}

impl Decision {
    /// The flags of a span context with this decision.
    pub(crate) fn flags(self) -> TraceFlags {
        TraceFlags::default().with_sampled(matches!(self, Self::Accept | Self::Debug))
    }
}

/// The sender's span and decision; `None` if the headers are missing or malformed. A sender can
/// make a decision without a span.
pub(super) fn parse(headers: &HeaderMap) -> Option<(Option<SpanContext>, Decision)> {
    let (ids, decision) = parse_single(headers).or_else(|| parse_multiple(headers))?;
    let span = ids.map(|(trace_id, span_id)| {
        let state = TraceState::default();
        SpanContext::new(trace_id, span_id, decision.flags(), true, state)
    });
    Some((span, decision))
}

type Parts = (Option<(TraceId, SpanId)>, Decision);

/// `TRACE_ID-SPAN_ID[-DECISION[-PARENT_SPAN_ID]]`, or a decision alone.
fn parse_single(headers: &HeaderMap) -> Option<Parts> {
    let value = get(headers, &SINGLE)?;
    let mut fields = value.split('-');
    let first = fields.next()?;
    let Some(span_id) = fields.next() else {
        return Some((None, state(first)?));
    };
    let ids = ids(first, span_id)?;
    let decision = match fields.next() {
        Some(text) => state(text)?,
        None => Decision::Defer,
    };
    // The id of the sender's parent is not used, but it must be valid.
    let has_parent = fields.next().is_none_or(|id| parse_span_id(id).is_some());
    (has_parent && fields.next().is_none()).then_some((Some(ids), decision))
}

fn state(text: &str) -> Option<Decision> {
    match text {
        "0" => Some(Decision::Deny),
        "1" => Some(Decision::Accept),
        "d" => Some(Decision::Debug),
        _ => None,
    }
}

fn parse_multiple(headers: &HeaderMap) -> Option<Parts> {
    let sampled = match get(headers, &SAMPLED) {
        // Older tracers write `true` and `false`.
        Some("0" | "false") => Some(Decision::Deny),
        Some("1" | "true") => Some(Decision::Accept),
        Some(_) => return None,
        None => None,
    };
    let debug = (get(headers, &FLAGS) == Some("1")).then_some(Decision::Debug);
    let decision = debug.or(sampled);
    match (get(headers, &TRACE_ID), get(headers, &SPAN_ID)) {
        (None, None) => Some((None, decision?)),
        (trace_id, span_id) => {
            let ids = ids(trace_id?, span_id?)?;
            Some((Some(ids), decision.unwrap_or(Decision::Defer)))
        }
    }
}

fn ids(trace_id: &str, span_id: &str) -> Option<(TraceId, SpanId)> {
    // An id of 64 bits is padded with zeros on the left.
    let trace_id = match trace_id.len() {
        16 | 32 => TraceId::from(number(trace_id.as_bytes())?),
        _ => return None,
    };
    let span_id = parse_span_id(span_id)?;
    (trace_id != TraceId::INVALID).then_some((trace_id, span_id))
}

fn parse_span_id(text: &str) -> Option<SpanId> {
    let is_long_enough = text.len() == 16;
    let id = number(text.as_bytes()).filter(|_| is_long_enough)?;
    let id = SpanId::from(u64::try_from(id).ok()?);
    (id != SpanId::INVALID).then_some(id)
}

/// The value of a header that occurs exactly once.
fn get<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Calls `insert` with the single header for `span`, the span of the context.
pub(super) fn inject_single(
    context: &Context,
    span: Option<&SpanContext>,
    mut insert: impl FnMut(HeaderName, &[u8]),
) {
    let state = match decision(context, span) {
        Some(Decision::Deny) => Some(b'0'),
        Some(Decision::Accept) => Some(b'1'),
        Some(Decision::Debug) => Some(b'd'),
        Some(Decision::Defer) => None,
        None => return,
    };
    let mut value = [b'-'; IDS + 2];
    if let Some(state) = state {
        value[IDS + 1] = state;
    }
    let end = if state.is_some() { IDS + 2 } else { IDS };
    let Some(span) = span else {
        insert(SINGLE, &value[IDS + 1..end]);
        return;
    };
    digits(&span.trace_id().to_bytes(), &mut value[..32]);
    digits(&span.span_id().to_bytes(), &mut value[33..IDS]);
    insert(SINGLE, &value[..end]);
}

/// Calls `insert` with a header for each part.
pub(super) fn inject_multiple(
    context: &Context,
    span: Option<&SpanContext>,
    mut insert: impl FnMut(HeaderName, &[u8]),
) {
    let Some(decision) = decision(context, span) else {
        return;
    };
    if let Some(span) = span {
        let (mut trace_id, mut span_id) = ([0; 32], [0; 16]);
        digits(&span.trace_id().to_bytes(), &mut trace_id);
        digits(&span.span_id().to_bytes(), &mut span_id);
        insert(TRACE_ID, &trace_id);
        insert(SPAN_ID, &span_id);
    }
    match decision {
        Decision::Deny => insert(SAMPLED, b"0"),
        Decision::Accept => insert(SAMPLED, b"1"),
        Decision::Debug => insert(FLAGS, b"1"),
        Decision::Defer => {}
    }
}

/// The decision to pass on; `None` if there is neither a span nor a decision.
fn decision(context: &Context, span: Option<&SpanContext>) -> Option<Decision> {
    match (context.get::<Decision>().copied(), span) {
        (Some(Decision::Debug), _) => Some(Decision::Debug),
        // The sender deferred the decision, and this process has no span of its own.
        (Some(Decision::Defer), Some(span)) if span.is_remote() => Some(Decision::Defer),
        (received, None) => received,
        (_, Some(span)) if span.is_sampled() => Some(Decision::Accept),
        (_, Some(_)) => Some(Decision::Deny),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";
    const PARENT: &str = "05e3ac9a4f6e3b90";

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    /// The ids as text, and the decision.
    fn parsed(fields: &[(&'static str, &str)]) -> Option<(String, Decision)> {
        let (span, decision) = parse(&headers(fields))?;
        let ids = span.map(|span| {
            assert!(span.is_remote() && span.is_valid());
            assert_eq!(span.trace_flags(), decision.flags());
            format!("{}-{}", span.trace_id(), span.span_id())
        });
        Some((ids.unwrap_or_default(), decision))
    }

    #[test]
    fn the_single_header_holds_ids_a_decision_or_both() {
        let ids = format!("{TRACE}-{SPAN}");
        for (value, expected, decision) in [
            ("0".to_owned(), "", Decision::Deny),
            ("1".to_owned(), "", Decision::Accept),
            ("d".to_owned(), "", Decision::Debug),
            (ids.clone(), &*ids, Decision::Defer),
            (format!("{ids}-0"), &ids, Decision::Deny),
            (format!("{ids}-1"), &ids, Decision::Accept),
            (format!("{ids}-d"), &ids, Decision::Debug),
            (format!("{ids}-1-{PARENT}"), &ids, Decision::Accept),
            (
                "a3ce929d0e0e4736-00f067aa0ba902b7-1".to_owned(),
                "0000000000000000a3ce929d0e0e4736-00f067aa0ba902b7",
                Decision::Accept,
            ),
        ] {
            let found = parsed(&[("b3", &value)]);
            assert_eq!(found, Some((expected.to_owned(), decision)), "{value}");
        }
    }

    #[test]
    fn a_malformed_single_header_is_ignored() {
        let zeros = "0".repeat(32);
        for value in [
            "",
            "-",
            "2",
            "true",
            TRACE,
            &format!("{TRACE}-"),
            &format!("-{SPAN}"),
            &format!("{TRACE}-{SPAN}-"),
            &format!("{TRACE}-{SPAN}-2"),
            &format!("{TRACE}-{SPAN}-1-"),
            &format!("{TRACE}-{SPAN}-1-{PARENT}-x"),
            &format!("{TRACE}-{SPAN}-1-{TRACE}"),
            &format!("{TRACE}-{}", &SPAN[1..]),
            &format!("{}-{SPAN}-1", &TRACE[1..]),
            &format!("0{TRACE}-{SPAN}-1"),
            &format!("{}-{SPAN}-1", TRACE.to_uppercase()),
            &format!("{}g-{SPAN}-1", &TRACE[1..]),
            &format!("{zeros}-{SPAN}-1"),
            &format!("{TRACE}-{}-1", &zeros[..16]),
        ] {
            assert_eq!(parsed(&[("b3", value)]), None, "{value}");
        }
        assert_eq!(parsed(&[("b3", "1"), ("b3", "1")]), None, "two of them");
    }

    #[test]
    fn several_headers_hold_the_same() {
        let (trace, span) = (("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN));
        let ids = format!("{TRACE}-{SPAN}");
        for (rest, decision) in [
            (&[][..], Decision::Defer),
            (&[("x-b3-parentspanid", PARENT)], Decision::Defer),
            (&[("x-b3-sampled", "0")], Decision::Deny),
            (&[("x-b3-sampled", "false")], Decision::Deny),
            (&[("x-b3-sampled", "1")], Decision::Accept),
            (&[("x-b3-sampled", "true")], Decision::Accept),
            (&[("x-b3-flags", "0")], Decision::Defer),
            (&[("x-b3-flags", "1")], Decision::Debug),
            (
                &[("x-b3-flags", "1"), ("x-b3-sampled", "0")],
                Decision::Debug,
            ),
        ] {
            let found = parsed(&[&[trace, span], rest].concat());
            assert_eq!(found, Some((ids.clone(), decision)), "{rest:?}");
        }
        for (field, decision) in [
            (("x-b3-sampled", "0"), Decision::Deny),
            (("x-b3-flags", "1"), Decision::Debug),
        ] {
            assert_eq!(parsed(&[field]), Some((String::new(), decision)));
        }
        for bad in [
            &[trace][..],
            &[span],
            &[("x-b3-flags", "0")],
            &[trace, span, ("x-b3-sampled", "d")],
            &[trace, span, span],
            &[("x-b3-traceid", "1"), span],
        ] {
            assert_eq!(parsed(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_single_header_counts_unless_it_is_malformed() {
        let multiple = [("x-b3-traceid", PARENT), ("x-b3-spanid", SPAN)];
        let with = |single| parsed(&[&multiple[..], &[("b3", single)]].concat()).unwrap();
        assert_eq!(with("0"), (String::new(), Decision::Deny));
        assert_eq!(with("x").0, format!("{PARENT:0>32}-{SPAN}"));
    }
}
