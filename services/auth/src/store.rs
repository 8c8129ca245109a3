//! Sessions in the database.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use database::{Database, OpenError, Statement};
use diesel::prelude::*;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use events::{Event, Outbox, Written};
use uuid::Uuid;

use crate::{
    metrics::Metrics,
    token::{Claims, seconds},
};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!();

const DELETE: Statement = Statement::new("DELETE sessions");
const INSERT: Statement = Statement::new("INSERT sessions");
const SELECT: Statement = Statement::new("SELECT sessions");
const UPDATE: Statement = Statement::new("UPDATE sessions");

/// How often expired sessions are removed: until then they count as open.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(60);

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
pub(crate) struct Store {
    database: Database,
    outbox: Outbox,
    /// Changed after each commit.
    open: Arc<AtomicI64>,
}

impl Store {
    /// Opens the database file, and creates or migrates it.
    pub(crate) fn open(path: &Path, outbox: Outbox) -> Result<Self, OpenError> {
        Ok(Self {
            database: Database::open(path, &MIGRATIONS)?,
            outbox,
            open: Arc::default(),
        })
    }

    /// The database, for what else is in it.
    pub(crate) fn database(&self) -> Database {
        self.database.clone()
    }

    /// Counts the open sessions once; from then on the number is kept up to date, without asking
    /// the database, and can be read at any time.
    pub(crate) async fn count_open(&self) -> Result<Arc<AtomicI64>, database::Error> {
        let count = self
            .database
            .read(SELECT, |connection| {
                sessions::table
                    .filter(sessions::revoked_at.is_null())
                    .count()
                    .get_result(connection)
            })
            .await?;
        self.open.store(count, Ordering::Relaxed);
        Ok(Arc::clone(&self.open))
    }

    /// Adds an open session, and the event that tells of it. `opened` is called after the commit,
    /// even if the caller has gone by then.
    pub(crate) async fn insert(
        &self,
        claims: &Claims,
        event: Event,
        opened: impl FnOnce() + Send + 'static,
    ) -> Result<(), database::Error> {
        let row = (
            sessions::id.eq(claims.jti.to_string()),
            sessions::user_id.eq(claims.sub.to_string()),
            sessions::expires_at.eq(to_i64(claims.exp)),
        );
        let (outbox, open) = (self.outbox.clone(), Arc::clone(&self.open));
        let work = move |connection: &mut SqliteConnection| {
            diesel::insert_into(sessions::table)
                .values(row)
                .execute(connection)?;
            outbox.insert(connection, &event)
        };
        let committed = move |written: Written| {
            written.committed();
            open.fetch_add(1, Ordering::Relaxed);
            opened();
        };
        self.database.write_then(INSERT, work, committed).await
    }

    /// Whether a session was opened here and has not been revoked.
    pub(crate) async fn is_open(&self, id: Uuid) -> Result<bool, database::Error> {
        let id = id.to_string();
        self.database
            .read(SELECT, move |connection| {
                let revoked_at: Option<Option<i64>> = sessions::table
                    .find(id)
                    .select(sessions::revoked_at)
                    .get_result(connection)
                    .optional()?;
                Ok(matches!(revoked_at, Some(None)))
            })
            .await
    }

    /// Revokes a session and adds the event that tells of it. One that is revoked already stays as
    /// it is, and has no event. `closed` is called after the commit if the session was open, even if
    /// the caller has gone by then.
    pub(crate) async fn revoke(
        &self,
        id: Uuid,
        event: Event,
        closed: impl FnOnce() + Send + 'static,
    ) -> Result<(), database::Error> {
        let id = id.to_string();
        let now = to_i64(seconds(SystemTime::now()));
        let (outbox, open) = (self.outbox.clone(), Arc::clone(&self.open));
        let work = move |connection: &mut SqliteConnection| {
            let revoked = diesel::update(sessions::table.find(id))
                .filter(sessions::revoked_at.is_null())
                .set(sessions::revoked_at.eq(now))
                .execute(connection)?;
            if revoked == 0 {
                return Ok(None);
            }
            outbox.insert(connection, &event).map(Some)
        };
        let committed = move |written: Option<Written>| {
            if let Some(written) = written {
                written.committed();
                open.fetch_sub(1, Ordering::Relaxed);
                closed();
            }
        };
        self.database.write_then(UPDATE, work, committed).await
    }

    /// Takes an event of something that changed no session; the caller need not wait for it.
    pub(crate) fn tell(&self, event: &Event) {
        self.outbox.later(event);
    }

