//! Tests that apply to the program of every service.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    net::{TcpListener, TcpStream},
    os::unix::ffi::OsStrExt as _,
    process::Command,
    time::{Duration, Instant},
};

use clap::Args;
use tonic::transport::Channel;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

use crate::{AT_ONCE, Held, Process, eventually};

/// The exit code of `health` says whether the program serves. `health` is a command that gets the port
/// in its environment.
pub async fn says_whether_it_serves(serve: &mut Command, health: &mut Command) {
    let mut process = Process::start(serve);
    let port = process.address().await.port().to_string();
    health.arg("health").env("PORT", &port);
    let up = Process::run(health).await;
    assert_eq!((up.code, &*up.stdout, &*up.stderr), (Some(0), "", ""));

    process.terminate();
    let ended = process.ended().await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let down = Process::run(health).await;
    assert_eq!(down.code, Some(1));
    assert!(
        down.stderr.starts_with("error: ") && down.stderr.lines().count() == 1,
        "{down:?}"
    );
    let url = format!("nothing listens at http://127.0.0.1:{port} ");
    assert!(down.stderr.contains(&url), "{down:?}");
}

/// With `LAME_DUCK`, a program that was asked to stop accepts connections for that time, while `health` says that it is not
/// ready. `health` is a command that gets the port in its environment.
pub async fn is_a_lame_duck_for_its_time(serve: &mut Command, health: &mut Command) {
    const TIME: Duration = Duration::from_secs(1);
    let mut process = Process::start(serve.env("LAME_DUCK", "1s"));
    let address = process.address().await;
    health.arg("health").env("PORT", address.port().to_string());
    assert_eq!(Process::run(health).await.code, Some(0));

    process.terminate();
    let asked = Instant::now();
    eventually("it is not ready", async || {
        let answer = Process::run(health).await;
        answer.stderr.contains("NOT_SERVING").then_some(())
    })
    .await;
    TcpStream::connect(address).unwrap();
    let ended = process.ended().await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let took = asked.elapsed();
    assert!(took >= TIME && took < TIME + AT_ONCE, "{took:?}");
    TcpStream::connect(address).unwrap_err();
}

/// `--help` names the variable of each setting of `C`, those of OpenTelemetry, and the subcommand.
pub async fn explains_every_setting<C: Args>(program: &mut Command) {
    let help = Process::run(program.arg("--help")).await;
    assert_eq!(help.code, Some(0));
    let command = C::augment_args(clap::Command::new("service"));
    let mut names: Vec<&str> = command
        .get_arguments()
        .map(|argument| argument.get_env().unwrap().to_str().unwrap())
        .collect();
    assert!(names.contains(&"PORT"), "{names:?}");
    names.extend(["OTEL_TRACES_SAMPLER", "OTEL_RESOURCE_ATTRIBUTES", "health"]);
    let is_between_names = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let words: BTreeSet<&str> = help.stdout.split(is_between_names).collect();
    for name in names {
        assert!(words.contains(name), "{name} is missing");
    }
}

/// With each of these wrong values, the program ends with code 2 and one line that names the variable.
pub async fn names_wrong_settings(program: impl Fn() -> Command, settings: &[(&str, &[u8])]) {
    for (name, value) in settings {
        let value = OsStr::from_bytes(value);
        let ended = Process::run(program().env(name, value)).await;
        assert_eq!(ended.code, Some(2), "{name}={value:?}: {ended:?}");
        let line = ended.stderr.strip_suffix('\n').unwrap();
        assert!(!line.contains('\n'), "{name}={value:?}: {line}");
        assert!(line.contains(name), "{name}={value:?}: {line}");
        assert_eq!(ended.stdout, "");
    }
}

/// If another process has its port, the program ends with code 1 and one line that says so.
pub async fn says_that_its_port_is_in_use(program: &mut Command) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ended = Process::run(program.env("PORT", address.port().to_string())).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let before = format!("error: cannot listen on {address}: ");
    let after = " is using the port; stop that process or set PORT to another port\n";
    let holder = ended.stderr.strip_prefix(&before).unwrap();
    let holder = holder.strip_suffix(after).unwrap();
    if cfg!(target_os = "linux") {
        let pid = format!("(pid {})", std::process::id());
        assert!(holder.ends_with(&pid), "{holder}");
    } else {
        assert_eq!(holder, "another process");
    }
}

/// The process ends as soon as it is asked to.
pub async fn ends_at_once(process: Process) {
    let asked = Instant::now();
    process.terminate();
    let ended = process.ended().await;
    let took = asked.elapsed();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(took < AT_ONCE, "{took:?}");
}

/// Open streams and connections of clients do not delay a stop.
pub async fn stops_at_once(program: &mut Command) {
    let mut process = Process::start(program);
    let held = Held::open(process.address().await).await;
    ends_at_once(process).await;
    assert!(held.was_told().await);
}

/// A stop ends a start that waits for its database, which the caller has locked.
pub async fn stops_while_it_opens_its_database(program: &mut Command) {
    let process = Process::start(program);
    process.logged("message", "opening the database").await;
    ends_at_once(process).await;
}

/// The health service knows the server's own name and the empty one, and no other.
pub async fn is_healthy(channel: &Channel, service: &str) {
    let mut health = HealthClient::new(channel.clone());
    for name in ["", service] {
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    let request = HealthCheckRequest {
        service: format!("{service}.x"),
    };
    let status = health.check(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);
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
        names.collect::<BTreeSet<String>>()
    }};
}

/// Reflection lists this service, health and reflection, and nothing else.
pub async fn describes_itself(channel: &Channel, service: &str) {
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        service,
    ]
    .map(str::to_owned);
    let newer = listed!(v1, channel.clone());
    assert_eq!(newer, expected.clone().into());
    let older = listed!(v1alpha, channel.clone());
    assert_eq!(older, expected.into());
}
