//! The errors of requests for sessions.

use std::{net::IpAddr, time::Duration};

use tonic::Status;

use crate::scope::Scope;

/// Why a request failed, grouped by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields are missing or malformed: their names, each with a message for the user.
    #[error("the request is invalid")]
    Invalid(Vec<(String, String)>),
    /// The email belongs to another account.
    #[error("the email is taken")]
    EmailTaken,
    /// Unknown email or wrong password. The answer must not tell which.
    #[error("wrong email or password")]
    WrongCredentials,
    /// The token is malformed, expired or revoked, or its account is gone.
    #[error("the session is not valid: {0}")]
    InvalidSession(&'static str),
    /// Too many failed sign-ins to the account or from the address, or too many registrations from
    /// the address. The caller can try again after the delay.
    #[error("too many attempts")]
    TooMany {
        scope: Scope,
        address: Option<IpAddr>,
        delay: Duration,
    },
    /// The user service is overloaded. The caller can try again after this delay.
    #[error("the user service is overloaded")]
    UsersBusy(Duration),
    /// The user service does not answer.
    #[error("the user service does not answer: {0}")]
    UsersUnavailable(String),
    /// The database is busy.
    #[error("the database is busy")]
    Busy,
    /// The user service failed, or its answer breaks the contract.
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
