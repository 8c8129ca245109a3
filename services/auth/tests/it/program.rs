//! The program: settings, exit codes, health, logs.

use std::{path::Path, process::Command};

use auth::Config;
use diesel::connection::SimpleConnection as _;
use testing::{Process, eventually, programs};
use tonic::{Code, Request};

use crate::{
    fake::Fake,
    harness::{
        PASSWORD, SECRET, Service, binary, client, database, is_valid, login, logout, me, nowhere,
        register, registered, start_user,
    },
};

#[tokio::test]
async fn health_and_reflection_do_not_need_the_user_service() {
    let service = Service::before(nowhere(), &[]).await;
    programs::is_healthy(&service.channel, "auth.v1.AuthService").await;
    programs::describes_itself(&service.channel, "auth.v1.AuthService").await;
}

#[tokio::test]
async fn the_health_subcommand_needs_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let mut health = binary(folder.path(), nowhere());
    programs::says_whether_it_serves(&mut signing_binary(folder.path()), &mut health).await;
}

#[tokio::test]
async fn a_lame_duck_accepts_calls_for_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut health = binary(folder.path(), nowhere());
    let mut serve = signing_binary(folder.path());
    programs::is_a_lame_duck_for_its_time(&mut serve, &mut health).await;
}

#[tokio::test]
async fn help_explains_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    programs::explains_every_setting::<Config>(&mut binary(folder.path(), nowhere())).await;
}

#[tokio::test]
async fn a_wrong_setting_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let wrong: [(&str, &[u8]); 10] = [
        ("PORT", b"eighty"),
        ("USER_SERVICE_ADDRESS", b"localhost"),
        ("USER_SERVICE_ADDRESS", b"https://localhost:8080"),
        ("USER_SERVICE_ADDRESS", b"localhost:8080,localhost"),
        ("USER_SERVICE_ADDRESS", b"localhost:8080,"),
        ("USER_SERVICE_ADDRESS", b"localhost:8080 localhost:8180"),
        ("LAME_DUCK", b"5"),
        ("FAILED_LOGINS_PER_ACCOUNT", b"0"),
        ("FAILED_LOGINS_PER_ADDRESS", b"many"),
        ("REGISTRATIONS_PER_ADDRESS", b"-1"),
    ];
    programs::names_wrong_settings(|| signing_binary(folder.path()), &wrong).await;
}

#[tokio::test]
async fn a_port_in_use_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    programs::says_that_its_port_is_in_use(&mut signing_binary(folder.path())).await;
}

#[tokio::test]
async fn open_streams_and_connections_do_not_delay_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    programs::stops_at_once(&mut signing_binary(folder.path())).await;
}

#[tokio::test]
async fn a_stop_ends_a_start_that_waits_for_its_database() {
    let folder = tempfile::tempdir().unwrap();
    // The migrations wait for this lock, for several seconds.
    let mut other = database(folder.path());
    other.batch_execute("BEGIN EXCLUSIVE").unwrap();
    programs::stops_while_it_opens_its_database(&mut signing_binary(folder.path())).await;
}

/// The program with a secret, and without a user service.
fn signing_binary(data: &Path) -> Command {
    let mut command = binary(data, nowhere());
    command.env("JWT_SECRET", SECRET);
    command
}

#[tokio::test]
async fn at_a_stop_an_open_call_is_answered() {
    // The call ends at its deadline, after two seconds.
    let fake = Fake::new(|call| (call == 0).then_some(Ok(())));
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path(), fake.start().await);
    let mut process = Process::start(command.env("JWT_SECRET", SECRET));
    let mut client = client(process.address().await);
    let (token, _) = registered(&client, "ann@example.com").await;

    let call = tokio::spawn(async move { client.me(me(&token)).await });
    eventually("the call is under way", async || {
        (fake.calls() == 2).then_some(())
    })
    .await;
    process.terminate();
    process.logged("message", "stopping").await;
    assert!(!call.is_finished(), "the call ended before the stop");
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "the user service does not answer"),
        "the answer of the service, not of a broken connection"
    );
    assert_eq!(process.ended().await.code, Some(0));
}

