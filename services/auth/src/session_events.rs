//! The events of sessions.
//!
//! What must not happen here: anything of what a person typed, which may be an email or a
//! password in the wrong field.

use events::{Data, Event};
use proto::events::v1::{
    LoginFailed, LoginFailedReason, LoginMethod, LoginSucceeded, SessionRevoked,
    SessionRevokedReason,
};

use crate::token::Claims;

const SOURCE: &str = env!("CARGO_PKG_NAME");

/// A session was opened. One that comes with a new account is a sign-in too: whoever counts the
/// sessions of a user has to hear of all of them.
pub(crate) fn signed_in(claims: &Claims, method: LoginMethod) -> Event {
    let data = LoginSucceeded {
        user_id: claims.sub.to_string(),
        session_id: claims.jti.to_string(),
        method: method.into(),
    };
    Event::new(SOURCE, Some(claims.sub), Data::LoginSucceeded(data))
}

/// Nobody was signed in, as the email or the password was wrong. Attempts that were not made, as
/// too many had failed before, are no events: it must cost nothing to refuse them.
pub(crate) fn refused() -> Event {
    let data = LoginFailed {
        reason: LoginFailedReason::WrongCredentials.into(),
    };
    Event::new(SOURCE, None, Data::LoginFailed(data))
}

/// A session was closed by the person.
pub(crate) fn signed_out(claims: &Claims) -> Event {
    revoked(claims, SessionRevokedReason::Logout)
}

/// A session was closed because the person signed in again with the same browser.
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
