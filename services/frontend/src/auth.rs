//! The client of the auth service. Only this module maps gRPC statuses to errors.

use std::time::{Duration, SystemTime};

use chassis::client::{Addresses, Channel};
use proto::{
    auth::v1::{
        LoginRequest, LogoutRequest, MeRequest, MeResponse, RegisterRequest,
        auth_service_client::AuthServiceClient,
    },
    user::v1::User,
};
use telemetry::{
    KeyValue, grpc,
    metrics::{self, Counter, Metric},
    names,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::session::Token;

/// Deadline of a call to the auth service.
const DEADLINE: Duration = Duration::from_secs(5);

/// Delay before the next attempt, if the auth service does not send one.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Why a call failed, grouped by what the user can do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A field is missing or malformed.
    #[error("a field is missing or malformed")]
    Invalid(Vec<Violation>),
    /// A wrong email or password, or a token that is not valid, or no longer valid.
    #[error("not accepted")]
    Unauthenticated,
    /// The email belongs to an account.
    #[error("the email is taken")]
    EmailTaken,
    /// Too many attempts.
    #[error("too many attempts")]
    TooMany {
        /// The delay before the next attempt.
        retry_after: Duration,
    },
    /// The auth service, or a service behind it, does not answer.
    #[error("a service is unavailable")]
    Unavailable(#[source] Box<Status>),
    /// Anything else.
    #[error("the auth service failed")]
    Internal(#[source] Box<Status>),
}

/// An invalid field and its error message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Violation {
    pub(crate) field: String,
    pub(crate) description: String,
}

/// The input of the forms to sign in and to register.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) email: String,
    pub(crate) password: String,
}

/// A session that was just opened.
pub(crate) struct OpenSession {
    pub(crate) token: String,
    pub(crate) expires_at: Option<SystemTime>,
}

/// An account, as shown to its owner.
#[derive(Clone, derive_more::Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    #[debug("..")]
    pub(crate) email: String,
    pub(crate) created_at: Option<SystemTime>,
    pub(crate) session_expires_at: Option<SystemTime>,
}

/// A client of the auth service.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    channel: Channel,
    client: AuthServiceClient<Channel>,
    registrations: Tally,
    logins: Tally,
    reads: Tally,
}

/// Counters of the successes and failures of one method.
#[derive(Clone, Debug)]
struct Tally {
    success: Counter<u64>,
    failed: Counter<u64>,
}

impl Auth {
    /// A client for the instances at these addresses. It connects at the first call.
    pub(crate) fn new(addresses: &Addresses) -> Self {
        let channel = Channel::new(addresses, proto::METHODS);
        Self {
            client: AuthServiceClient::new(channel.clone()),
            channel,
            registrations: Tally::new(metrics::SUCCESS_REGISTER, metrics::FAILED_REGISTER),
            logins: Tally::new(metrics::SUCCESS_LOGIN, metrics::FAILED_LOGIN),
            reads: Tally::new(metrics::SUCCESS_ME, metrics::FAILED_ME),
        }
    }

    /// Creates an account and opens its first session. This revokes the session `replaced`.
    pub(crate) async fn register(
        &self,
        typed: Credentials,
        client_address: String,
        replaced: Option<Token>,
    ) -> Result<OpenSession, Error> {
        let message = RegisterRequest {
            email: typed.email,
            password: typed.password,
            client_address,
            replaced_token: replaced_token(replaced),
        };
        // No retry: the call may have succeeded although its answer was lost.
        let answer = self.channel.once(DEADLINE, |attempt| {
            let mut client = self.client.clone();
            let request = attempt.request(message.clone());
            async move { client.register(request).await }
        });
        let answer = answer.await;
        self.registrations.count(
            answer
                .map_err(Error::from)
                .and_then(|answer| open_session(answer.into_inner().session)),
        )
    }

    /// Opens a session. This revokes the session `replaced`.
    pub(crate) async fn login(
        &self,
        typed: Credentials,
        client_address: String,
        replaced: Option<Token>,
    ) -> Result<OpenSession, Error> {
        let message = LoginRequest {
            email: typed.email,
            password: typed.password,
            client_address,
            replaced_token: replaced_token(replaced),
        };
        // No retry: each attempt counts against the limit.
        let answer = self.channel.once(DEADLINE, |attempt| {
            let mut client = self.client.clone();
            let request = attempt.request(message.clone());
            async move { client.login(request).await }
        });
        let answer = answer.await;
        self.logins.count(
            answer
                .map_err(Error::from)
                .and_then(|answer| open_session(answer.into_inner().session)),
        )
    }

