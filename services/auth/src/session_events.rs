//! The events of sessions.
//!
//! Events must not hold user input: it may be an email, or a password in the wrong field.

use events::{Data, Event};
use proto::events::v1::{
    LoginFailed, LoginFailedReason, LoginMethod, LoginSucceeded, SessionRevoked,
    SessionRevokedReason,
};

use crate::token::Claims;

const SOURCE: &str = env!("CARGO_PKG_NAME");

/// A session was opened. A registration opens a session too and has this event, so that consumers
/// can count all sessions of a user.
pub(crate) fn signed_in(claims: &Claims, method: LoginMethod) -> Event {
    let data = LoginSucceeded {
        user_id: claims.sub.to_string(),
        session_id: claims.jti.to_string(),
        method: method.into(),
    };
    Event::new(SOURCE, Some(claims.sub), Data::LoginSucceeded(data))
}

/// A sign-in failed because the email or the password was wrong. Attempts that a limit refuses have
/// no event, because refusals must be cheap.
pub(crate) fn refused() -> Event {
    let data = LoginFailed {
        reason: LoginFailedReason::WrongCredentials.into(),
    };
    Event::new(SOURCE, None, Data::LoginFailed(data))
}

/// A user closed a session.
pub(crate) fn signed_out(claims: &Claims) -> Event {
    revoked(claims, SessionRevokedReason::Logout)
}

/// A session was closed because the user signed in again with the same browser.
pub(crate) fn replaced(claims: &Claims) -> Event {
    revoked(claims, SessionRevokedReason::Replaced)
}

fn revoked(claims: &Claims, reason: SessionRevokedReason) -> Event {
    let data = SessionRevoked {
        user_id: claims.sub.to_string(),
        session_id: claims.jti.to_string(),
        reason: reason.into(),
    };
    Event::new(SOURCE, Some(claims.sub), Data::SessionRevoked(data))
}
