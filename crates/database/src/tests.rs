//! Tests with real files.

use diesel::sql_types::{BigInt, Text};
use diesel_migrations::embed_migrations;
use opentelemetry::context::FutureExt as _;
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};

use super::*;

const INSERT: Statement = Statement::new("INSERT notes");
const SELECT: Statement = Statement::new("SELECT notes");
const OTHER: Statement = Statement::new("PRAGMA notes");

const NOTES: EmbeddedMigrations = embed_migrations!("src/tests/migrations");
const MIGRATIONS: &[EmbeddedMigrations] = &[NOTES];

/// Migrations of another crate. They change the table of [`MIGRATIONS`], so they must run after those.
const ADDED: EmbeddedMigrations = embed_migrations!("src/tests/added");

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn open(folder: &TempDir) -> Database {
    Database::open(&folder.path().join("x.db"), MIGRATIONS).unwrap()
}

async fn insert(database: &Database, text: &str) -> Result<(), Error> {
    let text = text.to_owned();
    database
        .write(INSERT, move |connection| {
            diesel::sql_query("INSERT INTO notes (text) VALUES (?)")
                .bind::<Text, _>(text)
                .execute(connection)
                .map(drop)
        })
        .await
}

async fn count(database: &Database) -> i64 {
    database
        .read(SELECT, |connection| {
            diesel::sql_query("SELECT count(*) AS n FROM notes")
                .get_result::<Count>(connection)
                .map(|row| row.n)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_written_row_can_be_read_after_reopening() {
    let folder = folder();
    insert(&open(&folder), "one").await.unwrap();
    assert_eq!(count(&open(&folder)).await, 1);
}

#[tokio::test]
async fn the_file_belongs_to_its_owner_alone() {
    let folder = folder();
    // Files beside the database disappear when it is closed.
    let database = open(&folder);
    insert(&database, "one").await.unwrap();
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn a_new_folder_belongs_to_its_owner_alone() {
    let folder = folder();
    let data = folder.path().join("new/data");
    drop(Database::open(&data.join("x.db"), MIGRATIONS).unwrap());
    for folder in [&data, data.parent().unwrap()] {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_named() {
    let folder = folder();
    let file = folder.path().join("data");
    fs::write(&file, "").unwrap();
    let Err(OpenError::Create { path, source }) = Database::open(&file.join("x.db"), MIGRATIONS)
    else {
        panic!("it opened");
    };
    assert_eq!(path, file.join("x.db"));
    let expected = format!("{} is a file, not a folder", file.display());
    assert_eq!(source.to_string(), expected);
}

#[tokio::test]
async fn files_that_others_can_read_become_private() {
    let folder = folder();
    insert(&open(&folder), "one").await.unwrap();
    // An open connection keeps the side files.
    let path = folder.path().join("x.db");
    let mut other = SqliteConnection::establish(&path.to_string_lossy()).unwrap();
    // The connections of the first database may still be closing.
    other
        .batch_execute("PRAGMA busy_timeout = 5000; SELECT count(*) FROM notes")
        .unwrap();
    let files = ["x.db", "x.db-wal", "x.db-shm"].map(|name| folder.path().join(name));
    for file in &files {
        fs::set_permissions(file, fs::Permissions::from_mode(0o664)).unwrap();
    }
    let database = open(&folder);
    assert_eq!(files.each_ref().map(|file| mode(file)), [0o600; 3]);
    assert_eq!(count(&database).await, 1);
}

#[test]
fn a_process_may_open_a_database_twice_and_leaves_its_id_beside_it() {
    let folder = folder();
    let _databases = [open(&folder), open(&folder)];
    let pid = fs::read_to_string(folder.path().join("x.db.lock")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());
}

#[test]
fn a_database_that_another_process_has_locked_is_refused_by_any_path() {
    let folder = folder();
    drop(open(&folder));
    // A lock belongs to an open file, so this file acts like another process.
    let path = folder.path().join("x.db.lock");
    let lock = File::options().write(true).open(&path).unwrap();
    lock.lock().unwrap();
    fs::write(&path, "4711\n").unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(folder.path().join("x.db"), &link).unwrap();
    for path in [&folder.path().join("x.db"), &link] {
        let error = Database::open(path, MIGRATIONS).unwrap_err().to_string();
        assert!(
            error.contains("x.db is in use by another process (pid 4711)"),
            "{error}"
        );
    }
    drop(lock);
    drop(Database::open(&link, MIGRATIONS).unwrap());
    assert!(!folder.path().join("link.db.lock").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_not_utf8_is_refused() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

    let folder = folder();
    let path = folder.path().join(OsStr::from_bytes(b"\xff.db"));
    let error = Database::open(&path, MIGRATIONS).unwrap_err();
    assert!(matches!(error, OpenError::NotText { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn commits_are_durable() {
    #[derive(diesel::QueryableByName)]
    struct Settings {
        #[diesel(sql_type = BigInt)]
        synchronous: i64,
        #[diesel(sql_type = BigInt)]
        fullfsync: i64,
    }
    let folder = folder();
    let settings = open(&folder)
        .write(OTHER, |connection| {
            diesel::sql_query(
                "SELECT synchronous, fullfsync FROM pragma_synchronous, pragma_fullfsync",
            )
            .get_result::<Settings>(connection)
        })
        .await
        .unwrap();
    assert_eq!(settings.synchronous, 2, "FULL");
    assert_eq!(settings.fullfsync, 1, "ON");
}

#[tokio::test]
async fn a_duplicate_row_has_an_error_of_its_own() {
    let folder = folder();
    let database = open(&folder);
    insert(&database, "one").await.unwrap();
    assert!(matches!(
        insert(&database, "one").await,
        Err(Error::NotUnique)
    ));
}

#[tokio::test]
async fn a_full_disk_fails_the_write_and_loses_nothing() {
    let folder = folder();
    let database = open(&folder);
    insert(&database, "one").await.unwrap();
    database
        .write(OTHER, |connection| {
            connection.batch_execute("PRAGMA max_page_count = 1")
        })
        .await
        .unwrap();
    let error = insert(&database, &"x".repeat(100_000)).await.unwrap_err();
    let Error::Failed(source) = error else {
        panic!("{error}")
    };
    assert_eq!(source.to_string(), "database or disk is full");
    assert_eq!(count(&database).await, 1);
}

#[tokio::test]
async fn a_read_cannot_write() {
    let folder = folder();
    let error = open(&folder)
        .read(OTHER, |connection| {
            connection.batch_execute("DELETE FROM notes")
        })
        .await
        .unwrap_err();
    let Error::Failed(source) = error else {
        panic!("{error}")
    };
    assert_eq!(source.to_string(), "attempt to write a readonly database");
}

#[tokio::test]
async fn a_lock_of_another_process_is_busy_for_writers_only() {
    let folder = folder();
    let database = open(&folder);
    let path = folder.path().join("x.db");
    let mut other = SqliteConnection::establish(&path.to_string_lossy()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();

    assert!(matches!(insert(&database, "one").await, Err(Error::Busy)));
    assert_eq!(count(&database).await, 0);

    other.batch_execute("COMMIT").unwrap();
    insert(&database, "one").await.unwrap();
}

#[tokio::test]
async fn a_panic_fails_only_its_own_work_and_is_rolled_back() {
    let folder = folder();
    let database = open(&folder);
    let panicking = database.clone();
    let outcome = tokio::spawn(async move {
        panicking
            .write(INSERT, |connection| -> QueryResult<()> {
                connection.batch_execute("INSERT INTO notes (text) VALUES ('lost')")?;
                panic!("on purpose")
            })
            .await
    })
    .await;
    assert!(outcome.unwrap_err().is_panic());
    insert(&database, "kept").await.unwrap();
    assert_eq!(count(&database).await, 1);
}

/// The name of the thread on which a lookup runs.
async fn thread_of_find(database: &Database) -> Option<String> {
    let name = |_: &mut SqliteConnection| Ok(thread::current().name().map(str::to_owned));
    database.find(SELECT, name).await.unwrap()
}

const READER_THREAD: Option<&str> = Some("database-reader");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_runs_on_the_thread_of_its_caller() {
    let folder = folder();
    let database = open(&folder);
    let caller = thread::current().id();
    let is_caller = move |_: &mut SqliteConnection| Ok(thread::current().id() == caller);
    assert!(database.find(SELECT, is_caller).await.unwrap());
    assert!(!database.read(SELECT, is_caller).await.unwrap());
}

/// A lookup on another worker, which runs until `go` gets a message.
struct Stuck {
    go: std::sync::mpsc::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Stuck {
    async fn start(database: &Database) -> Self {
        let (begun, is_begun) = oneshot::channel();
        let (go, wait) = std::sync::mpsc::channel();
        let database = database.clone();
        let task = tokio::spawn(async move {
            let work = move |_: &mut SqliteConnection| {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                Ok(())
            };
            database.find(SELECT, work).await
        });
        is_begun.await.unwrap();
        Self { go, task }
    }

    async fn end(self) {
        self.go.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_beside_a_fast_one_runs_on_the_thread_of_its_caller() {
    let folder = folder();
    let database = open(&folder);
    // On a busy machine, the first lookup can be slow.
    for _ in 0..100 {
        let fast = Stuck::start(&database).await;
        let thread = thread_of_find(&database).await;
        fast.end().await;
        if thread.as_deref() != READER_THREAD {
            return;
        }
        thread_of_find(&database).await;
    }
    panic!("each lookup ran on a thread of the database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_beside_a_slow_one_runs_on_a_thread_of_the_database() {
    let folder = folder();
    let database = open(&folder);
    let stuck = Stuck::start(&database).await;
    sleep(lookups::SLOW).await;
    assert_eq!(thread_of_find(&database).await.as_deref(), READER_THREAD);
    stuck.end().await;
    assert_ne!(thread_of_find(&database).await.as_deref(), READER_THREAD);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn after_a_slow_lookup_one_at_a_time_runs_on_the_thread_of_its_caller() {
    let folder = folder();
    let database = open(&folder);
    let stuck = Stuck::start(&database).await;
    sleep(lookups::SLOW).await;
    stuck.end().await;

    let stuck = Stuck::start(&database).await;
    assert_eq!(thread_of_find(&database).await.as_deref(), READER_THREAD);
    stuck.end().await;
}

#[tokio::test]
async fn a_lookup_never_stops_the_only_worker_of_a_runtime() {
    let folder = folder();
    let thread = thread_of_find(&open(&folder)).await;
    assert_eq!(thread.as_deref(), READER_THREAD);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_of_a_lookup_fails_only_its_caller() {
    let folder = folder();
    let database = open(&folder);
    let panicking = database.clone();
    let outcome = tokio::spawn(async move {
        let work = |_: &mut SqliteConnection| -> QueryResult<()> { panic!("on purpose") };
        panicking.find(SELECT, work).await
    })
    .await;
    assert!(outcome.unwrap_err().is_panic());
    assert_ne!(thread_of_find(&database).await.as_deref(), READER_THREAD);
}

#[tokio::test]
async fn work_of_a_caller_that_gave_up_is_not_begun() {
    let folder = folder();
    let database = open(&folder);
    let mut other =
        SqliteConnection::establish(&folder.path().join("x.db").to_string_lossy()).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let first = tokio::spawn({
        let database = database.clone();
        async move { insert(&database, "first").await }
    });
    tokio::task::yield_now().await;
    let second = tokio::time::timeout(Duration::from_millis(50), insert(&database, "second")).await;
    assert!(second.is_err(), "the second write waits for the first");
    other.batch_execute("COMMIT").unwrap();
    first.await.unwrap().unwrap();
    insert(&database, "third").await.unwrap();
    assert_eq!(count(&database).await, 2);
}

/// Makes every commit that inserts a note fail, because COMMIT checks deferred constraints.
async fn break_commits(database: &Database) {
    database
        .write(OTHER, |connection| {
            connection.batch_execute(
                "CREATE TABLE owner (id INTEGER PRIMARY KEY);
                 CREATE TABLE owned (id INTEGER REFERENCES owner DEFERRABLE INITIALLY DEFERRED);
                 CREATE TRIGGER broken AFTER INSERT ON notes
                     BEGIN INSERT INTO owned VALUES (1); END;",
            )
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_failed_commit_stores_nothing_and_is_an_error() {
    let folder = folder();
    let database = open(&folder);
    break_commits(&database).await;
    let outcome = database
        .write_then(
            INSERT,
            |connection| connection.batch_execute("INSERT INTO notes (text) VALUES ('lost')"),
            |()| panic!("called without a commit"),
        )
        .await;
    let Err(Error::Failed(source)) = outcome.map(|never: ()| never) else {
        panic!("the commit succeeded")
    };
    assert_eq!(source.to_string(), "FOREIGN KEY constraint failed");
    assert_eq!(count(&database).await, 0);

    let drop_trigger =
        |connection: &mut SqliteConnection| connection.batch_execute("DROP TRIGGER broken");
    database.write(OTHER, drop_trigger).await.unwrap();
    insert(&database, "kept").await.unwrap();
    assert_eq!(count(&database).await, 1);
}

#[tokio::test]
async fn the_function_after_a_commit_runs_even_without_the_caller() {
    let folder = folder();
    let database = open(&folder);
    let (begun, is_begun) = oneshot::channel();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (followed, has_followed) = oneshot::channel();
    let path = folder.path().join("x.db");
    let caller = tokio::spawn({
        let database = database.clone();
        async move {
            let work = move |connection: &mut SqliteConnection| {
                connection.batch_execute("INSERT INTO notes (text) VALUES ('one')")?;
                begun.send(()).unwrap();
                wait.recv().unwrap();
                Ok("one")
            };
            let committed = move |text| {
                // Another connection sees only committed rows.
                let mut other = SqliteConnection::establish(&path.to_string_lossy()).unwrap();
                let count = diesel::sql_query("SELECT count(*) AS n FROM notes")
                    .get_result::<Count>(&mut other)
                    .unwrap();
                followed.send((text, count.n)).unwrap();
            };
            database.write_then(INSERT, work, committed).await
        }
    });
    is_begun.await.unwrap();
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    go.send(()).unwrap();
    assert_eq!(has_followed.await.unwrap(), ("one", 1));
}

#[tokio::test]
async fn the_function_after_a_commit_runs_in_the_context_of_the_caller() {
    let folder = folder();
    let database = open(&folder);
    let caller = Context::new().with_value("caller");
    let write = {
        let _guard = caller.attach();
        let followed = |()| Context::current().get::<&str>().copied();
        let write = database.write_then(INSERT, |_| Ok(()), followed);
        write.with_context(Context::current())
    };
    assert_eq!(write.await.unwrap(), Some("caller"));
}

#[tokio::test]
async fn a_panic_after_the_commit_fails_the_caller_alone() {
    let folder = folder();
    let database = open(&folder);
    let panicking = database.clone();
    let outcome = tokio::spawn(async move {
        panicking
            .write_then(
                INSERT,
                |connection| connection.batch_execute("INSERT INTO notes (text) VALUES ('kept')"),
                |()| panic!("on purpose"),
            )
            .await
            .map(|never: ()| never)
    })
    .await;
    assert!(outcome.unwrap_err().is_panic());
    insert(&database, "two").await.unwrap();
    assert_eq!(count(&database).await, 2);
}

#[tokio::test]
async fn writers_queue_in_order() {
    #[derive(diesel::QueryableByName)]
    struct Note {
        #[diesel(sql_type = Text)]
        text: String,
    }
    let folder = folder();
    let database = open(&folder);
    // Few enough writes that the last one stays within PATIENCE on a slow disk.
    let numbers: Vec<_> = (0..20).map(|number| number.to_string()).collect();
    let writes: Vec<_> = numbers
        .iter()
        .map(|number| {
            let (database, number) = (database.clone(), number.clone());
            tokio::spawn(async move { insert(&database, &number).await })
        })
        .collect();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    let select = |connection: &mut SqliteConnection| {
        diesel::sql_query("SELECT text FROM notes ORDER BY rowid").load::<Note>(connection)
    };
    let stored = database.read(SELECT, select).await.unwrap();
    let stored: Vec<_> = stored.into_iter().map(|note| note.text).collect();
    assert_eq!(stored, numbers);
}

#[test]
fn programs_that_open_a_new_database_at_once_all_succeed() {
    for _ in 0..10 {
        let folder = folder();
        let barrier = std::sync::Barrier::new(4);
        let start = || {
            barrier.wait();
            drop(open(&folder));
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(start);
            }
        });
    }
}

#[test]
fn migrations_of_two_sources_run_in_the_order_of_their_versions() {
    let folder = folder();
    let path = folder.path().join("x.db");
    drop(Database::open(&path, &[ADDED, NOTES]).unwrap());
    // A program with another order of sources knows the same migrations.
    drop(Database::open(&path, &[NOTES, ADDED]).unwrap());
    let error = Database::open(&path, MIGRATIONS).unwrap_err();
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
}

#[test]
fn a_source_is_added_to_a_database_that_exists() {
    let folder = folder();
    let path = folder.path().join("x.db");
    drop(Database::open(&path, MIGRATIONS).unwrap());
    drop(Database::open(&path, &[NOTES, ADDED]).unwrap());
}

#[test]
fn a_newer_database_is_refused() {
    let folder = folder();
    let path = folder.path().join("x.db");
    drop(Database::open(&path, MIGRATIONS).unwrap());
    let mut connection = SqliteConnection::establish(&path.to_string_lossy()).unwrap();
    connection
        .batch_execute(
            // After a drop, the threads of the database close their connections, the last one under
            // a lock.
            "PRAGMA busy_timeout = 5000;
             INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999')",
        )
        .unwrap();
    let error = Database::open(&path, MIGRATIONS).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("newer version (it has migration 99999999)"),
        "{error}"
    );
}

#[test]
fn a_database_of_another_program_is_refused_unchanged() {
    let folder = folder();
    let path = folder.path().join("x.db");
    let mut connection = SqliteConnection::establish(&path.to_string_lossy()).unwrap();
    connection
        .batch_execute("CREATE TABLE accounts (x)")
        .unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let error = Database::open(&path, MIGRATIONS).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);

    // It has migrations, but not one of this program.
    let path = folder.path().join("y.db");
    drop(Database::open(&path, MIGRATIONS).unwrap());
    let mut connection = SqliteConnection::establish(&path.to_string_lossy()).unwrap();
    connection
        .batch_execute(
            "PRAGMA busy_timeout = 5000;
             UPDATE __diesel_schema_migrations SET version = '99999999'",
        )
        .unwrap();
    let error = Database::open(&path, MIGRATIONS).unwrap_err();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn a_file_of_recent_data_can_shrink() {
    let folder = folder();
    let path = folder.path().join("x.db");
    let database = Database::open_recent(&path, MIGRATIONS).unwrap();
    insert(&database, &"x".repeat(1_000_000)).await.unwrap();
    let pages = async || {
        let pages = |connection: &mut _| {
            diesel::sql_query("SELECT page_count AS n FROM pragma_page_count")
                .get_result::<Count>(connection)
        };
        database.read(OTHER, pages).await.unwrap().n
    };
    let before = pages().await;
    let shrink = |connection: &mut SqliteConnection| {
        connection.batch_execute("DELETE FROM notes; PRAGMA incremental_vacuum")
    };
    database.write(OTHER, shrink).await.unwrap();
    let after = pages().await;
    assert!(after < before / 10, "{before} pages, then {after}");
}

#[test]
fn a_read_only_file_is_refused() {
    let folder = folder();
    let path = folder.path().join("x.db");
    drop(Database::open(&path, MIGRATIONS).unwrap());
    // The threads of the database close it. The last one deletes this file.
    let log = folder.path().join("x.db-wal");
    while log.exists() {
        thread::yield_now();
    }
    let uri = format!("file:{}?mode=ro&immutable=1", path.display());
    let error = Database::open(Path::new(&uri), MIGRATIONS).unwrap_err();
    assert!(error.to_string().contains("readonly"), "{error}");
}

#[test]
fn a_file_that_is_not_a_database_is_refused() {
    let folder = folder();
    let path = folder.path().join("x.db");
    fs::write(
        &path,
        "not a database, but long enough to be checked ".repeat(100),
    )
    .unwrap();
    let error = Database::open(&path, MIGRATIONS).unwrap_err();
    assert!(
        error.to_string().contains("file is not a database"),
        "{error}"
    );
}
