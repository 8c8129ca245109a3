//! A trace as OTLP JSON.

use crate::{api::otlp, store::Trace};

/// One object with `resourceSpans` and `resourceLogs`.
pub(super) fn encode(trace: Trace) -> Vec<u8> {
    join(otlp::spans(trace.spans), &otlp::logs(trace.logs))
}

/// The members of two objects in one.
fn join(mut first: Vec<u8>, second: &[u8]) -> Vec<u8> {
    let is_empty = |object: &[u8]| object.len() <= 2;
    if is_empty(second) {
        return first;
    }
    if is_empty(&first) {
        return second.to_vec();
    }
    first.pop();
    first.push(b',');
    first.extend_from_slice(&second[1..]);
    first
}
