//! What a request for sessions can fail with.

use std::time::Duration;

use tonic::Status;

/// By what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields are missing or malformed: their names, each with a text for people.
    #[error("the request is invalid")]
    Invalid(Vec<(String, String)>),
    /// Another account has the email.
    #[error("the email is taken")]
    EmailTaken,
    /// Unknown email or wrong password: which of them is not to be told.
    #[error("wrong email or password")]
    WrongCredentials,
    /// The token is malformed, expired or revoked, or its account is gone.
    #[error("the session is not valid: {0}")]
    InvalidSession(&'static str),
    /// Too many attempts, or too much work: try again after this long.
    #[error("too many attempts")]
    TooMany(Duration),
    /// The user service does not answer.
    #[error("the user service does not answer: {0}")]
    UsersUnavailable(String),
    /// The database is busy.
    #[error("the database is busy")]
    Busy,
    /// The user service answered what it should not.
    #[error("the user service failed")]
    Users(#[source] Box<Status>),
    /// The database failed.
    #[error("the session store failed")]
    Store(#[source] database::Error),
    /// A token could not be signed.
    #[error("cannot sign a token")]
    Sign(#[source] jsonwebtoken::errors::Error),
}

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        match error {
            database::Error::Busy => Self::Busy,
            database::Error::NotUnique | database::Error::Failed(_) => Self::Store(error),
        }
    }
}
