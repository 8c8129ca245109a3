//! A database that is locked, full, or cannot be opened.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use diesel::{
    QueryableByName, RunQueryDsl as _, connection::SimpleConnection as _, sql_types::Text,
};
use testing::{Ended, Process, program};
use tonic::Code;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::harness::{
    CHEAP, PASSWORD, Service, by_email, by_id, cheap_binary, client, create, created, database,
    verify,
};

/// Runs the service until it has created its database.
async fn make_database(folder: &Path) {
    let mut process = Process::start(&mut cheap_binary(folder));
    process.address().await;
    process.terminate();
    assert_eq!(process.ended().await.code, Some(0));
}

/// Asserts that a process could not start, and explained it in one line with these words.
fn could_not_start(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let line = ended.stderr.strip_suffix('\n').unwrap();
    assert!(
        line.starts_with("error: ") && !line.contains('\n'),
        "{line:?}"
    );
    for word in words {
        assert!(line.contains(word), "{line:?} lacks {word:?}");
    }
}

#[tokio::test]
async fn a_read_only_database_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    make_database(folder.path()).await;
    let path = folder.path().join("user.db");
    let uri = format!("file:{}?mode=ro", path.display());
    let ended = Process::run(cheap_binary(folder.path()).env("DB_PATH", uri)).await;
    could_not_start(&ended, &["user.db", "readonly"]);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    make_database(folder.path()).await;
    database(folder.path())
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999')")
        .unwrap();
    let ended = Process::run(&mut cheap_binary(folder.path())).await;
    could_not_start(&ended, &["user.db", "newer version", "99999999"]);
}

/// If a version changed, databases of earlier releases would run the migration again, or refuse it
/// as unknown.
#[tokio::test]
async fn the_migrations_have_the_versions_that_earlier_databases_have() {
    #[derive(QueryableByName)]
    struct Applied {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let service = Service::start().await;
    created(&service.client, "ann@example.com").await;
    let mut database = service.database();
    let query =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version");
    let applied: Vec<Applied> = query.load(&mut database).unwrap();
    let versions: Vec<&str> = applied.iter().map(|row| &*row.version).collect();
    assert_eq!(versions, ["20261123000000", "20261123000001"]);
}

#[tokio::test]
async fn a_database_of_another_process_is_refused_at_the_start_and_its_backup_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut cheap_binary(folder.path()));
    process.address().await;
    let ended = Process::run(&mut cheap_binary(folder.path())).await;
    let pid = std::fs::read_to_string(folder.path().join("user.db.lock")).unwrap();
    could_not_start(
        &ended,
        &["user.db is in use", &format!("(pid {})", pid.trim())],
    );
    let backup = folder.path().join("backup.db");
    database(folder.path())
        .batch_execute(&format!("VACUUM INTO '{}'", backup.display()))
        .unwrap();
    assert!(backup.is_file());
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused_at_the_start_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("user.db");
    let text = "a letter to a friend\n".repeat(1000);
    std::fs::write(&path, &text).unwrap();
    let ended = Process::run(&mut cheap_binary(folder.path())).await;
    could_not_start(&ended, &["user.db", "not a database"]);
    assert_eq!(std::fs::read_to_string(path).unwrap(), text);
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_refused_at_the_start() {
    let ended = Process::run(&mut cheap_binary(Path::new("/dev/null/data"))).await;
    could_not_start(&ended, &["/dev/null/data/user.db"]);
}

#[tokio::test]
async fn while_the_database_is_locked_writes_fail_and_reads_succeed() {
    let service = Service::start().await;
    let user = created(&service.client, "ann@example.com").await;
    let mut other = service.database();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();

    let mut client = service.client.clone();
    let started = Instant::now();
    let mut writer = client.clone();
    let write = writer.create_user(create("bob@example.com", PASSWORD));
    let reads = async {
        client.get_user(by_id(&user.id)).await.unwrap();
        client
            .verify_password(verify("ann@example.com", PASSWORD))
            .await
            .unwrap();
        started.elapsed()
    };
    let (write, read_after) = tokio::join!(write, reads);
    let status = write.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the database is busy");
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "the write waited too long for the lock"
    );
    assert!(
        read_after < started.elapsed(),
        "the reads waited for the write"
    );

    other.batch_execute("COMMIT").unwrap();
    created(&service.client, "bob@example.com").await;
}

#[tokio::test]
async fn a_write_waits_for_a_short_lock() {
    let service = Service::start().await;
    created(&service.client, "ann@example.com").await;
    let mut other = service.database();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let create = created(&service.client, "bob@example.com");
    // Another process may hold the lock for this long, so the write must wait.
    let release = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.batch_execute("COMMIT").unwrap();
    };
    tokio::join!(create, release);
}

/// The program with a limit on the size of files, which acts like a full disk.
fn limited(folder: &Path) -> Command {
    let mut command = program("/bin/sh");
    command
        .arg("-c")
        .arg(r#"trap "" XFSZ; ulimit -f 400; exec "$0" "$@""#)
        .arg(env!("CARGO_BIN_EXE_user"))
        .args(CHEAP)
        .env("PORT", "0")
        .env("OTELIX_DATA", folder);
    command
}

#[tokio::test]
async fn on_a_full_disk_registrations_fail_and_reads_succeed() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut limited(folder.path()));
    let mut client = client(process.address().await);

    let mut acknowledged = Vec::new();
    let status = loop {
        let email = format!("{}@example.com", acknowledged.len());
        match client.create_user(create(&email, PASSWORD)).await {
            Ok(answer) => acknowledged.push(answer.into_inner().user.unwrap()),
            Err(status) => break status,
        }
        assert!(acknowledged.len() < 1000, "the limit has no effect");
    };
    assert!(!acknowledged.is_empty());
    assert_eq!(status.code(), Code::Internal);
    let details = status.get_error_details();
    let trace_id = &details.request_info().unwrap().request_id;
    assert_eq!(trace_id.len(), 32);
    assert_eq!(
        status.message(),
        format!("internal error, trace {trace_id}"),
        "the message has no details"
    );
    let mut nothing_else = ErrorDetails::new();
    nothing_else.set_request_info(trace_id, "");
    assert_eq!(format!("{details:?}"), format!("{nothing_else:?}"));

    // The log has the cause.
    let record = process.logged("trace_id", trace_id).await;
    assert_eq!(record["level"], "ERROR", "{record}");
    let cause = record["error"].as_str().unwrap();
    assert!(cause.starts_with("the user store failed: "), "{cause}");
    assert!(cause.contains("disk"), "{cause}");

    // The process keeps running.
    let again = client
        .create_user(create("last@example.com", PASSWORD))
        .await;
    assert_eq!(again.unwrap_err().code(), Code::Internal);
    for user in &acknowledged {
        let found = client.get_user(by_id(&user.id)).await.unwrap();
        assert_eq!(found.into_inner().user.as_ref(), Some(user));
    }
    client
        .verify_password(verify(&acknowledged[0].email, PASSWORD))
        .await
        .unwrap();
    process.terminate();
    assert_eq!(process.ended().await.code, Some(0));

    let mut process = Process::start(&mut cheap_binary(folder.path()));
    let mut client = crate::harness::client(process.address().await);
    for user in &acknowledged {
        let found = client.verify_password(verify(&user.email, PASSWORD)).await;
        assert_eq!(found.unwrap().into_inner().user.as_ref(), Some(user));
    }
    let refused = client.get_user(by_email("last@example.com")).await;
    assert_eq!(refused.unwrap_err().code(), Code::NotFound);
    created(&client, "last@example.com").await;
}
