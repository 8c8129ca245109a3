//! The database of sessions and known networks.

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

const MIGRATIONS: &[EmbeddedMigrations] = &[embed_migrations!(), events::MIGRATIONS];

const DELETE_NETWORKS: Statement = Statement::new("DELETE known_networks");
const SELECT_NETWORKS: Statement = Statement::new("SELECT known_networks");
const DELETE: Statement = Statement::new("DELETE sessions");
const INSERT: Statement = Statement::new("INSERT sessions");
const SELECT: Statement = Statement::new("SELECT sessions");
const UPDATE: Statement = Statement::new("UPDATE sessions");

/// Interval of the removal of expired sessions. Until it, they count as open.
const REMOVAL_INTERVAL: Duration = Duration::from_secs(60);

/// How long a network is known after its last sign-in, in seconds.
const NETWORK_AGE: i64 = 90 * 24 * 60 * 60;

/// Limit of known networks for each account; the latest ones are kept. Each known network has its
/// own limit of failed sign-ins, so more networks permit more guesses.
const NETWORKS: i64 = 20;

diesel::table! {
    sessions (id) {
        id -> Text,
        user_id -> Text,
        expires_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    known_networks (id) {
        id -> Text,
        account -> Text,
        last_at -> BigInt,
    }
}

/// A known network of an account, as keyed hashes.
#[derive(Debug)]
pub(crate) struct Network {
    /// Hash of the account and the network.
    pub(crate) id: String,
    /// Hash of the account.
    pub(crate) account: String,
}

/// The tables of sessions and of known networks.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    database: Database,
    outbox: Outbox,
    /// The number of open sessions, updated after each commit.
    open: Arc<AtomicI64>,
}

impl Store {
    /// Opens the database file, and creates or migrates it.
    pub(crate) fn open(path: &Path, outbox: Outbox) -> Result<Self, OpenError> {
        Ok(Self {
            database: Database::open(path, MIGRATIONS)?,
            outbox,
            open: Arc::default(),
        })
    }

    /// The database, which also holds the outbox.
    pub(crate) fn database(&self) -> Database {
        self.database.clone()
    }

    /// Counts the open sessions. Returns the number, which later changes update without a query.
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

    /// Whether one of these ids is that of a known network.
    pub(crate) async fn is_known(&self, ids: Vec<String>) -> Result<bool, database::Error> {
        self.database
            .read(SELECT_NETWORKS, move |connection| {
                let known = known_networks::table.filter(known_networks::id.eq_any(ids));
                let count: i64 = known.count().get_result(connection)?;
                Ok(count > 0)
            })
            .await
    }

