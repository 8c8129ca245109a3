//! The type of an event.

use std::time::SystemTime;

use opentelemetry::Context;
use prost::{DecodeError, Message as _};
use proto::events::v1::{LoginFailed, LoginSucceeded, SessionRevoked, UserRegistered};
use uuid::Uuid;

/// The topic of events about accounts, written by `user`.
pub const USER_TOPIC: &str = "otelix.user.v1";

/// The topic of events about sessions, written by `auth`.
pub const AUTH_TOPIC: &str = "otelix.auth.v1";

/// All topics.
pub(crate) const TOPICS: &[&str] = &[USER_TOPIC, AUTH_TOPIC];

/// An event: something that has happened in a service.
#[derive(Clone, Debug)]
pub struct Event {
    /// A UUID, version 7. Consumers deduplicate by it.
    pub id: Uuid,
    /// When it happened.
    pub time: SystemTime,
    /// The service where it happened.
    pub source: String,
    /// The user that the event is about; `None` if unknown.
    pub subject: Option<Uuid>,
    /// What has happened.
    pub data: Data,
    /// The trace context. For a new event, it is the context in which the event happened. For a
    /// received event, it is the context of the producer's span.
    pub trace: Context,
}

/// The data of an event: a message of `proto::events::v1`.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// An account was created.
    UserRegistered(UserRegistered),
    /// A session was opened.
    LoginSucceeded(LoginSucceeded),
    /// An attempt to sign in was refused.
    LoginFailed(LoginFailed),
    /// A session was closed before it expired.
    SessionRevoked(SessionRevoked),
}

impl Event {
    /// An event that happens now, within the current span.
    #[must_use]
    pub fn new(source: &str, subject: Option<Uuid>, data: Data) -> Self {
        Self {
            id: Uuid::now_v7(),
            time: SystemTime::now(),
            source: source.to_owned(),
            subject,
            data,
            trace: Context::current(),
        }
    }
}

const USER_REGISTERED: &str = "otelix.user.registered.v1";
const LOGIN_SUCCEEDED: &str = "otelix.auth.login_succeeded.v1";
const LOGIN_FAILED: &str = "otelix.auth.login_failed.v1";
const SESSION_REVOKED: &str = "otelix.auth.session_revoked.v1";

impl Data {
    /// The `type` of the CloudEvent.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UserRegistered(_) => USER_REGISTERED,
            Self::LoginSucceeded(_) => LOGIN_SUCCEEDED,
            Self::LoginFailed(_) => LOGIN_FAILED,
            Self::SessionRevoked(_) => SESSION_REVOKED,
        }
    }

    /// The topic of the event.
    #[must_use]
    pub fn topic(&self) -> &'static str {
        match self {
            Self::UserRegistered(_) => USER_TOPIC,
            Self::LoginSucceeded(_) | Self::LoginFailed(_) | Self::SessionRevoked(_) => AUTH_TOPIC,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::UserRegistered(message) => message.encode_to_vec(),
            Self::LoginSucceeded(message) => message.encode_to_vec(),
            Self::LoginFailed(message) => message.encode_to_vec(),
            Self::SessionRevoked(message) => message.encode_to_vec(),
        }
    }

    /// Decodes the payload of an event of this type; `None` if the type is unknown.
    pub(crate) fn decode(kind: &str, payload: &[u8]) -> Result<Option<Self>, DecodeError> {
        let data = match kind {
            USER_REGISTERED => UserRegistered::decode(payload).map(Self::UserRegistered),
            LOGIN_SUCCEEDED => LoginSucceeded::decode(payload).map(Self::LoginSucceeded),
            LOGIN_FAILED => LoginFailed::decode(payload).map(Self::LoginFailed),
            SESSION_REVOKED => SessionRevoked::decode(payload).map(Self::SessionRevoked),
            _ => return Ok(None),
        };
        data.map(Some)
    }
}
