//! Failures of records.

use std::error::Error as _;

use crate::{HandlerError, record::Undecodable};

/// Why a record was not handled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The record is not an event of this project.
    #[error("the record cannot be read")]
    Undecodable(#[from] Undecodable),
    /// The handler failed in every attempt, or rejected the event.
    #[error("the event cannot be handled")]
    Handler(#[from] HandlerError),
}

impl Failure {
    /// The name in telemetry and in the dead letters.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Undecodable(_) => "undecodable",
            Self::Handler(HandlerError::Retryable(_)) => "retries_exhausted",
            Self::Handler(HandlerError::Fatal(_)) => "rejected",
        }
    }

    /// The error and its causes, truncated.
    pub(crate) fn text(&self, max_bytes: usize) -> String {
        let mut text = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            text = format!("{text}: {error}");
            source = error.source();
        }
        text.truncate(text.floor_char_boundary(max_bytes));
        text
    }
}
