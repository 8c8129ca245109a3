//! gRPC statuses that all services share.

use std::time::Duration;

use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// `INTERNAL`, without details except the trace id. It is in the message for people and in a
/// `google.rpc.RequestInfo` for programs.
#[must_use]
pub fn internal() -> Status {
    let Some(trace_id) = telemetry::current_trace_id() else {
        return Status::internal("internal error");
    };
    let text = format!("internal error, trace {trace_id}");
    let mut details = ErrorDetails::new();
    details.set_request_info(trace_id, "");
    Status::with_error_details(Code::Internal, text, details)
}

/// `INVALID_ARGUMENT` with a `google.rpc.BadRequest` that names each field.
#[must_use]
pub fn invalid<'a>(violations: impl IntoIterator<Item = (&'a str, String)>) -> Status {
    let violations: Vec<_> = violations
        .into_iter()
        .map(|(field, description)| FieldViolation::new(field, description))
        .collect();
    let text = violations
        .iter()
        .map(|violation| format!("{}: {}", violation.field, violation.description))
        .collect::<Vec<_>>()
        .join("; ");
    Status::with_error_details(
        Code::InvalidArgument,
        text,
        ErrorDetails::with_bad_request(violations),
    )
}

/// A status with the delay until a retry, in a `google.rpc.RetryInfo`.
#[must_use]
pub fn retry_later(code: Code, text: &str, delay: Duration) -> Status {
    Status::with_error_details(code, text, ErrorDetails::with_retry_info(Some(delay)))
}

/// The metadata with which a server asks for a later retry, or for none (gRFC A6).
pub(crate) const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// The status with the request not to retry the call. For a failure of a service behind the server, which has retried it
/// already: with retries at each step of a chain, attempts would multiply.
#[must_use]
pub fn do_not_retry(mut status: Status) -> Status {
    let never = MetadataValue::from_static("-1");
    status.metadata_mut().insert(RETRY_PUSHBACK, never);
    status
}