#[tokio::test]
async fn without_an_endpoint_the_trace_context_is_passed_on_unchanged() {
    let fake = Fake::new(|_| Some(Ok(())));
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path(), fake.start().await);
    let mut process = Process::start(command.env("JWT_SECRET", SECRET));
    let mut client = client(process.address().await);

    let trace_id = "0af7651916cd43dd8448eb211c80319c";
    for flags in ["00", "01", "02", "03"] {
        let parent = format!("00-{trace_id}-b7ad6b7169203331-{flags}");
        let context = [
            ("traceparent", parent.as_str()),
            ("tracestate", "a=1,b@c=2"),
            ("baggage", "k=v"),
        ];
        let mut request = Request::new(register("ann@example.com", PASSWORD));
        for (name, value) in context {
            let metadata = request.metadata_mut();
            metadata.insert(name, value.parse().unwrap());
        }
        client.register(request).await.unwrap();
        for (name, value) in context {
            assert_eq!(fake.received(name).as_deref(), Some(value));
        }
    }
    let record = process.logged("message", "user registered").await;
    assert_eq!(record["trace_id"], trace_id);

    let mut request = Request::new(login("ann@example.com", PASSWORD));
    request
        .metadata_mut()
        .insert("traceparent", "nonsense".parse().unwrap());
    client.login(request).await.unwrap();
    let record = process.logged("message", "user signed in").await;
    let other = record["trace_id"].as_str().unwrap();
    assert!(other.len() == 32 && other != trace_id);
    assert_eq!(fake.received("traceparent"), None);
}

#[tokio::test]
async fn log_records_are_json_with_trace_ids_and_without_emails_and_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path(), start_user().await);
    command
        .env("JWT_SECRET", SECRET)
        .env("RUST_LOG", "debug")
        .env("FAILED_LOGINS_PER_ACCOUNT", "1");
    let mut process = Process::start(&mut command);
    let mut client = client(process.address().await);

    let wrong = "quite another password";
    let (token, _) = registered(&client, "ann@example.com").await;
    let taken = client.register(register("ann@example.com", wrong)).await;
    assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
    let good = client.login(login("ann@example.com", PASSWORD)).await;
    let other = good.unwrap().into_inner().session.unwrap().token;
    for code in [Code::Unauthenticated, Code::ResourceExhausted] {
        let refused = client.login(login("ann@example.com", wrong)).await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
    assert!(is_valid(&client, &token).await);
    client.logout(logout(&token)).await.unwrap();
    assert!(!is_valid(&client, &token).await);
    let garbage = format!("{}x", token.to_lowercase());
    assert!(!is_valid(&client, &garbage).await);
    let invalid = client.register(register("not-an-email", "short")).await;
    assert_eq!(invalid.unwrap_err().code(), Code::InvalidArgument);

    drop(client);
    process.terminate();
    process.logged("message", "stopping").await;
    let records = process.log();
    let ended = process.ended().await;
    assert_eq!(ended.stderr, "");
    for message in [
        "user registered",
        "user signed in",
        "sign-in failed",
        "too many attempts",
        "user signed out",
        "session refused",
    ] {
        let record = records
            .iter()
            .find(|record| record["message"] == message)
            .unwrap_or_else(|| panic!("{message} is missing"));
        assert_eq!(record["trace_id"].as_str().unwrap().len(), 32, "{record}");
        assert_eq!(record["span_id"].as_str().unwrap().len(), 16, "{record}");
    }
    let limited = records
        .iter()
        .find(|record| record["message"] == "too many attempts")
        .unwrap();
    assert_eq!(limited["auth.limit.scope"], "account", "{limited}");
    assert_eq!(limited["client.address"], "127.0.0.1", "{limited}");
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    for secret in [
        "example.com",
        "not-an-email",
        PASSWORD,
        wrong,
        SECRET,
        &garbage,
        &signature(&token),
        &signature(&other),
    ] {
        assert!(!ended.stdout.contains(secret), "{secret} is in the log");
    }
}
