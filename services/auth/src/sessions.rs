//! The operations on sessions.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chassis::network;
use email::Email;
use ipnet::IpNet;
use proto::{events::v1::LoginMethod, user::v1::User};
use uuid::Uuid;

use crate::{
    config::AttemptLimits,
    error::Error,
    limiter::Limiter,
    metrics::Metrics,
    scope::Scope,
    session_events,
    store::{Network, Store},
    token::{Claims, Keys},
    users::Users,
};

/// The period of the limits on failed sign-ins.
const MINUTE: Duration = Duration::from_secs(60);

/// The period of the limit on registrations. It is long, because users register once, and each
/// attempt reveals whether an email has an account.
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
    /// Each known network of an account has its own bucket, and all other networks share one. So
    /// attackers who guess passwords do not lock out the owner.
    failures_by_account: Limiter<(String, Option<IpNet>)>,
    failures_by_address: Limiter<IpAddr>,
    registrations_by_address: Limiter<IpAddr>,
    metrics: Metrics,
}

impl Sessions {
    pub(crate) fn new(
        keys: Keys,
        store: Store,
        users: Users,
        limits: &AttemptLimits,
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

    /// Creates an account and opens its first session, unless the address has reached the limit of
    /// registrations. Also revokes the session of the token `replaced`, if that token is valid.
    ///
    /// The answer reveals whether an email is taken. Only a confirmation by mail could hide that.
    /// So every attempt counts, successful or not.
    pub(crate) async fn register(
        &self,
        email: String,
        password: String,
        address: Option<IpAddr>,
        replaced: &str,
    ) -> Result<Opened, Error> {
        let mut attempt = address
            .map(|address| {
                self.registrations_by_address
                    .attempt_at_once(&network::client(address))
                    .map_err(|delay| self.too_many(Scope::Registration, Some(address), delay))
            })
            .transpose()?;
        let network = self.network(&account(&email), address)?;
        // Counts at once, because a client that cancels the call may have created the account.
        if let Some(attempt) = &mut attempt {
            attempt.count();
        }
        let outcome = self.users.create(email, password).await;
        // Malformed input is neither looked up nor hashed, so it does not count.
        if let (Err(Error::Invalid(_)), Some(attempt)) = (&outcome, attempt) {
            attempt.forgive();
        }
        self.open(outcome?, LoginMethod::Registration, network, replaced)
            .await
    }

    /// Opens a session for an email and a password, unless too many attempts have failed for the
    /// account or from the address. Also revokes the session of the token `replaced`, if that token
    /// is valid.
    pub(crate) async fn login(
        &self,
        email: String,
        password: String,
        address: Option<IpAddr>,
        replaced: &str,
    ) -> Result<Opened, Error> {
        let mut by_address = match address {
            Some(address) => {
                let attempt = self
                    .failures_by_address
                    .attempt(network::client(address))
                    .await;
                Some(attempt.map_err(|delay| self.too_many(Scope::Address, Some(address), delay))?)
            }
            None => None,
        };
        let account = account(&email);
        let network = self.network(&account, address)?;
        let key = (account.clone(), self.known(&account, address).await?);
        // An attempt that is refused here does not count. If it did, the limit of the address could
        // refuse an owner whose account is under attack.
        let by_account = self.failures_by_account.attempt(key).await;
        let mut by_account =
            by_account.map_err(|delay| self.too_many(Scope::Account, address, delay))?;
        let (users, store) = (self.users.clone(), self.store.clone());
        // Continues if the client cancels the call, and counts by its outcome. Otherwise cancelled
        // calls would either all count or let a client guess passwords without a limit.
        let check = telemetry::spawn(async move {
            let outcome = users.verify(email, password).await;
            if matches!(outcome, Err(Error::WrongCredentials)) {
                store.tell(&session_events::refused());
                by_account.count();
                if let Some(attempt) = &mut by_address {
                    attempt.count();
                }
            }
            outcome
        });
        self.open(check.await?, LoginMethod::Password, network, replaced)
            .await
    }

    /// Returns the account of a session, and when the session expires.
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
        // Both run concurrently. If the session is not open, the answer does not wait for the user
        // service.
        let open = async {
            let open = self.store.is_open(claims.jti).await?;
            open.then_some(()).ok_or(Error::InvalidSession("revoked"))
        };
        let user = async { Ok(self.users.get(claims.sub).await) };
        let ((), user) = tokio::try_join!(open, user)?;
        let user = user?.ok_or(Error::InvalidSession("no such user"))?;
        Ok((user, expires_at(&claims)))
    }

    /// The network of an address, if it is a known network of the account. Known and unknown emails
    /// need the same query, so the time does not reveal which emails exist.
    async fn known(&self, account: &str, address: Option<IpAddr>) -> Result<Option<IpNet>, Error> {
        let Some(network) = address.map(network::nearby) else {
            return Ok(None);
        };
        let ids = self.keys.hashes(&[account, &network.to_string()])?;
        Ok(self.store.is_known(ids).await?.then_some(network))
    }

    /// The network to store after a sign-in from an address.
    fn network(&self, account: &str, address: Option<IpAddr>) -> Result<Option<Network>, Error> {
        address
            .map(|address| {
                Ok(Network {
                    id: self
                        .keys
                        .hash(&[account, &network::nearby(address).to_string()])?,
                    account: self.keys.hash(&[account, ""])?,
                })
            })
            .transpose()
    }

    async fn open(
        &self,
        user: User,
        method: LoginMethod,
        network: Option<Network>,
        replaced: &str,
    ) -> Result<Opened, Error> {
        let id = Uuid::try_parse(&user.id).map_err(|_source| {
            Error::Users(Box::new(tonic::Status::internal(
                "the user id is not a UUID",
            )))
        })?;
        // The browser forgets the old token, so the old session could not be revoked later.
        let replaced = self.keys.verify(replaced).ok();
        let replaced = replaced.map(|old| (old.jti, session_events::replaced(&old)));
        let (token, claims) = self.keys.sign(id)?;
        let event = session_events::signed_in(&claims, method);
        let metrics = self.metrics.clone();
        let opened = move |has_replaced| {
            if has_replaced {
                metrics.replaced();
            }
            metrics.opened();
            match method {
                LoginMethod::Registration => tracing::info!(user.id = %id, "user registered"),
                LoginMethod::Password | LoginMethod::Unspecified => {
                    tracing::info!(user.id = %id, "user signed in");
                }
            }
        };
        self.store
            .insert(&claims, event, network, replaced, opened)
            .await?;
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

/// The key of an account in the limits: the email in the form that `user` compares. The account
/// need not exist. All malformed emails share one key, because `user` refuses them without work.
fn account(email: &str) -> String {
    Email::parse(email).map_or_else(|_| String::new(), |email| email.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_an_email_have_one_key() {
        for spelling in [
            " Ann@Ex\u{e4}mple.de",
            "ann@exa\u{308}mple.DE",
            "ann@xn--exmple-cua.de",
        ] {
            assert_eq!(account(spelling), "ann@ex\u{e4}mple.de");
        }
        assert_eq!(account("not an email"), "");
    }
}
