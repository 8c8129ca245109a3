//! Files of export objects.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::{Api, Error};

/// What was taken from a file.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Report {
    /// Number of spans, data points and log records that were accepted.
    pub(crate) spans: u64,
    pub(crate) points: u64,
    pub(crate) logs: u64,
    /// Number of records that were rejected.
    pub(crate) rejected: u64,
    /// Number of objects that were refused as a whole.
    pub(crate) refused: u64,
    pub(crate) problems: Vec<Problem>,
}

/// A problem with an object.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Problem {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// Takes a file of export objects in JSON, compressed by gzip or not.
pub(super) async fn import(
    State(api): State<Api>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().unwrap_or_default());
    if kind.is_some_and(|kind| kind.contains("protobuf") || kind.starts_with("multipart/")) {
        return Err(Error::Other(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a file has export objects in JSON; send protobuf to /v1/traces, /v1/metrics or /v1/logs \
             on the port for OTLP"
                .to_owned(),
        ));
    }
    let Ok(_place) = api.imports.try_acquire() else {
        return Err(Error::Busy("other files are being imported"));
    };
    let import = tokio::select! {
        import = api.receiver.import(body) => import,
        () = api.lens.stopped() => return Err(Error::Busy("lens is about to stop")),
    };
    let problems = import.problems.into_iter();
    let report = Report {
        spans: import.spans,
        points: import.points,
        logs: import.logs,
        rejected: import.rejected,
        refused: import.refused,
        problems: problems
            .map(|problem| Problem {
                line: problem.line,
                reason: problem.reason,
            })
            .collect(),
    };
    let is_nothing = report.spans + report.points + report.logs == 0 && report.refused > 0;
    if !is_nothing {
        return Ok(super::json(&report));
    }
    let first = report.problems.first();
    let error = first.map(|first| format!("line {}: {}", first.line, first.reason));
    let mut body = serde_json::to_value(&report).unwrap_or_default();
    body["error"] = error.into();
    Ok((StatusCode::BAD_REQUEST, super::json(&body)).into_response())
}
