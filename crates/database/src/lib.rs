//! SQLite through Diesel: one writer, several readers, durable commits.
//!
//! SQLite allows one writer at a time. Connections that compete for it poll with sleeps. So all
//! writes go through one connection, where they queue in order, and reads have connections of their
//! own.
//!
//! Each connection has a thread, and the threads of one role share a queue. A query takes
//! microseconds. To wake a thread for each query, as the runtime's blocking pool does, would cost
//! more than the query. A thread that finds more work in the queue continues without sleeping.
//!
//! A lookup by a unique key ([`Database::find`]) runs on the thread of its caller, if it can. Such lookups
//! have connections of their own.
//!
//! Each operation is recorded as a span and in a histogram of durations. Its [`Statement`] provides
//! their name and attributes.
//!
//! Nothing here depends on a table.

mod connection;
mod lock;
mod lookups;
mod observation;
mod settings;

pub use crate::{observation::Statement, settings::Settings};

use std::{
    any::Any,
    borrow::Cow,
    convert, fmt,
    fs::{self, File},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use diesel::{
    Connection as _, QueryResult, RunQueryDsl as _, SqliteConnection,
    connection::SimpleConnection as _,
    dsl::sql,
    migration::{Migration, MigrationSource, MigrationVersion},
    result::{DatabaseErrorKind, Error as QueryError},
    sql_types::Bool,
    sqlite::Sqlite,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness as _};
// Diesel links SQLite through this crate. The dependency here enables the build from source.
use libsqlite3_sys as _;
use opentelemetry::Context;
use telemetry::{Service, names};
use tokio::sync::oneshot;

use crate::{
    connection::{Connection, Contents, Role},
    lookups::{LOOKUPS, Lookups},
    observation::{Observer, Operation},
};

/// Number of threads for reads.
const READERS: usize = 2;

/// Maximum number of operations that wait for a connection; further ones are refused.
const QUEUE: usize = 1024;

/// Time limit for a lock of another process, and for the wait in the queue. It is shorter than the
/// deadlines of the callers, so that they get the reason.
const PATIENCE: Duration = Duration::from_secs(2);

/// An open database. Clones share the connections.
#[derive(Clone)]
pub struct Database {
    writer: Connections,
    readers: Connections,
    lookups: Arc<Lookups>,
    /// The lock against other processes; `None` for a URI of SQLite.
    _lock: Option<Arc<File>>,
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its folder cannot be created.
    #[error("cannot create the database {}", .path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// Another process has opened the database.
    #[error(
        "the database {} is in use by {holder}; \
         stop that process, or choose another file or data folder", .path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The other process.
        holder: String,
    },
    /// The lock file beside the database cannot be used.
    #[error("cannot lock the database {}", .path.display())]
    Lock {
        /// The database.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The path is not UTF-8, which SQLite requires.
    #[error("the path of the database {} is not UTF-8", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// Other users of the system can read the file, and its mode cannot be changed.
    #[error(
        "{} has mode {mode:o}, which lets others read it, and the mode cannot be changed: \
         run chmod 600 as its owner", .path.display()
    )]
    Exposed {
        /// The database, or a file of SQLite beside it.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// The error of the system.
        source: io::Error,
    },
    /// SQLite cannot open the file or cannot write to it.
    #[error("cannot open the database {}: {reason}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        reason: String,
    },
    /// The tables are not those of this program.
    #[error(
        "{} is a database of another program; choose another file or data folder", .path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of the program has changed its tables.
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
    /// A migration failed. The database is unchanged.
    #[error("cannot migrate the database {}", .path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The error of the migration.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Why a read or a write failed. A failed write stores nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A lock or a connection was not available in time. A retry may succeed.
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
    /// Opens a database file.
    ///
    /// Creates the file if it is missing, gives it mode 0600, and locks it against other processes. Then
    /// applies missing migrations of all sources, in the order of their versions.
    ///
    /// # Errors
    /// When the file cannot be opened for writing, is in use by another process, is not a database of this
    /// program, or is from a newer version.
    pub fn open(path: &Path, migrations: &[EmbeddedMigrations]) -> Result<Self, OpenError> {
        Self::open_for(path, migrations, Contents::Records)
    }

    /// Like [`Self::open`], for recent data that makes room for newer data. A loss of power may undo the last
    /// commits, which are faster. `PRAGMA incremental_vacuum` makes the file smaller.
    ///
    /// # Errors
    /// The same as those of [`Self::open`].
    pub fn open_recent(path: &Path, migrations: &[EmbeddedMigrations]) -> Result<Self, OpenError> {
        Self::open_for(path, migrations, Contents::Recent)
    }

    fn open_for(
        path: &Path,
        migrations: &[EmbeddedMigrations],
        contents: Contents,
    ) -> Result<Self, OpenError> {
        let lock = create(path)?.then(|| lock::lock(path)).transpose()?;
        check_owner(path, migrations)?;

        let url = text(path)?;
        let open = |role| Connection::open(url, role).map_err(|error| open_error(path, &error));
        let mut writer = open(Role::Writer(contents))?;
        let connection = writer.get().map_err(|error| open_error(path, &error))?;
        // A read-only file only fails at the first write, so this makes one now.
        connection
            .batch_execute("BEGIN IMMEDIATE; CREATE TABLE probe (x); ROLLBACK")
            .map_err(|error| open_error(path, &error))?;
        migrate(connection, path, migrations)?;

        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(open(Role::Reader)?);
        }
        Ok(Self {
            writer: Connections::start(path, Role::Writer(contents), vec![writer], 0)?,
            readers: Connections::start(path, Role::Reader, readers, LOOKUPS)?,
            lookups: Arc::new(Lookups::new([open(Role::Reader)?, open(Role::Reader)?])),
            _lock: lock,
        })
    }

    /// Runs a read.
    ///
    /// # Errors
    /// When `work` fails, or the database is busy.
    pub async fn read<T, F>(&self, statement: Statement, work: F) -> Result<T, Error>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
        T: Send + 'static,
    {
        self.readers.run(statement, work, convert::identity).await
    }

    /// Runs a read that finds one row, or a few, by a unique key.
    ///
    /// Such a read takes less time than waking another thread. So it runs on the caller's thread, up to two at a
    /// time. While the disk is slow, only one at a time does so, and further reads wait on the threads of the
    /// database. If the runtime has a single worker, all of them do.
    ///
    /// # Errors
    /// When `work` fails, or the database is busy.
    pub async fn find<T, F>(&self, statement: Statement, work: F) -> Result<T, Error>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
        T: Send + 'static,
    {
        let Some(mut lookup) = self.lookups.start() else {
            return self.read(statement, work).await;
        };
        let observer = &self.readers.observer;
        let operation = Operation::start(Arc::clone(observer), statement);
        let outcome = observer.while_used(|| perform(operation, usable(lookup.connection()), work));
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs a write as one transaction, which is on disk when this returns.
    ///
    /// # Errors
    /// When `work` or the commit fails, or the database is busy. Then nothing is stored.
    pub async fn write<T, F>(&self, statement: Statement, work: F) -> Result<T, Error>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
        T: Send + 'static,
    {
        let work = |connection: &mut _| transaction(connection, work);
        self.writer.run(statement, work, convert::identity).await
    }

    /// Runs a write as one transaction, and calls `committed` once it is on disk. `committed` gets the
    /// value that `work` returned, and runs on the writer's thread in the caller's context.
    ///
    /// `committed` runs even if the caller gives up during the write. So use it for the counts, metrics
    /// and log records of a change. It must not block.
    ///
    /// # Errors
    /// When `work` or the commit fails, or the database is busy. Then nothing is stored, and `committed`
    /// is not called.
    pub async fn write_then<T, U, F, C>(
        &self,
        statement: Statement,
        work: F,
        committed: C,
    ) -> Result<U, Error>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
        C: FnOnce(T) -> U + Send + 'static,
        U: Send + 'static,
    {
        let context = Context::current();
        let work = |connection: &mut _| transaction(connection, work);
        let committed = move |value| {
            let _guard = context.attach();
            committed(value)
        };
        self.writer.run(statement, work, committed).await
    }
}

