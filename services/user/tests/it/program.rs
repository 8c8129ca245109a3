//! The program on the outside: settings, exit codes, health, reflection.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, time::Instant};

use clap::Args as _;
use diesel::connection::SimpleConnection as _;
use tokio::net::TcpListener;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

use crate::{
    harness::{CHEAP, Service, binary, cheap_binary, database},
    held::{AT_ONCE, Held},
    process::{Process, program},
};

#[tokio::test]
async fn it_is_healthy_while_it_serves() {
    let service = Service::start().await;
    let mut health = HealthClient::new(service.channel.clone());
    for name in ["", "user.v1.UserService"] {
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    let request = HealthCheckRequest {
        service: "user.v2.UserService".to_owned(),
    };
    let status = health.check(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn the_health_subcommand_tells_whether_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut cheap_binary(folder.path()));
    let port = process.address().await.port().to_string();
    let mut health = binary(folder.path());
    health.arg("health").env("PORT", &port);

    let up = Process::run(&mut health).await;
    assert_eq!((up.code, &*up.stdout, &*up.stderr), (Some(0), "", ""));

    process.terminate();
    assert_eq!(process.ended().await.code, Some(0));
    let down = Process::run(&mut health).await;
    assert_eq!(down.code, Some(1));
    assert!(
        down.stderr.starts_with("error: ") && down.stderr.lines().count() == 1,
        "{down:?}"
    );
    assert!(down.stderr.contains(&port), "{down:?}");
}

/// The services that a server lists by a version of reflection.
macro_rules! listed {
    ($version:ident, $channel:expr) => {{
        use $version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut answers = ServerReflectionClient::new($channel)
            .server_reflection_info(tokio_stream::once(request))
            .await
            .unwrap()
            .into_inner();
        let answer = answers.message().await.unwrap().unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{answer:?}");
        };
        let names = list.service.into_iter().map(|item| item.name);
        names.collect::<std::collections::BTreeSet<String>>()
    }};
}

#[tokio::test]
async fn reflection_lists_what_the_port_serves_and_nothing_else() {
    let service = Service::start().await;
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "user.v1.UserService",
    ]
    .map(str::to_owned);
    let newer = listed!(v1, service.channel.clone());
    assert_eq!(newer, expected.clone().into());
    let older = listed!(v1alpha, service.channel.clone());
    assert_eq!(older, expected.into());
}

#[tokio::test]
async fn open_streams_and_connections_do_not_delay_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut cheap_binary(folder.path()));
    let held = Held::open(process.address().await).await;
    let asked = Instant::now();
    process.terminate();
    let ended = process.ended().await;
    let took = asked.elapsed();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(took < AT_ONCE, "{took:?}");
    assert!(held.was_told().await);
}

#[tokio::test]
async fn a_hangup_drains_unless_it_is_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(&mut cheap_binary(folder.path()));
    process.address().await;
    process.signal("HUP");
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("SIGHUP"), "{ended:?}");

    let folder = tempfile::tempdir().unwrap();
    // As nohup does.
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
    let process = Process::start(&mut cheap_binary(folder.path()));
    process.logged("message", "opening the database").await;
    let asked = Instant::now();
    process.terminate();
    let ended = process.ended().await;
    let took = asked.elapsed();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test]
async fn a_wait_without_end_is_no_panic() {
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
    let help = Process::run(binary(folder.path()).arg("--help")).await;
    assert_eq!(help.code, Some(0));
    let command = user::Config::augment_args(clap::Command::new("user"));
    let mut names: Vec<&str> = command
        .get_arguments()
        .map(|argument| argument.get_env().unwrap().to_str().unwrap())
        .collect();
    assert!(names.contains(&"DB_PATH"), "{names:?}");
    names.extend(["OTEL_TRACES_SAMPLER", "OTEL_RESOURCE_ATTRIBUTES"]);
    for name in names {
        let whole = |word: &str| word == name;
        let is_part_of_a_name = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        assert!(
            help.stdout.split(is_part_of_a_name).any(whole),
            "{name} is missing"
        );
    }
    assert!(help.stdout.contains("health"), "the subcommand is missing");
}

#[tokio::test]
async fn a_wrong_setting_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("PORT", &b"eighty"[..]),
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
    ] {
        let value = OsStr::from_bytes(value);
        let ended = Process::run(binary(folder.path()).env(name, value)).await;
        assert_eq!(ended.code, Some(2), "{name}={value:?}: {ended:?}");
        let line = ended.stderr.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "{name}={value:?}: {line}");
        assert!(line.contains(name), "{name}={value:?}: {line}");
        assert_eq!(ended.stdout, "");
    }
    let ended = Process::run(binary(folder.path()).arg("--hash-cost=1")).await;
    assert_eq!(ended.code, Some(2));
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("--hash-cost"), "{ended:?}");

    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "nothing is done before the settings are right");
}

#[tokio::test]
async fn a_port_in_use_is_told_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut command = binary(folder.path());
    let ended = Process::run(command.env("PORT", address.port().to_string())).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let (before, after) = (
        format!("error: cannot listen on {address}: "),
        " is using the port; stop that process or set PORT to another port\n",
    );
    let holder = ended.stderr.strip_prefix(&before).unwrap();
    let holder = holder.strip_suffix(after).unwrap();
    if cfg!(target_os = "linux") {
        let pid = format!("(pid {})", std::process::id());
        assert!(holder.ends_with(&pid), "{holder}");
    } else {
        assert_eq!(holder, "another process");
    }
}
