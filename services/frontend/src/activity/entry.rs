//! What is known of something that happened. No email: the page is for everybody.

use std::time::SystemTime;

use opentelemetry::trace::TraceId;
use uuid::Uuid;

/// Something that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The event's own id, of version 7: in the order of ids, what happened first comes first.
    pub id: Uuid,
    /// When it happened.
    pub time: SystemTime,
    /// What happened.
    pub kind: Kind,
    /// Whose account it is about, where that may be told.
    pub account: Option<Uuid>,
    /// The trace of what caused it, if it has one.
    pub trace: Option<TraceId>,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// An account was made.
    Registered,
    /// A session was opened by email and password.
    SignedIn,
    /// A session was opened for a new account.
    SignedInByRegistering,
    /// A sign-in was refused: an unknown email or a wrong password.
    WrongCredentials,
    /// A sign-in was refused for another reason.
    SignInFailed,
    /// A session was ended by its owner.
    SignedOut,
    /// A session was ended for another reason.
    SessionRevoked,
}
