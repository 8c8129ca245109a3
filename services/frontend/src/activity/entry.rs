//! An event as the Activity page shows it. It holds no email, because the page is public.

use std::time::SystemTime;

use opentelemetry::trace::TraceId;
use uuid::Uuid;

/// An event.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The id of the event. It is a UUID of version 7, so ids are in the order of time.
    pub id: Uuid,
    /// When it happened.
    pub time: SystemTime,
    /// What happened.
    pub kind: Kind,
    /// The account that the event is about, if it may be shown.
    pub account: Option<Uuid>,
    /// The trace of the request that caused the event, if there is one.
    pub trace: Option<TraceId>,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// An account was created.
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
