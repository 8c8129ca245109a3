//! What can be done with sessions.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ipnet::Ipv6Net;
use proto::{events::v1::LoginMethod, user::v1::User};
use uuid::Uuid;

use crate::{
    config::Limits,
    error::Error,
    limiter::Limiter,
    metrics::{Metrics, Scope},
    session_events,
    store::Store,
    token::{Claims, Keys},
    users::Users,
};

/// The time in which failed sign-ins are counted.
const MINUTE: Duration = Duration::from_secs(60);

/// The time in which registrations are counted: people register once, and each attempt tells
/// whether an email has an account.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A session that was just opened.
pub(crate) struct Opened {
    pub(crate) token: String,
    pub(crate) expires_at: SystemTime,
    pub(crate) user: User,
}

/// All sessions.
pub(crate) struct Sessions {
    keys: Keys,
    store: Store,
    users: Users,
    failures_by_account: Limiter<String>,
    failures_by_address: Limiter<IpAddr>,
    registrations_by_address: Limiter<IpAddr>,
    metrics: Metrics,
}

impl Sessions {
    pub(crate) fn new(
        keys: Keys,
        store: Store,
        users: Users,
        limits: &Limits,
        metrics: Metrics,
    ) -> Self {
        Self {
            keys,
            store,
            users,
            failures_by_account: Limiter::new(limits.failed_logins_per_account, MINUTE),
            failures_by_address: Limiter::new(limits.failed_logins_per_address, MINUTE),
            registrations_by_address: Limiter::new(limits.registrations_per_address, HOUR),
            metrics,
        }
    }

    /// Creates an account and opens its first session, unless too many have been tried from the
    /// address.
    ///
    /// Whether the email is taken shows in the answer, and cannot be hidden without mail to
    /// confirm an address; so what is limited is every attempt, successful or not.
    pub(crate) async fn register(
        &self,
        email: String,
        password: String,
        address: Option<IpAddr>,
    ) -> Result<Opened, Error> {
        let attempt = address
            .map(|address| {
                self.registrations_by_address
                    .attempt_at_once(&network(address))
                    .map_err(|delay| self.too_many(Scope::Registration, Some(address), delay))
            })
            .transpose()?;
        let outcome = self.users.create(email, password).await;
        // Malformed input was neither compared with the accounts nor hashed.
        if let (Err(Error::Invalid(_)), Some(attempt)) = (&outcome, attempt) {
            attempt.forgive();
        }
        self.open(outcome?, LoginMethod::Registration).await
    }

    /// Opens a session for an email and a password, unless too many attempts have failed for
    /// the account or from the address.
    pub(crate) async fn login(
        &self,
        email: String,
        password: String,
        address: Option<IpAddr>,
    ) -> Result<Opened, Error> {
        let by_address = match address {
            Some(address) => {
                let attempt = self.failures_by_address.attempt(network(address)).await;
                Some(attempt.map_err(|delay| self.too_many(Scope::Address, Some(address), delay))?)
            }
            None => None,
        };
        // A refusal here counts against the address too: otherwise one that tries many passwords
        // of an account could go on for free.
        let by_account = self
            .failures_by_account
            .attempt(account(&email))
            .await
            .map_err(|delay| self.too_many(Scope::Account, address, delay))?;
        let outcome = self.users.verify(email, password).await;
        if matches!(outcome, Err(Error::WrongCredentials)) {
            self.store.tell(&session_events::refused());
        } else {
            by_account.forgive();
            if let Some(attempt) = by_address {
                attempt.forgive();
            }
        }
        self.open(outcome?, LoginMethod::Password).await
    }

    /// Reads the account of a session, and when the session ends.
    pub(crate) async fn me(&self, token: &str) -> Result<(User, SystemTime), Error> {
        let outcome = self.account_of(token).await;
        outcome.inspect_err(|error| self.metrics.failed(error))
    }

    /// Revokes a session.
    pub(crate) async fn logout(&self, token: &str) -> Result<(), Error> {
        let claims = self.keys.verify(token);
        let claims = claims.inspect_err(|error| self.metrics.failed(error))?;
        let event = session_events::signed_out(&claims);
        let (user_id, metrics) = (claims.sub, self.metrics.clone());
        let closed = move || {
            metrics.signed_out();
            tracing::info!(user.id = %user_id, "user signed out");
        };
        Ok(self.store.revoke(claims.jti, event, closed).await?)
    }

    async fn account_of(&self, token: &str) -> Result<(User, SystemTime), Error> {
        let claims = self.keys.verify(token)?;
        // Both at once; whether the session is open decides first.
        let (open, user) = tokio::join!(self.store.is_open(claims.jti), self.users.get(claims.sub));
        if !open? {
            return Err(Error::InvalidSession("revoked"));
        }
        let user = user?.ok_or(Error::InvalidSession("no such user"))?;
        Ok((user, expires_at(&claims)))
    }

    async fn open(&self, user: User, method: LoginMethod) -> Result<Opened, Error> {
        let id = Uuid::try_parse(&user.id).map_err(|_source| {
            Error::Users(Box::new(tonic::Status::internal(
                "a user id that is no UUID",
            )))
        })?;
        let (token, claims) = self.keys.sign(id)?;
        let event = session_events::signed_in(&claims, method);
        let metrics = self.metrics.clone();
        let opened = move || {
            metrics.opened();
            match method {
                LoginMethod::Registration => tracing::info!(user.id = %id, "user registered"),
                LoginMethod::Password | LoginMethod::Unspecified => {
                    tracing::info!(user.id = %id, "user signed in");
                }
            }
        };
        self.store.insert(&claims, event, opened).await?;
        Ok(Opened {
            token,
            expires_at: expires_at(&claims),
            user,
        })
    }

    fn too_many(&self, scope: Scope, address: Option<IpAddr>, delay: Duration) -> Error {
        self.metrics.limited(scope);
        Error::TooMany {
            scope,
            address,
            delay,
        }
    }
}

fn expires_at(claims: &Claims) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(claims.exp)
}

/// Accounts are counted by what was typed, known or not, in the letter case that `user`
/// compares; a prefix is enough, and bounds the memory.
fn account(email: &str) -> String {
    email
        .trim()
        .chars()
        .take(254)
        .collect::<String>()
        .to_lowercase()
}

/// Whoever has one IPv6 address has a network of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => Ipv6Net::new(address, 64)
            .map_or(address, |network| network.network())
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letter_case_does_not_make_another_account() {
        assert_eq!(account(" Ann@Example.com"), account("ann@example.COM"));
        assert!(account(&"x".repeat(1 << 20)).len() <= 254);
    }

    #[test]
    fn an_ipv6_network_counts_as_one() {
        let address = |text: &str| network(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }
}
