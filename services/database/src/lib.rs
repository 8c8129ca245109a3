//! SQLite by Diesel: one writer, some readers, durable commits.
//!
//! SQLite has one writer at a time. Connections that compete for it poll with sleeps; so here
//! all writes go through one connection, for which they queue in order, and reads have their
//! own. Work runs on the blocking pool, never more of it than there are connections.
//!
//! Nothing here knows a table.

use std::{
    fmt, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use diesel::{
    QueryResult, SqliteConnection,
    connection::SimpleConnection as _,
    migration::{Migration, MigrationSource, MigrationVersion},
    r2d2::{ConnectionManager, CustomizeConnection, Pool, PooledConnection},
    result::{DatabaseErrorKind, Error as QueryError},
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _};
// Diesel links SQLite through this crate; naming it here builds the library from its source.
use libsqlite3_sys as _;
use tokio::sync::Semaphore;

/// Connections that read.
const READERS: usize = 4;

/// How long a statement waits for a lock that another process holds, and a task for a
/// connection. Shorter than the deadlines of the callers, so that they learn the reason.
const PATIENCE: Duration = Duration::from_secs(2);

/// An open database. Clones share the connections.
#[derive(Clone)]
pub struct Database {
    writer: Connections,
    readers: Connections,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be created.
    #[error("cannot create the database {}", .path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// SQLite cannot open it, or cannot write to it.
    #[error("cannot open the database {}: {reason}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// A newer program has changed its tables.
    #[error(
        "the database {} is from a newer version (it has migration {migration}); \
         run that version, or one after it", .path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The first migration that this program does not know.
        migration: String,
    },
    /// A migration failed; the database is as it was before it.
    #[error("cannot migrate the database {}", .path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// What the migration says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a read or a write failed. Nothing of a write that failed is stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A lock was not to be had in time. May be repeated.
    #[error("the database is busy")]
    Busy,
    /// A row would have broken a unique index.
    #[error("the row is not unique")]
    NotUnique,
    /// Anything else: a full disk, a read-only file, a wrong query.
    #[error("the database failed")]
    Failed(#[source] QueryError),
}

impl Database {
    /// Opens a database file, creates it if missing (readable by its owner alone), and applies
    /// the migrations it lacks.
    ///
    /// # Errors
    /// Where the file cannot be opened for writing, is no database, or is from a newer version.
    pub fn open(path: &Path, migrations: &EmbeddedMigrations) -> Result<Self, OpenError> {
        create(path).map_err(|source| OpenError::Create {
            path: path.to_owned(),
            source,
        })?;

        let writer = Connections::open(path, Role::Writer, 1)?;
        let mut connection = writer.get(path)?;
        // A file that is read-only says so at the first write; better now than then.
        connection
            .batch_execute("BEGIN IMMEDIATE; CREATE TABLE probe (x); ROLLBACK")
            .map_err(|error| open_error(path, &error))?;
        migrate(&mut connection, path, migrations)?;
        drop(connection);

        let readers = Connections::open(path, Role::Reader, READERS)?;
        Ok(Self { writer, readers })
    }

    /// Runs a read.
    ///
    /// # Errors
    /// Whatever the work fails with.
    pub async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
        T: Send + 'static,
    {
        self.readers.run(work).await
    }

    /// Runs a write as one transaction, which is on disk when this returns.
    ///
    /// # Errors
    /// Whatever the work fails with; nothing is stored then.
    pub async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
        T: Send + 'static,
    {
        self.writer
            .run(|connection| {
                // After some errors, a full disk among them, SQLite has rolled back already, and
                // Diesel would answer that it cannot: the first error is the one to report.
                let mut first = None;
                let outcome = connection.immediate_transaction(|connection| {
                    work(connection).map_err(|error| {
                        first = Some(error);
                        QueryError::RollbackTransaction
                    })
                });
                outcome.map_err(|error| first.unwrap_or(error))
            })
            .await
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Database").finish_non_exhaustive()
    }
}

impl From<QueryError> for Error {
    fn from(error: QueryError) -> Self {
        match &error {
            QueryError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::NotUnique,
            // SQLITE_BUSY and SQLITE_LOCKED; Diesel passes on their text only.
            QueryError::DatabaseError(_, information)
                if information.message().contains(" is locked") =>
            {
                Self::Busy
            }
            _ => Self::Failed(error),
        }
    }
}

/// Connections of one role, and a queue for them that does not occupy threads.
#[derive(Clone)]
struct Connections {
    pool: Pool<ConnectionManager<SqliteConnection>>,
    queue: Arc<Semaphore>,
}

impl Connections {
    fn open(path: &Path, role: Role, size: usize) -> Result<Self, OpenError> {
        let pool = Pool::builder()
            .max_size(u32::try_from(size).unwrap_or(u32::MAX))
            .min_idle(Some(1))
            .connection_timeout(PATIENCE)
            // A file does not go away like a server does.
            .test_on_check_out(false)
            .connection_customizer(Box::new(role))
            .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
            .build(ConnectionManager::new(path.to_string_lossy()))
            .map_err(|error| open_error(path, &error))?;
        Ok(Self {
            pool,
            queue: Arc::new(Semaphore::new(size)),
        })
    }

    fn get(&self, path: &Path) -> Result<Connection, OpenError> {
        self.pool.get().map_err(|error| open_error(path, &error))
    }

    async fn run<T, F>(&self, work: F) -> Result<T, Error>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
        T: Send + 'static,
    {
        let queue = Arc::clone(&self.queue).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(PATIENCE, queue).await else {
            return Err(Error::Busy);
        };
        let pool = self.pool.clone();
        telemetry::spawn_blocking(move || {
            // Held by the work and not by the caller, who may go away before it is done.
            let _turn = turn;
            let mut connection = pool.get().or(Err(Error::Busy))?;
            Ok(work(&mut connection)?)
        })
        .await
    }
}

type Connection = PooledConnection<ConnectionManager<SqliteConnection>>;

fn open_error(path: &Path, error: &dyn std::error::Error) -> OpenError {
    OpenError::Open {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

#[derive(Clone, Copy, Debug)]
enum Role {
    Reader,
    Writer,
}

impl CustomizeConnection<SqliteConnection, diesel::r2d2::Error> for Role {
    fn on_acquire(&self, connection: &mut SqliteConnection) -> Result<(), diesel::r2d2::Error> {
        // The time-out first: switching to WAL takes a lock itself.
        let patience = PATIENCE.as_millis();
        let role = match self {
            Self::Reader => "PRAGMA query_only = ON;",
            // With WAL, FULL is what makes a commit survive a loss of power.
            Self::Writer => "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
        };
        connection
            .batch_execute(&format!(
                "PRAGMA busy_timeout = {patience}; PRAGMA foreign_keys = ON; {role}"
            ))
            .map_err(diesel::r2d2::Error::QueryError)
    }
}

/// Creates the folder and an empty file with the rights of its owner alone, which SQLite's
/// side files then get too. URIs (`file:...`) are SQLite's own business.
fn create(path: &Path) -> io::Result<()> {
    if path.to_string_lossy().starts_with("file:") {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
    migrations: &EmbeddedMigrations,
) -> Result<(), OpenError> {
    let migrate_error = |source| OpenError::Migrate {
        path: path.to_owned(),
        source,
    };
    let embedded: Vec<Box<dyn Migration<Sqlite>>> =
        migrations.migrations().map_err(migrate_error)?;
    let known: Vec<MigrationVersion<'_>> = embedded
        .iter()
        .map(|migration| migration.name().version())
        .collect();
    let newer = connection
        .applied_migrations()
        .map_err(migrate_error)?
        .into_iter()
        .find(|applied| !known.contains(applied));
    if let Some(migration) = newer {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            migration: migration.to_string(),
        });
    }
    connection
        .run_pending_migrations(SourceOf(migrations))
        .map(drop)
        .map_err(migrate_error)
}

/// Lends migrations, which Diesel wants to own.
struct SourceOf<'a>(&'a EmbeddedMigrations);

impl MigrationSource<Sqlite> for SourceOf<'_> {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Sqlite>>>> {
        self.0.migrations()
    }
}

#[cfg(test)]
mod tests;
