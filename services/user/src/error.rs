//! The errors of requests for accounts.

use crate::hasher::HashError;

/// Why a request failed, grouped by what the caller can do. Independent of the transport.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields are missing or malformed: their names, each with a message for the user.
    #[error("the request is invalid")]
    Invalid(Vec<(&'static str, String)>),
    /// No account has this id or email.
    #[error("no such user")]
    NotFound,
    /// The email belongs to another account.
    #[error("the email is taken")]
    EmailTaken,
    /// Unknown email or wrong password. The answer must not tell which.
    #[error("wrong email or password")]
    WrongCredentials,
    /// Too many passwords wait to be hashed.
    #[error("too many passwords wait to be hashed")]
    Overloaded,
    /// The database is busy.
    #[error("the database is busy")]
    Busy,
    /// The database failed.
    #[error("the user store failed")]
    Store(#[source] database::Error),
    /// A password could not be hashed, or a stored hash could not be read.
    #[error("the password hash failed")]
    Hash(#[source] HashError),
}

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        match error {
            database::Error::Busy => Self::Busy,
            database::Error::NotUnique | database::Error::Failed(_) => Self::Store(error),
        }
    }
}

impl From<HashError> for Error {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Overloaded => Self::Overloaded,
            HashError::Malformed(_) | HashError::Failed(_) => Self::Hash(error),
        }
    }
}
