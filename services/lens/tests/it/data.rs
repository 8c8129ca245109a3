//! `--data`: what a restart keeps, and which folders are refused.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
    time::Duration,
};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use testing::{Ended, Process};

use crate::harness::{Lens, binary, run};

const FILE: &str = "lens.db";

/// Runs a program that must be refused, and returns its sentence.
async fn refusal(command: &mut Command) -> String {
    let ended: Ended = Process::run(command).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let sentence = ended.stderr.strip_prefix("error: ").unwrap();
    assert_eq!(sentence.lines().count(), 1, "{ended:?}");
    sentence.to_owned()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_restart_keeps_telemetry_and_a_stop_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for run in 1..=2 {
        let lens = Lens::start(&data).await;
        if run == 2 {
            lens.shows("1 span, 1 log record and 1 series").await;
        }
        lens.send(run).await;
        lens.process.terminate();
        let ended = lens.process.ended().await;
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    }
    let lens = Lens::start(&data).await;
    lens.shows("2 spans, 2 log records and 2 series").await;
    assert_eq!(mode(&data), 0o700);
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn nothing_is_written_without_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path());
    command.env_remove("LENS_DATA").current_dir(folder.path());
    let mut process = Process::start(&mut command);
    process.address().await;
    process.terminate();
    assert_eq!(process.ended().await.code, Some(0));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn sigkill_loses_two_seconds_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let lens = Lens::start(folder.path()).await;
    lens.send(1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    lens.send(2).await;
    lens.process.signal("KILL");
    assert_eq!(lens.process.ended().await.code, None);

    let lens = Lens::start(folder.path()).await;
    lens.shows("1 span, 1 log record and 1 series").await;
    // It is whole: new telemetry is saved.
    lens.send(3).await;
    lens.process.terminate();
    assert_eq!(lens.process.ended().await.code, Some(0));
    let lens = Lens::start(folder.path()).await;
    lens.shows("2 spans, 2 log records and 2 series").await;
}

#[tokio::test]
async fn a_stop_says_what_could_not_be_saved() {
    let folder = tempfile::tempdir().unwrap();
    let lens = Lens::start(folder.path()).await;
    let file = folder.path().join(FILE);
    let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    connection
        .batch_execute("CREATE TRIGGER full BEFORE INSERT ON chunks BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
        .unwrap();
    lens.send(1).await;
    lens.shows("Not saved: disk is full").await;
    lens.process.terminate();
    let ended = lens.process.ended().await;
    let line = ended
        .stdout
        .lines()
        .find(|line| line.contains("the newest telemetry is not saved"));
    assert!(line.unwrap().contains(r#""dropped":3"#), "{ended:?}");
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let lens = Lens::start(folder.path()).await;
    let sentence = refusal(&mut binary(folder.path())).await;
    let pid = fs::read_to_string(folder.path().join("lens.db.lock")).unwrap();
    let expected = format!("in use by another process (pid {})", pid.trim());
    assert!(sentence.contains(&expected), "{sentence}");
    lens.send(1).await;
    lens.shows("1 span, ").await;
}

#[tokio::test]
async fn files_of_newer_versions_and_other_programs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let connect = || SqliteConnection::establish(file.to_str().unwrap()).unwrap();
    let lens = Lens::start(folder.path()).await;
    lens.send(1).await;
    lens.process.terminate();
    lens.process.ended().await;
    connect()
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999')")
        .unwrap();
    let sentence = refusal(&mut binary(folder.path())).await;
    assert!(sentence.contains("is from a newer version"), "{sentence}");
    connect()
        .batch_execute("DELETE FROM __diesel_schema_migrations WHERE version = '99999999'")
        .unwrap();
    let lens = Lens::start(folder.path()).await;
    lens.shows("1 span, ").await;
    drop(lens);

    fs::remove_file(&file).unwrap();
    for side in ["-wal", "-shm"] {
        // They may not exist.
        let _ = fs::remove_file(folder.path().join(format!("{FILE}{side}")));
    }
    connect()
        .batch_execute("CREATE TABLE accounts (x)")
        .unwrap();
    let sentence = refusal(&mut binary(folder.path())).await;
    assert!(
        sentence.contains("is a database of another program"),
        "{sentence}"
    );

    fs::write(&file, "not a database, but long enough ".repeat(100)).unwrap();
    let sentence = refusal(&mut binary(folder.path())).await;
    assert!(sentence.contains("file is not a database"), "{sentence}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused() {
    // Root may write everywhere, so the program runs as another user.
    const NOBODY: u32 = 65534;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // That user need not be able to enter the folder of the build.
    let program = folder.path().join("lens");
    fs::copy(env!("CARGO_BIN_EXE_lens"), &program).unwrap();
    let mut command = run(&program, &data);
    if fs::write(data.join("x"), "").is_ok() {
        fs::remove_file(data.join("x")).unwrap();
        command.uid(NOBODY);
    }
    let sentence = refusal(&mut command).await;
    assert!(sentence.contains("Permission denied"), "{sentence}");
    assert!(sentence.contains("must own the folder"), "{sentence}");
}