/// A time as tables store it: microseconds since the Unix epoch.
#[must_use]
pub fn microseconds(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_micros().try_into().unwrap_or(i64::MAX)
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
            _ if is_locked(&error) => Self::Busy,
            _ => Self::Failed(error),
        }
    }
}

/// Whether this is `SQLITE_BUSY` or `SQLITE_LOCKED`, of which Diesel returns only the text.
fn is_locked(error: &QueryError) -> bool {
    matches!(
        error,
        QueryError::DatabaseError(_, information) if information.message().contains(" is locked")
    )
}

impl Error {
    /// The name in telemetry.
    fn name(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NotUnique => "unique_violation",
            Self::Failed(_) => names::OTHER,
        }
    }
}

/// The threads of one role, each with a connection, and the queue that they share.
#[derive(Clone)]
struct Connections {
    jobs: Arc<Sender<Job>>,
    observer: Arc<Observer>,
}

/// Work with a connection, or with `None` if there is no connection.
type Job = Box<dyn FnOnce(Option<&mut SqliteConnection>) + Send>;

/// The outcome of an operation, or its panic.
type Outcome<T> = Result<Result<T, Error>, Box<dyn Any + Send>>;

impl Connections {
    /// Starts a thread for each connection. `more` is the number of further connections of this role.
    fn start(
        path: &Path,
        role: Role,
        connections: Vec<Connection>,
        more: usize,
    ) -> Result<Self, OpenError> {
        let (sender, receiver) = bounded(QUEUE);
        let jobs = Arc::new(sender);
        // A strong reference would keep the threads, which end with the last sender.
        let queue = Arc::downgrade(&jobs);
        let pending = move || queue.upgrade().map(|jobs| jobs.len());
        let size = connections.len() + more;
        let observer = Observer::start(&namespace(path), role.name(), size, pending);
        let service = Service::current();
        for mut connection in connections {
            let receiver = receiver.clone();
            let observer = Arc::clone(&observer);
            thread::Builder::new()
                .name(format!("database-{}", role.name()))
                .spawn(move || {
                    let _scope = service.enter();
                    work(&mut connection, &receiver, &observer);
                })
                .map_err(|error| open_error(path, &error))?;
        }
        Ok(Self { jobs, observer })
    }

