//! The database of accounts.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use database::{Database, OpenError, Statement};
use diesel::{
    dsl::{count_star, sql},
    prelude::*,
    sql_types::Text,
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use email::Email;
use events::{Event, Outbox, Written};

const MIGRATIONS: &[EmbeddedMigrations] = &[embed_migrations!(), events::MIGRATIONS];

const INSERT: Statement = Statement::new("INSERT users");
const SELECT: Statement = Statement::new("SELECT users");
const UPDATE: Statement = Statement::new("UPDATE users");

/// SQL for the costs of a hash, which are the start of its PHC string. It removes the output, the
/// salt and the `$` before each.
const COSTS: &str = "rtrim(rtrim(rtrim(rtrim(password_hash, \
    'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'), '$'), \
    'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'), '$')";

diesel::table! {
    users (id) {
        id -> Text,
        email -> Text,
        password_hash -> Text,
        created_at -> BigInt,
    }
}

/// A row of `users`.
#[derive(Clone, HasQuery, Insertable)]
#[diesel(table_name = users)]
pub(crate) struct UserRow {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) password_hash: String,
    /// Microseconds since the Unix epoch.
    pub(crate) created_at: i64,
}

/// The table of accounts.
///
/// Queries filter by unique columns and have no `LIMIT`: SQLite prepares a statement again for each
/// bound limit.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: Database,
    outbox: Outbox,
    count: Arc<AtomicI64>,
}

impl Store {
    /// Opens the database file, and creates or migrates it.
    pub(crate) fn open(path: &Path, outbox: Outbox) -> Result<Self, OpenError> {
        Ok(Self {
            database: Database::open(path, MIGRATIONS)?,
            outbox,
            count: Arc::default(),
        })
    }

    /// The database, which also holds the outbox.
    pub(crate) fn database(&self) -> Database {
        self.database.clone()
    }

    /// Counts the accounts. Returns the number, which later changes update without a query.
    pub(crate) async fn count(&self) -> Result<Arc<AtomicI64>, database::Error> {
        let count = self
            .database
            .read(SELECT, |connection| {
                users::table.count().get_result(connection)
            })
            .await?;
        self.count.store(count, Ordering::Relaxed);
        Ok(Arc::clone(&self.count))
    }

    /// The number of hashes by costs.
    pub(crate) async fn costs(&self) -> Result<Vec<(String, i64)>, database::Error> {
        self.database
            .read(SELECT, |connection| {
                users::table
                    .group_by(sql::<Text>(COSTS))
                    .select((sql::<Text>(COSTS), count_star()))
                    .load(connection)
            })
            .await
    }

    /// Replaces the hash `old`. Returns false if it was replaced or removed in the meantime.
    pub(crate) async fn replace_hash(
        &self,
        id: String,
        old: String,
        new: String,
    ) -> Result<bool, database::Error> {
        self.database
            .write(UPDATE, move |connection| {
                diesel::update(users::table.find(id))
                    .filter(users::password_hash.eq(old))
                    .set(users::password_hash.eq(new))
                    .execute(connection)
            })
            .await
            .map(|rows| rows > 0)
    }

    /// Inserts an account and its event. Fails with `NotUnique` if the email or the id is taken.
    /// `created` is called after the commit, even if the caller has gone.
    pub(crate) async fn insert(
        &self,
        user: UserRow,
        event: Event,
        created: impl FnOnce() + Send + 'static,
    ) -> Result<(), database::Error> {
        let (outbox, count) = (self.outbox.clone(), Arc::clone(&self.count));
        let work = move |connection: &mut SqliteConnection| {
            diesel::insert_into(users::table)
                .values(&user)
                .execute(connection)?;
            outbox.insert(connection, &event)
        };
        let committed = move |written: Written| {
            written.committed();
            count.fetch_add(1, Ordering::Relaxed);
            created();
        };
        self.database.write_then(INSERT, work, committed).await
    }

    pub(crate) async fn by_id(&self, id: String) -> Result<Option<UserRow>, database::Error> {
        self.database
            .find(SELECT, move |connection| {
                UserRow::query()
                    .filter(users::id.eq(id))
                    .get_result(connection)
                    .optional()
            })
            .await
    }

    /// The account of an email. An exact match comes first, because earlier versions stored emails
    /// as they were typed. Otherwise it is the account with the normalised email.
    pub(crate) async fn by_email(&self, email: &Email) -> Result<Option<UserRow>, database::Error> {
        let (plain, normal) = (email.as_plain().to_owned(), email.as_str().to_owned());
        self.database
            .find(SELECT, move |connection| {
                let mut rows = UserRow::query()
                    .filter(users::email.eq(&plain).or(users::email.eq(normal)))
                    .load(connection)?;
                rows.sort_by_key(|row| row.email != plain);
                Ok(rows.into_iter().next())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use diesel::connection::SimpleConnection as _;
    use events::Data;
    use proto::events::v1::UserRegistered;
    use uuid::Uuid;

    use super::*;

    async fn insert(store: &Store) -> (Result<(), database::Error>, bool) {
        let id = Uuid::now_v7();
        let row = UserRow {
            id: id.to_string(),
            email: format!("{id}@example.com"),
            password_hash: String::new(),
            created_at: 0,
        };
        let registered = UserRegistered {
            user_id: row.id.clone(),
        };
        let event = Event::new("user", Some(id), Data::UserRegistered(registered));
        let is_created = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_created);
        let created = move || flag.store(true, Ordering::Relaxed);
        let outcome = store.insert(row, event, created).await;
        (outcome, is_created.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn an_account_counts_once_it_is_committed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("user.db"), Outbox::none()).unwrap();
        let count = store.count().await.unwrap();
        let (outcome, is_created) = insert(&store).await;
        outcome.unwrap();
        assert!(is_created);
        assert_eq!(count.load(Ordering::Relaxed), 1);

        // SQLite checks deferred constraints at COMMIT.
        let break_commits = |connection: &mut SqliteConnection| {
            connection.batch_execute(
                "CREATE TABLE owner (id INTEGER PRIMARY KEY);
                 CREATE TABLE owned (id INTEGER REFERENCES owner DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER broken AFTER INSERT ON users
                     BEGIN INSERT INTO owned VALUES (1); END;",
            )
        };
        store.database.write(INSERT, break_commits).await.unwrap();
        let (outcome, is_created) = insert(&store).await;
        assert!(outcome.is_err() && !is_created);
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }
}
