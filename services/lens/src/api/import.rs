//! Files of export objects.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use otlp::{Signal, UnknownSignal};
use serde::{Deserialize, Serialize};

use super::{Api, Error};
use crate::params::Params;

/// What was taken from a file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Report {
    /// Number of spans, data points and log records that were accepted.
    pub(crate) spans: u64,
    pub(crate) points: u64,
    pub(crate) logs: u64,
    /// Number of spans that were stored already.
    pub(crate) duplicates: u64,
    /// Number of records that were rejected.
    pub(crate) rejected: u64,
    /// Number of objects that were refused as a whole.
    pub(crate) refused: u64,
    pub(crate) problems: Vec<Problem>,
}

impl Report {
    /// Whether the file had nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A problem with an object.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Problem {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// Takes a file of export objects in JSON or, with a signal, of protobuf messages; compressed by gzip or not.
pub(super) async fn import(
    State(api): State<Api>,
    params: Params,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let signal = signal(&params)?;
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().unwrap_or_default());
    if kind.is_some_and(|kind| kind.starts_with("multipart/")) {
        return Err(Error::Other(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body is the file itself, not a form with it".to_owned(),
        ));
    }
    let Ok(_place) = api.imports.try_acquire() else {
        return Err(Error::Busy("other files are being imported"));
    };
    let import = tokio::select! {
        import = api.receiver.import(body, signal) => import,
        () = api.lens.stopped() => return Err(Error::Busy("lens is about to stop")),
    };
    let problems = import.problems.into_iter();
    let report = Report {
        spans: import.spans,
        points: import.points,
        logs: import.logs,
        duplicates: import.duplicates,
        rejected: import.rejected,
        refused: import.refused,
        problems: problems
            .map(|problem| Problem {
                line: problem.line,
                reason: problem.reason,
            })
            .collect(),
    };
    let taken = report.spans + report.points + report.logs + report.duplicates;
    let place = if signal.is_some() { "message" } else { "line" };
    let error = match report.problems.first() {
        Some(first) if taken == 0 && report.refused > 0 => {
            format!("{place} {}: {}", first.line, first.reason)
        }
        None if report.is_empty() => "there is nothing in the file".to_owned(),
        _ => return Ok(super::json(&report)),
    };
    let mut body = serde_json::to_value(&report).unwrap_or_default();
    body["error"] = error.into();
    Ok((StatusCode::BAD_REQUEST, super::json(&body)).into_response())
}

/// The signal of a protobuf file.
fn signal(params: &Params) -> Result<Option<Signal>, Error> {
    if let Some((name, _)) = params.pairs().find(|(name, _)| *name != "signal") {
        return Err(Error::BadRequest(format!(
            "there is no parameter {name:?}; that of an import is signal"
        )));
    }
    let signal = params.get("signal").map(str::parse).transpose();
    signal.map_err(|error: UnknownSignal| Error::BadRequest(error.to_string()))
}