    /// Inserts an open session, its event, and its network. Also revokes the session that it
    /// replaces, and inserts the event of that. After the commit, `opened` is called with whether
    /// the replaced session was open, even if the caller has gone.
    pub(crate) async fn insert(
        &self,
        claims: &Claims,
        event: Event,
        network: Option<Network>,
        replaced: Option<(Uuid, Event)>,
        opened: impl FnOnce(bool) + Send + 'static,
    ) -> Result<(), database::Error> {
        let now = to_i64(seconds(SystemTime::now()));
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
            if let Some(network) = network {
                remember(connection, &network, now)?;
            }
            let mut closed = None;
            if let Some((id, event)) = replaced
                && close(connection, id, now)?
            {
                closed = Some(outbox.insert(connection, &event)?);
            }
            Ok((outbox.insert(connection, &event)?, closed))
        };
        let committed = move |(written, closed): (Written, Option<Written>)| {
            written.committed();
            let has_replaced = closed.is_some();
            if let Some(closed) = closed {
                closed.committed();
            } else {
                open.fetch_add(1, Ordering::Relaxed);
            }
            opened(has_replaced);
        };
        self.database.write_then(INSERT, work, committed).await
    }

    /// Whether a session is in the database and not revoked.
    pub(crate) async fn is_open(&self, id: Uuid) -> Result<bool, database::Error> {
        let id = id.to_string();
        self.database
            .find(SELECT, move |connection| {
                let revoked_at: Option<Option<i64>> = sessions::table
                    .find(id)
                    .select(sessions::revoked_at)
                    .get_result(connection)
                    .optional()?;
                Ok(matches!(revoked_at, Some(None)))
            })
            .await
    }

    /// Revokes a session and inserts its event. Does nothing if the session is already revoked.
    /// Otherwise `closed` is called after the commit, even if the caller has gone.
    pub(crate) async fn revoke(
        &self,
        id: Uuid,
        event: Event,
        closed: impl FnOnce() + Send + 'static,
    ) -> Result<(), database::Error> {
        let now = to_i64(seconds(SystemTime::now()));
        let (outbox, open) = (self.outbox.clone(), Arc::clone(&self.open));
        let work = move |connection: &mut SqliteConnection| {
            if !close(connection, id, now)? {
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

    /// Queues an event that belongs to no change of a session. Does not wait for the database.
    pub(crate) fn tell(&self, event: &Event) {
        self.outbox.later(event);
    }

    /// Removes expired sessions and old networks, at once and then at each [`REMOVAL_INTERVAL`].
    /// Expired tokens are refused even if their sessions are not removed.
    pub(crate) async fn remove_expired_forever(&self, metrics: &Metrics) {
        let mut interval = tokio::time::interval(REMOVAL_INTERVAL);
        loop {
            interval.tick().await;
            // The clock of another instance may be late, and tokens have a leeway.
            let limit = to_i64(seconds(SystemTime::now()).saturating_sub(60));
            if let Err(error) = self.forget_networks(limit - NETWORK_AGE).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot remove networks"
                );
            }
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

    /// Removes the networks whose last sign-in was before `limit`, in seconds since the Unix epoch.
    async fn forget_networks(&self, limit: i64) -> Result<usize, database::Error> {
        self.database
            .write(DELETE_NETWORKS, move |connection| {
                diesel::delete(known_networks::table)
                    .filter(known_networks::last_at.lt(limit))
                    .execute(connection)
            })
            .await
    }

    /// Removes the sessions that expired before `limit`, in seconds since the Unix epoch. `removed`
    /// is called after the commit with the number of those that were open.
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

/// Revokes a session. Returns whether it was open.
fn close(connection: &mut SqliteConnection, id: Uuid, now: i64) -> QueryResult<bool> {
    let revoked = diesel::update(sessions::table.find(id.to_string()))
        .filter(sessions::revoked_at.is_null())
        .set(sessions::revoked_at.eq(now))
        .execute(connection)?;
    Ok(revoked > 0)
}

/// Stores the use of a network, and removes the oldest ones beyond [`NETWORKS`].
fn remember(connection: &mut SqliteConnection, network: &Network, now: i64) -> QueryResult<()> {
    use known_networks::{account, id, last_at, table};

    let renewed = diesel::update(table.find(&network.id))
        .set(last_at.eq(now))
        .execute(connection)?;
    if renewed > 0 {
        return Ok(());
    }
    let row = (
        id.eq(&network.id),
        account.eq(&network.account),
        last_at.eq(now),
    );
    diesel::insert_into(table).values(row).execute(connection)?;
    let surplus: Vec<String> = table
        .filter(account.eq(&network.account))
        .order(last_at.desc())
        .offset(NETWORKS)
        .select(id)
        .load(connection)?;
    diesel::delete(table.filter(id.eq_any(surplus))).execute(connection)?;
    Ok(())
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

    /// A counter of calls.
    #[derive(Clone, Default)]
    struct Calls(Arc<AtomicI64>);

    impl Calls {
        fn callback(&self) -> impl FnOnce() + Send + 'static {
            let calls = self.clone();
            move || {
                calls.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        /// A callback for a session that replaces none.
        fn callback_of_first(&self) -> impl FnOnce(bool) + Send + 'static {
            let calls = self.clone();
            move |has_replaced| {
                assert!(!has_replaced);
                calls.0.fetch_add(1, Ordering::Relaxed);
            }
        }

        fn count(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    async fn insert(store: &Store) -> Claims {
        let (claims, opened) = (claims(), Calls::default());
        let inserted = store.insert(
            &claims,
            event(&claims),
            None,
            None,
            opened.callback_of_first(),
        );
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

    async fn remember_at(store: &Store, account: &str, index: usize, now: i64) {
        let network = Network {
            id: format!("{account}-{index}"),
            account: account.to_owned(),
        };
        let write = move |connection: &mut SqliteConnection| remember(connection, &network, now);
        store.database.write(INSERT, write).await.unwrap();
    }

    async fn is_known(store: &Store, account: &str, index: usize) -> bool {
        let ids = vec![format!("{account}-{index}"), "another".to_owned()];
        store.is_known(ids).await.unwrap()
    }

    #[tokio::test]
    async fn the_latest_networks_of_an_account_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("auth.db"), Outbox::none()).unwrap();
        remember_at(&store, "bob", 0, 0).await;
        for index in 0..NETWORKS as usize {
            remember_at(&store, "ann", index, index as i64).await;
        }
        remember_at(&store, "ann", 0, 100).await;
        remember_at(&store, "ann", 99, 101).await;
        for (index, known) in [(0, true), (1, false), (2, true), (99, true)] {
            assert_eq!(is_known(&store, "ann", index).await, known, "{index}");
        }
        assert!(is_known(&store, "bob", 0).await);
    }

    #[tokio::test]
    async fn a_network_is_forgotten_after_its_last_use() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("auth.db"), Outbox::none()).unwrap();
        remember_at(&store, "ann", 1, 1_000).await;
        remember_at(&store, "ann", 2, 1_000).await;
        remember_at(&store, "ann", 2, 2_000).await;
        assert_eq!(store.forget_networks(1_000).await.unwrap(), 0);
        assert_eq!(store.forget_networks(1_001).await.unwrap(), 1);
        assert!(!is_known(&store, "ann", 1).await && is_known(&store, "ann", 2).await);
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

        // The session is already closed, so the second call changes nothing.
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

        let mut new = expired.clone();
        new.jti = Uuid::now_v7();
        let replaced = Some((expired.jti, event(&expired)));
        let opened = |has_replaced: bool| assert!(has_replaced, "it was open");
        let inserted = store.insert(&new, event(&new), None, replaced, opened);
        inserted.await.unwrap();
        assert_eq!(count(), 1, "one for the other");

        let later = to_i64(expired.exp) + 1;
        assert_eq!(remove_expired(&store, later - 1).await, 0);
        assert_eq!(remove_expired(&store, later).await, 1);
        assert_eq!(count(), 0);
    }

    #[tokio::test]
    async fn a_failed_commit_changes_no_count() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("auth.db"), Outbox::none()).unwrap();
        let open = store.count_open().await.unwrap();
        let session = insert(&store).await;
        // SQLite checks deferred constraints at COMMIT.
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
        let inserted = store.insert(&other, event(&other), None, None, calls.callback_of_first());
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