    /// Reads the account that a session belongs to.
    pub(crate) async fn me(&self, token: &Token) -> Result<Account, Error> {
        let answer = self.channel.retry(DEADLINE, |attempt| {
            let mut client = self.client.clone();
            let token = token.as_str().to_owned();
            let request = attempt.request(MeRequest { token });
            async move { client.me(request).await }
        });
        let answer = answer.await;
        self.reads.count(
            answer
                .map_err(Error::from)
                .and_then(|answer| account(answer.into_inner())),
        )
    }

    /// Revokes a session.
    pub(crate) async fn logout(&self, token: &Token) -> Result<(), Error> {
        let answer = self.channel.retry(DEADLINE, |attempt| {
            let mut client = self.client.clone();
            let token = token.as_str().to_owned();
            let request = attempt.request(LogoutRequest { token });
            async move { client.logout(request).await }
        });
        answer.await?;
        Ok(())
    }
}

impl Tally {
    fn new(success: Metric, failed: Metric) -> Self {
        let scope = env!("CARGO_PKG_NAME");
        Self {
            success: success.counter(scope),
            failed: failed.counter(scope),
        }
    }

    /// Counts an outcome and passes it on.
    fn count<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        match &outcome {
            Ok(_) => self.success.add(1, &[]),
            Err(error) => {
                let code = grpc::code_name(error.code());
                let code = KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, code);
                self.failed.add(1, &[code]);
            }
        }
        outcome
    }
}

impl Error {
    fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::EmailTaken => Code::AlreadyExists,
            Self::TooMany { .. } => Code::ResourceExhausted,
            Self::Unavailable(status) | Self::Internal(status) => status.code(),
        }
    }
}

fn replaced_token(token: Option<Token>) -> String {
    token.map_or_else(String::new, |token| token.as_str().to_owned())
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::InvalidArgument => Self::Invalid(violations(&status)),
            Code::Unauthenticated => Self::Unauthenticated,
            Code::AlreadyExists => Self::EmailTaken,
            Code::ResourceExhausted => Self::TooMany {
                retry_after: status
                    .get_details_retry_info()
                    .and_then(|info| info.retry_delay)
                    .unwrap_or(RETRY_AFTER),
            },
            Code::Unavailable => Self::Unavailable(Box::new(status)),
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::NotFound
            | Code::PermissionDenied
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::Internal(Box::new(status)),
        }
    }
}

fn violations(status: &Status) -> Vec<Violation> {
    status
        .get_details_bad_request()
        .map(|details| details.field_violations)
        .unwrap_or_default()
        .into_iter()
        .map(|violation| Violation {
            field: violation.field,
            description: violation.description,
        })
        .collect()
}

fn account(answer: MeResponse) -> Result<Account, Error> {
    let User {
        id,
        email,
        created_at,
    } = answer.user.ok_or_else(|| incomplete("user"))?;
    Ok(Account {
        id,
        email,
        created_at: created_at.and_then(time),
        session_expires_at: answer.expires_at.and_then(time),
    })
}

fn open_session(session: Option<proto::auth::v1::Session>) -> Result<OpenSession, Error> {
    let session = session.ok_or_else(|| incomplete("session"))?;
    Ok(OpenSession {
        token: session.token,
        expires_at: session.expires_at.and_then(time),
    })
}

/// The error of an answer that breaks the contract.
pub(crate) fn incomplete(part: &str) -> Error {
    Error::Internal(Box::new(Status::internal(format!(
        "the answer has no usable {part}"
    ))))
}

fn time(timestamp: prost_types::Timestamp) -> Option<SystemTime> {
    timestamp.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_email_of_an_account_and_nothing_else() {
        let account = Account {
            id: "an id".to_owned(),
            email: "MARKER".to_owned(),
            created_at: None,
            session_expires_at: None,
        };
        let text = format!("{account:?}");
        assert!(
            text.contains("an id") && text.contains("email: .."),
            "{text}"
        );
        assert!(!text.contains("MARKER"), "{text}");
    }

    #[test]
    fn violations_keep_their_field() {
        let status = chassis::status::invalid([("email", "is empty".to_owned())]);
        let Error::Invalid(violations) = Error::from(status) else {
            panic!("not invalid");
        };
        assert_eq!(violations[0].field, "email");
        assert_eq!(violations[0].description, "is empty");
    }

    #[test]
    fn the_delay_comes_from_the_service() {
        let delay = Duration::from_secs(7);
        let status = chassis::status::retry_later(Code::ResourceExhausted, "x", delay);
        assert!(
            matches!(Error::from(status), Error::TooMany { retry_after } if retry_after == delay)
        );
        let status = Status::resource_exhausted("x");
        assert!(
            matches!(Error::from(status), Error::TooMany { retry_after } if retry_after == RETRY_AFTER)
        );
    }
}