    async fn run<T, U, F, D>(&self, statement: Statement, work: F, done: D) -> Result<U, Error>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
        D: FnOnce(T) -> U + Send + 'static,
        U: Send + 'static,
    {
        let (sender, receiver) = oneshot::channel::<Outcome<U>>();
        let operation = Operation::start(Arc::clone(&self.observer), statement);
        let job: Job = Box::new(move |connection| {
            // The caller has given up before the work began.
            if sender.is_closed() {
                return;
            }
            let outcome = perform(operation, connection, work)
                .and_then(|outcome| catch_unwind(AssertUnwindSafe(|| outcome.map(done))));
            // Fails if the caller has given up meanwhile.
            let _ = sender.send(outcome);
        });
        if let Err(refused) = self.jobs.try_send(job) {
            refused.into_inner()(None);
        }
        match receiver.await {
            Ok(Ok(outcome)) => outcome,
            // A panic of the work is resumed here, where it fails only its request.
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Error::Busy),
        }
    }
}

/// Runs work and records it. Without a connection, or after too long a wait for one, it fails.
fn perform<T>(
    operation: Operation,
    connection: Option<&mut SqliteConnection>,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
) -> Outcome<T> {
    let waited = operation.elapsed();
    let outcome = match connection {
        Some(connection) if waited < PATIENCE => operation.run(waited, || {
            catch_unwind(AssertUnwindSafe(|| work(connection).map_err(Error::from)))
        }),
        _ => Ok(Err(Error::Busy)),
    };
    operation.finish(match &outcome {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.name()),
        Err(_) => Some("panic"),
    });
    outcome
}

fn transaction<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    // After some errors, such as a full disk, SQLite has rolled back already, and the rollback by Diesel
    // fails. The first error is the one to report.
    let mut first = None;
    let outcome = connection.immediate_transaction(|connection| {
        work(connection).map_err(|error| {
            first = Some(error);
            QueryError::RollbackTransaction
        })
    });
    outcome.map_err(|error| first.unwrap_or(error))
}

/// The loop of a thread. It ends when the last [`Database`] with this queue is dropped.
fn work(connection: &mut Connection, jobs: &Receiver<Job>, observer: &Observer) {
    while let Ok(job) = jobs.recv() {
        observer.while_used(|| job(usable(connection)));
    }
}

/// The connection, or `None` if it cannot be opened again.
fn usable(connection: &mut Connection) -> Option<&mut SqliteConnection> {
    connection
        .get()
        .inspect_err(|error| tracing::error!(%error, "no connection to the database"))
        .ok()
}

/// The name of a database in telemetry: the name of its file without the extension.
fn namespace(path: &Path) -> Cow<'_, str> {
    path.file_stem().unwrap_or_default().to_string_lossy()
}

fn open_error(path: &Path, error: &dyn std::error::Error) -> OpenError {
    let mut reason = error.to_string();
    // SQLite cannot create its side files then, and does not say why.
    if reason == "disk I/O error" {
        reason.push_str("; the disk may be full");
    }
    OpenError::Open {
        path: path.to_owned(),
        reason,
    }
}

