//! What a request for sessions can fail with.

use std::{net::IpAddr, time::Duration};

use tonic::Status;

use crate::scope::Scope;

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
    /// Too many sign-ins have failed, for the account or from the address, or too many registrations
    /// were tried from it: try again after the delay.
    #[error("too many attempts")]
    TooMany {
        scope: Scope,
        address: Option<IpAddr>,
        delay: Duration,
    },
    /// The user service has too much to do: try again after this long.
    #[error("the user service has too much to do")]
    UsersBusy(Duration),
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
