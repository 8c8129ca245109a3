//! The sources of the secret, and that it does not leak.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use testing::{Ended, Process};

use crate::harness::{SECRET, Service, binary, is_valid, nowhere, registered, start_user};

const SHORT: &str = "thirty-one bytes are one short.";

/// Runs the program with environment variables.
async fn run(folder: &Path, variables: &[(&str, &OsStr)]) -> Ended {
    let mut command = binary(folder, nowhere());
    Process::run(command.envs(variables.iter().copied())).await
}

/// Asserts that the program refused the settings at once, in one line with these words and without
/// the secret.
fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for word in words {
        assert!(ended.stderr.contains(word), "{ended:?} lacks {word}");
    }
    for secret in [SECRET, SHORT] {
        assert!(!format!("{ended:?}").contains(secret), "{ended:?}");
    }
    assert_eq!(ended.stdout, "");
}

#[tokio::test]
async fn a_secret_is_required_and_long_enough() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(SHORT.len(), 31);
    let short = OsStr::new(SHORT);
    let good = OsStr::new(SECRET);
    let data = folder.path().join("data");

    refused(&run(&data, &[]).await, &["JWT_SECRET"]);
    let ended = run(&data, &[("JWT_SECRET", short)]).await;
    refused(&ended, &["JWT_SECRET", "32 bytes"]);
    let ended = run(&data, &[("JWT_SECRET", OsStr::new(""))]).await;
    refused(&ended, &["JWT_SECRET"]);
    let previous = [("JWT_SECRET", good), ("JWT_PREVIOUS_SECRET", short)];
    let ended = run(&data, &previous).await;
    refused(&ended, &["JWT_PREVIOUS_SECRET", "32 bytes"]);

    let file = folder.path().join("secret");
    std::fs::write(&file, format!("{SHORT}\n")).unwrap();
    let ended = run(&data, &[("JWT_SECRET_FILE", file.as_os_str())]).await;
    refused(&ended, &["JWT_SECRET_FILE", "32 bytes"]);

    assert!(!data.exists(), "the settings are checked first");
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_named_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let words = ["JWT_SECRET_FILE", missing.to_str().unwrap()];
    let ended = run(folder.path(), &[("JWT_SECRET_FILE", missing.as_os_str())]).await;
    refused(&ended, &words);

    let directory = folder.path().as_os_str();
    let ended = run(folder.path(), &[("JWT_SECRET_FILE", directory)]).await;
    refused(
        &ended,
        &["JWT_SECRET_FILE", folder.path().to_str().unwrap()],
    );

    let previous = [
        ("JWT_SECRET", OsStr::new(SECRET)),
        ("JWT_PREVIOUS_SECRET_FILE", missing.as_os_str()),
    ];
    let ended = run(folder.path(), &previous).await;
    refused(
        &ended,
        &["JWT_PREVIOUS_SECRET_FILE", missing.to_str().unwrap()],
    );
}

#[tokio::test]
async fn two_sources_of_a_secret_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, SECRET).unwrap();
    let secret = OsStr::new(SECRET);
    let both = [
        ("JWT_SECRET", secret),
        ("JWT_SECRET_FILE", file.as_os_str()),
    ];
    refused(&run(folder.path(), &both).await, &["JWT_SECRET_FILE"]);
    let both = [
        ("JWT_SECRET", secret),
        ("JWT_PREVIOUS_SECRET", secret),
        ("JWT_PREVIOUS_SECRET_FILE", file.as_os_str()),
    ];
    refused(
        &run(folder.path(), &both).await,
        &["JWT_PREVIOUS_SECRET_FILE"],
    );
}

#[tokio::test]
async fn a_variable_that_is_not_utf_8_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = [SECRET.as_bytes(), b"\xff"].concat();
    let secret = [("JWT_SECRET", OsStr::from_bytes(&bytes))];
    refused(&run(folder.path(), &secret).await, &["JWT_SECRET"]);
}

#[tokio::test]
async fn a_file_and_the_environment_give_the_same_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let users = start_user().await;
    let given = Service::before(users, &[]).await;
    let (token, _) = registered(&given.client, "ann@example.com").await;
    let mut data = given.folder;
    for ending in ["", "\n", "\r\n"] {
        std::fs::write(&file, format!("{SECRET}{ending}")).unwrap();
        let argument = format!("--jwt-secret-file={}", file.display());
        let read = Service::again(data, users, &[&argument]).await;
        assert!(is_valid(&read.client, &token).await, "{ending:?}");
        data = read.folder;
    }
    // Except for a line break at the end, every byte counts.
    std::fs::write(&file, format!("{SECRET} \n")).unwrap();
    let argument = format!("--jwt-secret-file={}", file.display());
    let read = Service::again(data, users, &[&argument]).await;
    assert!(!is_valid(&read.client, &token).await);
}

#[tokio::test]
async fn a_secret_in_a_file_may_be_binary() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    // White space at the end may be part of random bytes.
    let users = start_user().await;
    for (index, last) in [b"\t", b" ", b"\r"].into_iter().enumerate() {
        std::fs::write(&file, [&[0xff; 31][..], last].concat()).unwrap();
        let argument = format!("--jwt-secret-file={}", file.display());
        let service = Service::before(users, &[&argument]).await;
        let (token, _) = registered(&service.client, &format!("{index}@example.com")).await;
        assert!(is_valid(&service.client, &token).await);
    }
}

#[tokio::test]
async fn help_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path(), nowhere());
    command
        .env("JWT_SECRET", SECRET)
        .env("JWT_PREVIOUS_SECRET", SECRET);
    for argument in ["--help", "-h"] {
        let ended = Process::run(command.arg(argument)).await;
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains("JWT_SECRET"));
        assert!(!format!("{ended:?}").contains(SECRET));
    }
    let mut command = binary(folder.path(), nowhere());
    command.env("JWT_SECRET", SECRET).env("PORT", "x");
    let ended = Process::run(&mut command).await;
    refused(&ended, &["PORT"]);
}
