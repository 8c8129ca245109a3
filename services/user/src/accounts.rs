//! The operations on accounts.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use database::microseconds;
use email::Email;
use events::{Data, Event};
use proto::events::v1::UserRegistered;
use telemetry::{
    Service,
    metrics::{self, Counter},
};
use uuid::Uuid;

use crate::{
    costs::Costs,
    error::Error,
    hasher::Hasher,
    password::Password,
    store::{Store, UserRow},
};

/// An account as callers see it, without the password hash.
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
    costs: Arc<Costs>,
    registrations: Counter<u64>,
}

impl Accounts {
    /// The accounts in a store. Counts them once; later changes update the number.
    pub(crate) async fn open(store: Store, hasher: Hasher) -> Result<Self, database::Error> {
        let count = store.count().await?;
        let costs = Costs::new(hasher.costs(), store.costs().await?);
        let scope = env!("CARGO_PKG_NAME");
        metrics::USER_ACCOUNT_COUNT.observed_up_down_counter(scope, move |accounts| {
            accounts.observe(count.load(Ordering::Relaxed), &[]);
        });
        Ok(Self {
            store,
            hasher,
            costs: Arc::new(costs),
            registrations: metrics::USER_REGISTRATIONS.counter(scope),
        })
    }

    /// Creates an account. If the caller chooses the id, the call is idempotent: a repeated call
    /// returns the account with this id and email.
    pub(crate) async fn create(
        &self,
        id: Option<Uuid>,
        email: Email,
        password: Password,
    ) -> Result<User, Error> {
        // Checked before the expensive hash. The unique index decides if two calls race.
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
        let (user_id, hash) = (row.id.clone(), row.password_hash.clone());
        let (registrations, costs) = (self.registrations.clone(), Arc::clone(&self.costs));
        let created = move || {
            tracing::info!(user.id = %user_id, "user created");
            registrations.add(1, &[]);
            costs.stored(&hash, None);
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

    /// Verifies a password, and returns the account.
    ///
    /// For an unknown email, the password is compared with a decoy hash of the most frequent costs.
    /// So the time does not reveal whether an account exists.
    pub(crate) async fn verify(&self, email: &Email, password: Password) -> Result<User, Error> {
        let row = self.store.by_email(email).await?;
        let hash = row
            .as_ref()
            .map_or_else(|| self.costs.decoy(), |row| row.password_hash.clone());
        match (row, self.hasher.verify(password.clone(), hash).await?) {
            (Some(row), true) => {
                if !self.costs.are_current(&row.password_hash) {
                    self.rehash(&row, password);
                }
                Ok(row.into())
            }
            (Some(_) | None, _) => Err(Error::WrongCredentials),
        }
    }

    /// Replaces a hash by one of the current costs, in the background. If that fails, the old hash
    /// stays, and the next sign-in tries again.
    fn rehash(&self, row: &UserRow, password: Password) {
        let (store, hasher, costs) = (
            self.store.clone(),
            self.hasher.clone(),
            Arc::clone(&self.costs),
        );
        let (id, old) = (row.id.clone(), row.password_hash.clone());
        tokio::spawn(Service::current().run(async move {
            let new = match hasher.rehash(password).await {
                Ok(new) => new,
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "cannot rehash a password"
                    );
                    return;
                }
            };
            match store.replace_hash(id, old.clone(), new.clone()).await {
                Ok(true) => costs.stored(&new, Some(&old)),
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot replace a password hash"
                ),
            }
        }));
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
    use std::path::Path;

    use events::Outbox;

    use super::*;
    use crate::{config::Hashing, costs};

    async fn accounts(path: &Path, hash_memory: u32) -> Accounts {
        let hashing = Hashing {
            hash_memory,
            hash_iterations: 1,
            hash_concurrency: 1,
            hash_queue: 9,
        };
        let store = Store::open(path, Outbox::none()).unwrap();
        let hasher = Hasher::new(&hashing).unwrap();
        Accounts::open(store, hasher).await.unwrap()
    }

    fn password() -> Password {
        Password::parse("correct horse".to_owned()).unwrap()
    }

    async fn create(accounts: &Accounts, count: usize) {
        for index in 0..count {
            let email = format!("{}-{index}@example.com", Uuid::now_v7());
            let email = Email::parse(&email).unwrap();
            accounts.create(None, email, password()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_unknown_email_has_the_most_frequent_costs_also_after_a_restart() {
        const OLD: &str = "$argon2id$v=19$m=8,t=1,p=1";
        const NEW: &str = "$argon2id$v=19$m=16,t=1,p=1";

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("user.db");
        let before = accounts(&path, 8).await;
        assert_eq!(costs::of(&before.costs.decoy()), OLD);
        create(&before, 2).await;
        let after = accounts(&path, 16).await;
        assert_eq!(costs::of(&after.costs.decoy()), OLD);
        create(&after, 1).await;
        assert_eq!(costs::of(&after.costs.decoy()), OLD);
        create(&after, 1).await;
        assert_eq!(costs::of(&after.costs.decoy()), NEW);
        let again = accounts(&path, 8).await;
        create(&again, 1).await;
        assert_eq!(costs::of(&again.costs.decoy()), OLD);
    }

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
