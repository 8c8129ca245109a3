//! The format of W3C Trace Context: <https://www.w3.org/TR/trace-context/>.
//!
//! It replaces the SDK's propagator, which accepts malformed headers and allocates half a dozen
//! strings for each call.

use std::{str::FromStr as _, sync::LazyLock};

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::BaggagePropagator;

pub(super) const TRACEPARENT: &str = "traceparent";
pub(super) const TRACESTATE: &str = "tracestate";
pub(super) const BAGGAGE: &str = "baggage";

/// Length in bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// The flag of level 2 that says that the trace id is random. Receivers rely on it when they sample
/// by the id, so it must be passed on.
pub(crate) const RANDOM: TraceFlags = TraceFlags::new(0x02);

/// The flags that are passed on. The specification forbids others.
const KNOWN_FLAGS: TraceFlags = TraceFlags::new(0x03);

pub(super) static BAGGAGE_PROPAGATOR: LazyLock<BaggagePropagator> =
    LazyLock::new(BaggagePropagator::new);

/// The caller's span. A malformed `tracestate` is ignored, as the specification requires.
pub(super) fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let bytes = traceparent.as_bytes();
    let (fields, rest) = bytes.split_at_checked(LENGTH)?;
    let is_separated = fields[2] == b'-' && fields[35] == b'-' && fields[52] == b'-';
    let version = number(&fields[..2])?;
    // A later version may have more fields.
    let has_end = rest.is_empty() || (version > 0 && rest[0] == b'-');
    if !is_separated || !has_end || version == 0xff {
        return None;
    }
    let trace_id = TraceId::from(number(&fields[3..35])?);
    let span_id = SpanId::from(u64::try_from(number(&fields[36..52])?).ok()?);
    let flags = u8::try_from(number(&fields[53..])?).ok()?;
    if trace_id == TraceId::INVALID || span_id == SpanId::INVALID {
        return None;
    }
    let state = tracestate.and_then(|state| TraceState::from_str(state).ok());
    Some(SpanContext::new(
        trace_id,
        span_id,
        TraceFlags::new(flags) & KNOWN_FLAGS,
        true,
        state.unwrap_or_default(),
    ))
}

/// The value of a `traceparent` header.
pub(super) fn traceparent(span: &SpanContext) -> [u8; LENGTH] {
    let mut out = [b'-'; LENGTH];
    digits(&[0], &mut out[..2]);
    digits(&span.trace_id().to_bytes(), &mut out[3..35]);
    digits(&span.span_id().to_bytes(), &mut out[36..52]);
    let flags = span.trace_flags() & KNOWN_FLAGS;
    digits(&[flags.to_u8()], &mut out[53..]);
    out
}

/// Parses hexadecimal digits. Capital letters are invalid.
pub(super) fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

pub(super) fn digits(bytes: &[u8], out: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, out) in bytes.iter().zip(out.chunks_exact_mut(2)) {
        out[0] = DIGITS[usize::from(byte >> 4)];
        out[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_traceparent_can_be_parsed() {
        let random = TraceFlags::SAMPLED | RANDOM;
        for flags in [TraceFlags::SAMPLED, TraceFlags::NOT_SAMPLED, RANDOM, random] {
            let span = SpanContext::new(
                TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
                SpanId::from(7),
                flags,
                true,
                TraceState::NONE,
            );
            let text = String::from_utf8(traceparent(&span).to_vec()).unwrap();
            assert_eq!(parse(&text, None), Some(span));
        }
    }

    #[test]
    fn later_versions_may_have_more_fields() {
        let parent = |version: &str, rest: &str| {
            let text =
                format!("{version}-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff{rest}");
            parse(&text, None)
        };
        assert!(parent("00", "").unwrap().is_sampled());
        let flags = parent("00", "").unwrap().trace_flags();
        assert_eq!(flags, TraceFlags::SAMPLED | RANDOM);
        assert!(parent("01", "-what-ever").is_some());
        assert!(parent("01", "").is_some());
        for (version, rest) in [("00", "-x"), ("01", "x"), ("ff", ""), ("0A", "")] {
            assert_eq!(parent(version, rest), None, "{version} {rest}");
        }
    }

    #[test]
    fn a_malformed_state_does_not_invalidate_the_parent() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        for (text, state) in [("k=v", "k=v"), ("no state", ""), ("", "")] {
            let span = parse(parent, Some(text)).unwrap();
            assert_eq!(span.trace_state().header(), state, "{text}");
        }
    }
}
