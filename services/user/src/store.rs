//! Accounts in the database.

use std::path::Path;

use database::{Database, OpenError};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::email::Email;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

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
/// Rows are looked up by unique columns, so without a `LIMIT`: SQLite would prepare a statement
/// anew each time a bound limit is set.
#[derive(Clone, Debug)]
pub(crate) struct Store(Database);

impl Store {
    /// Opens the database file, and creates or migrates it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Database::open(path, &MIGRATIONS).map(Self)
    }

    /// Adds an account; `NotUnique` when its email or its id is taken.
    pub(crate) async fn insert(&self, user: UserRow) -> Result<(), database::Error> {
        self.0
            .write(move |connection| {
                diesel::insert_into(users::table)
                    .values(&user)
                    .execute(connection)
                    .map(drop)
            })
            .await
    }

    pub(crate) async fn by_id(&self, id: String) -> Result<Option<UserRow>, database::Error> {
        self.0
            .read(move |connection| {
                UserRow::query()
                    .filter(users::id.eq(id))
                    .get_result(connection)
                    .optional()
            })
            .await
    }

    pub(crate) async fn by_email(&self, email: &Email) -> Result<Option<UserRow>, database::Error> {
        let email = email.as_str().to_owned();
        self.0
            .read(move |connection| {
                UserRow::query()
                    .filter(users::email.eq(email))
                    .get_result(connection)
                    .optional()
            })
            .await
    }
}