    /// Removes expired sessions, now and from time to time: their tokens are refused in any case.
    pub(crate) async fn remove_expired_forever(&self, metrics: &Metrics) {
        let mut interval = tokio::time::interval(REMOVAL_INTERVAL);
        loop {
            interval.tick().await;
            // Some clocks may be behind ours by the leeway of the tokens.
            let limit = to_i64(seconds(SystemTime::now()).saturating_sub(60));
            let metrics = metrics.clone();
            let removed = move |count| {
                metrics.expired(count);
                tracing::debug!(count, "expired sessions removed");
            };
            if let Err(error) = self.remove_expired(limit, removed).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot remove expired sessions"
                );
            }
        }
    }

    /// Removes the sessions that expired before a time. `removed` is called after the commit with
    /// how many of them were open.
    async fn remove_expired(
        &self,
        limit: i64,
        removed: impl FnOnce(usize) + Send + 'static,
    ) -> Result<(), database::Error> {
        let open = Arc::clone(&self.open);
        let work = move |connection: &mut SqliteConnection| {
            let expired = diesel::delete(sessions::table)
                .filter(sessions::expires_at.lt(limit))
                .filter(sessions::revoked_at.is_null())
                .execute(connection)?;
            diesel::delete(sessions::table)
                .filter(sessions::expires_at.lt(limit))
                .execute(connection)?;
            Ok(expired)
        };
        let committed = move |expired| {
            open.fetch_sub(expired as i64, Ordering::Relaxed);
            removed(expired);
        };
        self.database.write_then(DELETE, work, committed).await
    }
}

fn to_i64(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;

    use super::*;
    use crate::{config::Secrets, token::Keys};

    fn event(claims: &Claims) -> Event {
        crate::session_events::signed_out(claims)
    }

    fn claims() -> Claims {
        let secrets = Secrets {
            jwt_secret_file: None,
            jwt_secret: Some("a secret of thirty-two bytes or more".to_owned()),
            jwt_previous_secret_file: None,
            jwt_previous_secret: None,
        };
        let keys = Keys::load(&secrets).unwrap();
        keys.sign(Uuid::now_v7()).unwrap().1
    }

    /// How often something was called.
    #[derive(Clone, Default)]
    struct Calls(Arc<AtomicI64>);

    impl Calls {
        fn callback(&self) -> impl FnOnce() + Send + 'static {
            let calls = self.clone();
            move || {
                calls.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        fn count(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    async fn insert(store: &Store) -> Claims {
        let (claims, opened) = (claims(), Calls::default());
        let inserted = store.insert(&claims, event(&claims), opened.callback());
        inserted.await.unwrap();
        assert_eq!(opened.count(), 1);
        claims
    }

    /// Removes expired sessions; returns how many of them were open.
    async fn remove_expired(store: &Store, limit: i64) -> i64 {
        let removed = Calls::default();
        let count = removed.clone();
        let removing = store.remove_expired(limit, move |open| {
            count.0.store(open as i64, Ordering::Relaxed);
        });
        removing.await.unwrap();
        removed.count()
    }

    #[tokio::test]
    async fn open_sessions_are_counted_by_each_change_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("auth.db");
        let store = Store::open(&path, Outbox::none()).unwrap();
        let open = store.count_open().await.unwrap();
        let count = || open.load(Ordering::Relaxed);
        let revoked = insert(&store).await;
        let expired = insert(&store).await;
        assert_eq!(count(), 2);

        // The second time it is closed already.
        let closed = Calls::default();
        for _ in 0..2 {
            let revoking = store.revoke(revoked.jti, event(&revoked), closed.callback());
            revoking.await.unwrap();
        }
        assert_eq!(closed.count(), 1);
        assert_eq!(count(), 1);
        let again = Store::open(&path, Outbox::none())
            .unwrap()
            .count_open()
            .await
            .unwrap();
        assert_eq!(again.load(Ordering::Relaxed), 1);

        let later = to_i64(expired.exp) + 1;
        assert_eq!(remove_expired(&store, later - 1).await, 0);
        assert_eq!(remove_expired(&store, later).await, 1);
        assert_eq!(count(), 0);
    }

    #[tokio::test]
    async fn a_commit_that_fails_changes_no_count() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("auth.db"), Outbox::none()).unwrap();
        let open = store.count_open().await.unwrap();
        let session = insert(&store).await;
        // COMMIT looks at deferred constraints.
        let broken = |change| {
            format!(
                "CREATE TRIGGER broken_{change} AFTER {change} ON sessions
            BEGIN INSERT INTO owned VALUES (1); END;"
            )
        };
        let statements = ["INSERT", "UPDATE", "DELETE"].map(broken).concat();
        let break_commits = move |connection: &mut SqliteConnection| {
            connection.batch_execute(&format!(
                "CREATE TABLE owner (id INTEGER PRIMARY KEY);
                 CREATE TABLE owned (id INTEGER REFERENCES owner DEFERRABLE INITIALLY DEFERRED);
                 {statements}"
            ))
        };
        store.database.write(INSERT, break_commits).await.unwrap();

        let (other, calls) = (claims(), Calls::default());
        let inserted = store.insert(&other, event(&other), calls.callback());
        assert!(inserted.await.is_err());
        let revoked = store.revoke(session.jti, event(&session), calls.callback());
        assert!(revoked.await.is_err());
        let removed = calls.callback();
        let removed = store.remove_expired(i64::MAX, move |_| removed());
        assert!(removed.await.is_err());
        assert_eq!(calls.count(), 0);
        assert_eq!(open.load(Ordering::Relaxed), 1);
    }
}
