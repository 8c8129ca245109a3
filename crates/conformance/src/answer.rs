//! What all answers of OTLP have in common.

use anyhow::{Context as _, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use serde_json::Value;

use crate::sample::Signal;

/// The partial success of an answer, which is optional.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Partial {
    /// Number of rejected spans, data points or log records.
    pub(crate) rejected: i64,
    pub(crate) message: String,
}

/// Reads the answer of any signal. The answers of all signals have the same fields on the wire.
pub(crate) fn from_protobuf(body: &[u8]) -> anyhow::Result<Option<Partial>> {
    let answer = ExportTraceServiceResponse::decode(body)
        .with_context(|| format!("the body is not an Export…ServiceResponse: {}", text(body)))?;
    let partial = answer.partial_success.map(|partial| Partial {
        rejected: partial.rejected_spans,
        message: partial.error_message,
    });
    valid(partial)
}

pub(crate) fn from_json(signal: Signal, body: &[u8]) -> anyhow::Result<Option<Partial>> {
    let not_an_answer = || format!("the body is not a JSON object: {}", text(body));
    let answer: Value = serde_json::from_slice(body).with_context(not_an_answer)?;
    let answer = answer.as_object().with_context(not_an_answer)?;
    let Some(partial) = answer
        .get("partialSuccess")
        .filter(|field| !field.is_null())
    else {
        return Ok(None);
    };
    let rejected = match &partial[signal.rejected()] {
        Value::Null => 0,
        Value::Number(number) => number.as_i64().context("rejected count is no integer")?,
        Value::String(text) => text.parse().context("rejected count is no integer")?,
        other => anyhow::bail!("rejected count is {other}"),
    };
    let message = partial["errorMessage"].as_str().unwrap_or_default();
    valid(Some(Partial {
        rejected,
        message: message.to_owned(),
    }))
}

/// Requires that every record was accepted. A warning is allowed.
pub(crate) fn accepted(partial: Option<Partial>) -> anyhow::Result<()> {
    match partial {
        Some(Partial { rejected, message }) if rejected != 0 => {
            anyhow::bail!("{rejected} rejected: {message}")
        }
        _ => Ok(()),
    }
}

/// Requires that the answer has no partial success at all, not even an empty one.
pub(crate) fn unset(partial: Option<&Partial>) -> anyhow::Result<()> {
    ensure!(
        partial.is_none(),
        "partial_success is set on full success: {partial:?}"
    );
    Ok(())
}

/// The beginning of a body, in one line.
pub(crate) fn text(body: &[u8]) -> String {
    const SHOWN: usize = 80;
    let shown = &body[..body.len().min(SHOWN)];
    let more = if body.len() > SHOWN { "…" } else { "" };
    format!("\"{}\"{more}", shown.escape_ascii())
}

fn valid(partial: Option<Partial>) -> anyhow::Result<Option<Partial>> {
    let rejected = partial.as_ref().map_or(0, |partial| partial.rejected);
    ensure!(rejected >= 0, "rejected count is {rejected}");
    Ok(partial)
}
