//! The program on the outside. What it shares with `user` is tested there in full.

use std::time::Instant;

use clap::Args as _;
use tokio::net::TcpListener;
use tonic::{Code, Request};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    fake::Fake,
    harness::{
        PASSWORD, SECRET, Service, binary, client, is_valid, login, logout, me, nowhere, register,
        registered, start_user,
    },
    held::{AT_ONCE, Held},
    process::{Process, eventually},
};

#[tokio::test]
async fn it_is_healthy_and_describes_itself_whether_or_not_users_are_there() {
    let service = Service::before(nowhere(), &[]).await;
    let mut health = HealthClient::new(service.channel.clone());
    for name in ["", "auth.v1.AuthService"] {
        let request = HealthCheckRequest {
            service: name.to_owned(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(service.channel.clone())
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|item| &*item.name).collect();
    assert!(names.contains(&"auth.v1.AuthService"), "{names:?}");
}

#[tokio::test]
async fn the_health_subcommand_needs_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path(), nowhere());
    let mut process = Process::start(command.env("JWT_SECRET", SECRET));
    let port = process.address().await.port().to_string();
    let mut health = binary(folder.path(), nowhere());
    health.arg("health").env("PORT", port);
    let up = Process::run(&mut health).await;
    assert_eq!((up.code, &*up.stdout, &*up.stderr), (Some(0), "", ""));

    process.terminate();
    let ended = process.ended().await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let down = Process::run(&mut health).await;
    assert_eq!(down.code, Some(1));
    assert_eq!(down.stderr.lines().count(), 1, "{down:?}");
}

#[tokio::test]
async fn help_explains_every_setting() {
    let folder = tempfile::tempdir().unwrap();
    let help = Process::run(binary(folder.path(), nowhere()).arg("--help")).await;
    assert_eq!(help.code, Some(0));
    let command = auth::Config::augment_args(clap::Command::new("auth"));
    for argument in command.get_arguments() {
        let name = argument.get_env().unwrap().to_str().unwrap();
        let whole = |word: &str| word == name;
        let is_part_of_a_name = |c: char| !c.is_ascii_alphanumeric() && c != '_';
        assert!(
            help.stdout.split(is_part_of_a_name).any(whole),
            "{name} is missing"
        );
    }
}

#[tokio::test]
async fn a_wrong_setting_is_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("PORT", "eighty"),
        ("USER_SERVICE_ADDRESS", "localhost"),
        ("USER_SERVICE_ADDRESS", "https://localhost:8080"),
        ("FAILED_LOGINS_PER_ACCOUNT", "0"),
        ("FAILED_LOGINS_PER_ADDRESS", "many"),
        ("REGISTRATIONS_PER_ADDRESS", "-1"),
    ] {
        let mut command = binary(folder.path(), nowhere());
        command.env("JWT_SECRET", SECRET).env(name, value);
        let ended = Process::run(&mut command).await;
        assert_eq!(ended.code, Some(2), "{name}={value:?}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(ended.stderr.contains(name), "{ended:?}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_told_in_plain_words() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = binary(folder.path(), nowhere());
    command.env("JWT_SECRET", SECRET).env("PORT", &port);
    let ended = Process::run(&mut command).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("is using the port"));
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
}

#[tokio::test]
async fn open_streams_and_connections_do_not_delay_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path(), nowhere());
    let mut process = Process::start(command.env("JWT_SECRET", SECRET));
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
async fn a_stop_lets_a_call_under_way_end() {
    // The call ends when its deadline has passed, in two seconds.
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
    assert!(!call.is_finished(), "the call was to take longer");
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "the user service does not answer"),
        "the answer of the service, not of a broken connection"
    );
    assert_eq!(process.ended().await.code, Some(0));
}

#[tokio::test]
async fn without_an_endpoint_the_context_of_the_caller_goes_on_as_it_came() {
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
async fn records_are_json_and_name_their_trace_but_no_person_and_no_secret() {
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
