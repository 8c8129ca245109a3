//! The program: settings, signals, exit codes, health, reflection.

use diesel::connection::SimpleConnection as _;
use testing::{Process, program, programs};
use user::Config;

use crate::harness::{CHEAP, Service, binary, cheap_binary, database};

#[tokio::test]
async fn health_checks_succeed_while_it_serves() {
    let service = Service::start().await;
    programs::is_healthy(&service.channel, "user.v1.UserService").await;
}

#[tokio::test]
async fn the_health_subcommand_tells_whether_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let mut health = binary(folder.path());
    programs::says_whether_it_serves(&mut cheap_binary(folder.path()), &mut health).await;
}

#[tokio::test]
async fn a_lame_duck_accepts_calls_for_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut health = binary(folder.path());
    programs::is_a_lame_duck_for_its_time(&mut cheap_binary(folder.path()), &mut health).await;
}

#[tokio::test]
async fn the_health_subcommand_takes_the_address_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut cheap_binary(folder.path()));
    let port = process.address().await.port().to_string();
    let health = async |arguments: &[&str]| {
        Process::run(binary(folder.path()).arg("health").args(arguments)).await
    };
    let up = health(&["--port", &port, "--listen-address", "0.0.0.0"]).await;
    assert_eq!((up.code, &*up.stderr), (Some(0), ""));
    let wrong = health(&["--port", "70000"]).await;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert_eq!(
        wrong.stderr,
        "error: invalid value '70000' for '--port <PORT>': a port is a number from 0 to 65535 \
         (environment: PORT)\n"
    );
}

#[tokio::test]
async fn reflection_lists_exactly_the_services_of_the_port() {
    let service = Service::start().await;
    programs::describes_itself(&service.channel, "user.v1.UserService").await;
}

#[tokio::test]
async fn open_streams_and_connections_do_not_delay_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    programs::stops_at_once(&mut cheap_binary(folder.path())).await;
}

#[tokio::test]
async fn sighup_stops_the_process_unless_it_is_ignored() {
    // The tests may run under `nohup`. A program inherits an ignored signal, but not a handled one.
    let _handled = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut cheap_binary(folder.path()));
    process.address().await;
    process.signal("HUP");
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("SIGHUP"), "{ended:?}");

    let folder = tempfile::tempdir().unwrap();
    // nohup starts programs in this way.
    let mut command = program("/bin/sh");
    command
        .args([
            "-c",
            "trap '' HUP; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_user"),
        ])
        .args(CHEAP)
        .env("PORT", "0")
        .env("OTELIX_DATA", folder.path());
    let mut process = Process::start(&mut command);
    process.address().await;
    process.signal("HUP");
    process.terminate();
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("SIGTERM"), "{ended:?}");
}

#[tokio::test]
async fn a_stop_ends_a_start_that_waits_for_its_database() {
    let folder = tempfile::tempdir().unwrap();
    // The migrations wait for this lock, for several seconds.
    let mut other = database(folder.path());
    other.batch_execute("BEGIN EXCLUSIVE").unwrap();
    programs::stops_while_it_opens_its_database(&mut cheap_binary(folder.path())).await;
}

#[tokio::test]
async fn a_very_long_wait_does_not_overflow() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut cheap_binary(folder.path()));
    let port = process.address().await.port().to_string();
    let mut health = binary(folder.path());
    health
        .args(["health", "--wait", "500000000000y"])
        .env("PORT", &port);
    let up = Process::run(&mut health).await;
    assert_eq!((up.code, &*up.stderr), (Some(0), ""));
}

#[tokio::test]
async fn help_explains_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    programs::explains_every_setting::<Config>(&mut binary(folder.path())).await;
}

#[tokio::test]
async fn a_wrong_setting_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let wrong: [(&str, &[u8]); 18] = [
        ("LAME_DUCK", b"soon"),
        ("PORT", b"eighty"),
        ("PORT", b"70000"),
        ("PORT", b""),
        ("PORT", b"80\n80"),
        ("PORT", b"\xff"),
        ("RUST_LOG", b"\xff"),
        ("LISTEN_ADDRESS", b"localhost"),
        ("HASH_MEMORY_KIB", b"7"),
        ("HASH_MEMORY_KIB", b"19 MiB"),
        ("HASH_ITERATIONS", b"0"),
        ("HASH_CONCURRENCY", b"-1"),
        ("HASH_QUEUE", b"65536"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", b"127.0.0.1:4317"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", b"ftp://127.0.0.1:4317"),
        ("OTEL_EXPORTER_OTLP_HEADERS", b"authorization"),
        ("LOG_FORMAT", b"xml"),
        ("RUST_LOG", b"a=b=c"),
    ];
    programs::names_wrong_settings(|| binary(folder.path()), &wrong).await;
    let ended = Process::run(binary(folder.path()).arg("--hash-cost=1")).await;
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("--hash-cost"), "{ended:?}");

    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "the settings are checked first");
}

#[tokio::test]
async fn a_port_in_use_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    programs::says_that_its_port_is_in_use(&mut binary(folder.path())).await;
}
