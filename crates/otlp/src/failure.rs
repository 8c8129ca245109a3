//! Why a request is refused, and the answers to it over gRPC and HTTP.

use std::{borrow::Cow, time::Duration};

use ::http::StatusCode;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{export::Signal, gate::RETRY_AFTER, sink::Busy};

/// A request that was refused, or of which a part was rejected.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The signal; `None` if the path names none.
    pub signal: Option<Signal>,
    /// Number of rejected spans, data points or log records; `None` if the request was refused as a whole.
    pub rejected: Option<u64>,
    /// The reason, as the client was told.
    pub reason: String,
}

/// A rule about senders, which a server applies before the receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Denial {
    /// The sender does not show the secret of the server.
    Unauthenticated,
    /// The sender must not send to this server.
    Forbidden,
}

impl Denial {
    const fn code(self) -> Code {
        match self {
            Self::Unauthenticated => Code::Unauthenticated,
            Self::Forbidden => Code::PermissionDenied,
        }
    }

    const fn http(self) -> StatusCode {
        match self {
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
        }
    }
}

/// The reason why a request is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The request cannot be decoded. The field is empty if it is not known.
    #[error("{reason}")]
    Malformed { field: String, reason: String },
    #[error("the request has more than {limit} bytes, the limit of this receiver")]
    TooLarge { limit: usize },
    #[error("the request would take more than {limit} bytes of memory, the limit of this receiver")]
    TooLargeDecoded { limit: usize },
    #[error(
        "a single record would take more than {limit} bytes of memory, the limit of this receiver"
    )]
    RecordTooLarge { limit: usize },
    #[error("{0}")]
    Busy(#[from] Busy),
    #[error("the request did not arrive within {} s", .0.as_secs())]
    Slow(Duration),
    #[error("{0}")]
    UnsupportedEncoding(Cow<'static, str>),
    #[error("{0}")]
    UnsupportedType(Cow<'static, str>),
    #[error("{0}")]
    NotFound(Cow<'static, str>),
    #[error("send telemetry by POST")]
    WrongMethod,
    /// A rule about senders refuses the request.
    #[error("{message}")]
    Denied { denial: Denial, message: String },
    /// The client has closed the connection, so nobody reads the answer.
    #[error("the request ended early: {0}")]
    Broken(String),
    #[error("the receiver failed")]
    Internal,
}

impl Failure {
    pub(crate) fn malformed(field: impl Into<String>, reason: &impl ToString) -> Self {
        Self::Malformed {
            field: field.into(),
            reason: reason.to_string(),
        }
    }

    /// The status over gRPC. Over HTTP, its details are the body.
    pub(crate) fn status(&self) -> Status {
        let message = self.to_string();
        let (code, details) = match self {
            Self::Malformed { field, reason } => (
                Code::InvalidArgument,
                ErrorDetails::with_bad_request_violation(field, reason),
            ),
            // RetryInfo would make clients send it again.
            Self::TooLarge { .. } | Self::TooLargeDecoded { .. } | Self::RecordTooLarge { .. } => {
                (Code::ResourceExhausted, ErrorDetails::new())
            }
            Self::Busy(_) | Self::Slow(_) => (
                Code::Unavailable,
                ErrorDetails::with_retry_info(self.pause()),
            ),
            Self::Denied { denial, .. } => (denial.code(), ErrorDetails::new()),
            Self::Broken(_) => (Code::Cancelled, ErrorDetails::new()),
            Self::UnsupportedEncoding(_)
            | Self::UnsupportedType(_)
            | Self::NotFound(_)
            | Self::WrongMethod => (Code::Unimplemented, ErrorDetails::new()),
            Self::Internal => (Code::Internal, ErrorDetails::new()),
        };
        Status::with_error_details(code, message, details)
    }

    /// The status over HTTP.
    pub(crate) const fn http(&self) -> StatusCode {
        match self {
            Self::Malformed { .. } | Self::Broken(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } | Self::TooLargeDecoded { .. } | Self::RecordTooLarge { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            // Clients of OTLP do not retry after 408.
            Self::Busy(_) | Self::Slow(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Denied { denial, .. } => denial.http(),
            Self::UnsupportedEncoding(_) | Self::UnsupportedType(_) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The pause that clients are asked for. `None` if they must not retry.
    fn pause(&self) -> Option<Duration> {
        match self {
            Self::Busy(busy) => Some(busy.retry_after),
            Self::Slow(_) => Some(RETRY_AFTER),
            _ => None,
        }
    }

    /// The value of `Retry-After`, in whole seconds.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let pause = self.pause()?;
        Some(pause.as_secs_f64().ceil().max(1.0) as u64)
    }
}
