//! Sessions in the database.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use database::{Database, OpenError};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use uuid::Uuid;

use crate::token::{Claims, seconds};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

/// How often expired sessions are removed.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(60 * 60);

diesel::table! {
    sessions (id) {
        id -> Text,
        user_id -> Text,
        expires_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}

/// The table of sessions.
#[derive(Clone, Debug)]
pub(crate) struct Store(Database);

impl Store {
    /// Opens the database file, and creates or migrates it.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Database::open(path, &MIGRATIONS).map(Self)
    }

    /// Adds an open session.
    pub(crate) async fn insert(&self, claims: &Claims) -> Result<(), database::Error> {
        let row = (
            sessions::id.eq(claims.jti.to_string()),
            sessions::user_id.eq(claims.sub.to_string()),
            sessions::expires_at.eq(to_i64(claims.exp)),
        );
        self.0
            .write(move |connection| {
                diesel::insert_into(sessions::table)
                    .values(row)
                    .execute(connection)
                    .map(drop)
            })
            .await
    }

    /// Whether a session was opened here and has not been revoked.
    pub(crate) async fn is_open(&self, id: Uuid) -> Result<bool, database::Error> {
        let id = id.to_string();
        self.0
            .read(move |connection| {
                let revoked_at: Option<Option<i64>> = sessions::table
                    .find(id)
                    .select(sessions::revoked_at)
                    .get_result(connection)
                    .optional()?;
                Ok(matches!(revoked_at, Some(None)))
            })
            .await
    }

    /// Revokes a session; one that is revoked already stays as it is.
    pub(crate) async fn revoke(&self, id: Uuid) -> Result<(), database::Error> {
        let id = id.to_string();
        let now = to_i64(seconds(SystemTime::now()));
        self.0
            .write(move |connection| {
                diesel::update(sessions::table.find(id))
                    .filter(sessions::revoked_at.is_null())
                    .set(sessions::revoked_at.eq(now))
                    .execute(connection)
                    .map(drop)
            })
            .await
    }

    /// Removes expired sessions, now and from time to time: their tokens are refused in any case.
    pub(crate) async fn remove_expired_forever(&self) {
        let mut interval = tokio::time::interval(REMOVAL_INTERVAL);
        loop {
            interval.tick().await;
            // Some clocks may be behind ours by the leeway of the tokens.
            let limit = to_i64(seconds(SystemTime::now()).saturating_sub(60));
            let removed = self
                .0
                .write(move |connection| {
                    diesel::delete(sessions::table)
                        .filter(sessions::expires_at.lt(limit))
                        .execute(connection)
                })
                .await;
            match removed {
                Ok(count) => tracing::debug!(count, "expired sessions removed"),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot remove expired sessions"
                ),
            }
        }
    }
}

fn to_i64(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
