//! What can be done with accounts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use database::microseconds;
use events::{Data, Event};
use proto::events::v1::UserRegistered;
use telemetry::metrics::{self, Counter};
use uuid::Uuid;

use crate::{
    email::Email,
    error::Error,
    hasher::Hasher,
    password::Password,
    store::{Store, UserRow},
};

/// An account as others may see it.
#[derive(derive_more::Debug)]
pub(crate) struct User {
    pub(crate) id: String,
    #[debug("..")]
    pub(crate) email: String,
    pub(crate) created_at: SystemTime,
}

/// How an account is looked up.
#[derive(Debug)]
pub(crate) enum Key {
    Id(Uuid),
    Email(Email),
}

/// All accounts.
#[derive(Debug)]
pub(crate) struct Accounts {
    store: Store,
    hasher: Hasher,
    registrations: Counter<u64>,
}

impl Accounts {
    /// `count` is the number of accounts in the store, now and later.
    pub(crate) fn new(store: Store, hasher: Hasher, count: Arc<AtomicI64>) -> Self {
        let scope = env!("CARGO_PKG_NAME");
        metrics::USER_ACCOUNT_COUNT.observed_up_down_counter(scope, move |accounts| {
            accounts.observe(count.load(Ordering::Relaxed), &[]);
        });
        Self {
            store,
            hasher,
            registrations: metrics::USER_REGISTRATIONS.counter(scope),
        }
    }

    /// Creates an account. With an id of the caller's choice the call can be repeated: an
    /// account of that id and email is the answer to the second one.
    pub(crate) async fn create(
        &self,
        id: Option<Uuid>,
        email: Email,
        password: Password,
    ) -> Result<User, Error> {
        // Before the expensive hash; the unique index decides in the end.
        if let Some(existing) = self.store.by_email(&email).await? {
            return repeated(existing, id);
        }
        let new_id = id.unwrap_or_else(Uuid::now_v7);
        let row = UserRow {
            id: new_id.to_string(),
            email: email.as_str().to_owned(),
            password_hash: self.hasher.hash(password).await?,
            created_at: microseconds(SystemTime::now()),
        };
        let registered = UserRegistered {
            user_id: row.id.clone(),
        };
        let event = Event::new(
            env!("CARGO_PKG_NAME"),
            Some(new_id),
            Data::UserRegistered(registered),
        );
        let (user_id, registrations) = (row.id.clone(), self.registrations.clone());
        let created = move || {
            tracing::info!(user.id = user_id, "user created");
            registrations.add(1, &[]);
        };
        match self.store.insert(row.clone(), event, created).await {
            Ok(()) => Ok(row.into()),
            Err(database::Error::NotUnique) => {
                let existing = self.store.by_email(&email).await?;
                existing.map_or(
                    Err(Error::Invalid(vec![("user_id", "is taken".to_owned())])),
                    |row| repeated(row, id),
                )
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads an account.
    pub(crate) async fn get(&self, key: Key) -> Result<User, Error> {
        let row = match key {
            Key::Id(id) => self.store.by_id(id.to_string()).await?,
            Key::Email(email) => self.store.by_email(&email).await?,
        };
        row.map(User::from).ok_or(Error::NotFound)
    }

    /// Reads the account that an email and a password belong to.
    pub(crate) async fn verify(&self, email: &Email, password: Password) -> Result<User, Error> {
        let row = self.store.by_email(email).await?;
        let hash = row.as_ref().map(|row| row.password_hash.clone());
        match (row, self.hasher.verify(password, hash).await?) {
            (Some(row), true) => Ok(row.into()),
            (Some(_) | None, _) => Err(Error::WrongCredentials),
        }
    }
}

fn repeated(existing: UserRow, id: Option<Uuid>) -> Result<User, Error> {
    if id.is_some_and(|id| id.to_string() == existing.id) {
        Ok(existing.into())
    } else {
        Err(Error::EmailTaken)
    }
}

impl From<UserRow> for User {
    fn from(row: UserRow) -> Self {
        let since_epoch = Duration::from_micros(row.created_at.try_into().unwrap_or_default());
        Self {
            id: row.id,
            email: row.email,
            created_at: UNIX_EPOCH + since_epoch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_email_of_an_account_and_nothing_else() {
        let user = User {
            id: "an id".to_owned(),
            email: "MARKER".to_owned(),
            created_at: UNIX_EPOCH,
        };
        let text = format!("{user:?}");
        assert!(
            text.contains("an id") && text.contains("created_at"),
            "{text}"
        );
        assert!(!text.contains("MARKER"), "{text}");
    }
}
