//! Errors as JSON.

use std::fmt::Display;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Why a request has no answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Error {
    BadRequest(String),
    NotFound(String),
    MethodNotAllowed,
    Busy(&'static str),
    /// A problem that pages have too.
    Other(StatusCode, String),
}

impl Error {
    /// Everything that is wrong with a filter.
    pub(super) fn filter<E: Display>(errors: &[E]) -> Self {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Self::BadRequest(errors.join("; "))
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, text) = match self {
            Self::BadRequest(text) => (StatusCode::BAD_REQUEST, text),
            Self::NotFound(text) => (StatusCode::NOT_FOUND, text),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "this resource has no such method".to_owned(),
            ),
            Self::Busy(text) => (StatusCode::SERVICE_UNAVAILABLE, text.to_owned()),
            Self::Other(status, text) => (status, text),
        };
        let head = [(header::CONTENT_TYPE, super::JSON)];
        (status, head, format!("{}\n", json!({ "error": text }))).into_response()
    }
}