/// Creates the folder with mode 0700 and an empty file with mode 0600. SQLite gives its side files the
/// mode of the file. Changes the mode of existing files. Returns `false` for a URI, whose file SQLite
/// creates.
fn create(path: &Path) -> Result<bool, OpenError> {
    let name = text(path)?;
    if ["file:", "sqlite://"]
        .iter()
        .any(|scheme| name.starts_with(scheme))
    {
        return Ok(false);
    }
    let create_error = |source| OpenError::Create {
        path: path.to_owned(),
        source: setup::name_user(source),
    };
    if let Some(folder) = path.parent() {
        setup::create_private(folder).map_err(create_error)?;
    }
    fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(create_error)?;
    for suffix in ["", "-wal", "-shm"] {
        make_private(PathBuf::from(format!("{name}{suffix}")))?;
    }
    Ok(true)
}

/// Removes the permissions of group and others from a file, if it exists.
fn make_private(path: PathBuf) -> Result<(), OpenError> {
    let Ok(metadata) = path.metadata() else {
        return Ok(());
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let private = fs::Permissions::from_mode(mode & 0o700);
    fs::set_permissions(&path, private).map_err(|source| OpenError::Exposed { path, mode, source })
}

fn text(path: &Path) -> Result<&str, OpenError> {
    path.to_str().ok_or_else(|| OpenError::NotText {
        path: path.to_owned(),
    })
}

/// Refuses a database whose tables this program did not make, before anything in it changes.
fn check_owner(path: &Path, migrations: &[EmbeddedMigrations]) -> Result<(), OpenError> {
    let open = |error: &dyn std::error::Error| open_error(path, error);
    let mut connection = SqliteConnection::establish(text(path)?).map_err(|error| open(&error))?;
    let patience = PATIENCE.as_millis();
    connection
        .batch_execute(&format!("PRAGMA busy_timeout = {patience}"))
        .map_err(|error| open(&error))?;
    let has_table = |connection: &mut _, condition| {
        let query = sql::<Bool>("SELECT EXISTS (SELECT * FROM sqlite_schema WHERE ");
        let query = query.sql(condition).sql(")");
        query.get_result::<bool>(connection)
    };
    let is_new = !has_table(&mut connection, "true").map_err(|error| open(&error))?;
    let is_ours = is_new
        || has_table(&mut connection, "name = '__diesel_schema_migrations'")
            .map_err(|error| open(&error))?
            && has_known_migration(&mut connection, migrations)
                .map_err(|source| migrate_error(path, source))?;
    if is_ours {
        Ok(())
    } else {
        let path = path.to_owned();
        Err(OpenError::Foreign { path })
    }
}

/// Applies all missing migrations, or none of them.
fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
    migrations: &[EmbeddedMigrations],
) -> Result<(), OpenError> {
    // One transaction includes the check and all changes, because another program may migrate the
    // database at the same time.
    let newer = connection
        .immediate_transaction(|connection| {
            let newer = first_unknown(connection, migrations)?;
            if newer.is_none() {
                connection.run_pending_migrations(Sources(migrations))?;
            }
            Ok(newer)
        })
        .map_err(|source| migrate_error(path, source))?;
    match newer {
        Some(migration) => Err(OpenError::Newer {
            path: path.to_owned(),
            migration,
        }),
        None => Ok(()),
    }
}

fn migrate_error(path: &Path, source: Box<dyn std::error::Error + Send + Sync>) -> OpenError {
    let path = path.to_owned();
    OpenError::Migrate { path, source }
}

/// The first migration in the database that this program does not know.
fn first_unknown(
    connection: &mut SqliteConnection,
    migrations: &[EmbeddedMigrations],
) -> diesel::migration::Result<Option<String>> {
    let known = versions(migrations)?;
    let applied = connection.applied_migrations()?;
    let unknown = applied.into_iter().find(|applied| !known.contains(applied));
    Ok(unknown.map(|migration| migration.to_string()))
}

/// Whether the database has a migration of this program.
fn has_known_migration(
    connection: &mut SqliteConnection,
    migrations: &[EmbeddedMigrations],
) -> diesel::migration::Result<bool> {
    let known = versions(migrations)?;
    let applied = connection.applied_migrations()?;
    Ok(applied.iter().any(|applied| known.contains(applied)))
}

fn versions(
    migrations: &[EmbeddedMigrations],
) -> diesel::migration::Result<Vec<MigrationVersion<'static>>> {
    let embedded = Sources(migrations).migrations()?;
    let versions = embedded.iter().map(|one| one.name().version().as_owned());
    Ok(versions.collect())
}

/// Several sources of migrations as one. Diesel sorts the migrations by version.
struct Sources<'a>(&'a [EmbeddedMigrations]);

impl MigrationSource<Sqlite> for Sources<'_> {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Sqlite>>>> {
        let mut all = Vec::new();
        for source in self.0 {
            all.append(&mut source.migrations()?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
