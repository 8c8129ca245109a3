//! A user service that is down, hangs, fails for some calls, fails always, or is killed.

use std::time::{Duration, Instant};

use testing::{Process, eventually};
use tokio::runtime::Runtime;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    fake::Fake,
    harness::{
        Client, DEADLINE, PASSWORD, Port, SECRET, Service, binary, client, is_valid, login, me,
        register, registered, start_user_on,
    },
};

/// Makes all calls that need the user service concurrently.
async fn outcomes(client: &Client, token: &str) -> [Result<(), Status>; 3] {
    let [mut one, mut two, mut three] = [(); 3].map(|()| client.clone());
    let (register, login, me) = tokio::join!(
        one.register(register("bob@example.com", PASSWORD)),
        two.login(login("ann@example.com", PASSWORD)),
        three.me(me(token)),
    );
    [register.map(drop), login.map(drop), me.map(drop)]
}

/// Asserts that each call fails as unavailable within the deadline.
async fn unavailable(client: &Client, token: &str) {
    let started = Instant::now();
    for outcome in outcomes(client, token).await {
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(status.message(), "the user service does not answer");
        assert!(status.details().is_empty());
        // With retries by its callers, those of this service would multiply.
        let pushback = status.metadata().get("grpc-retry-pushback-ms");
        assert_eq!(pushback.unwrap(), "-1");
    }
    assert!(started.elapsed() < DEADLINE, "{:?}", started.elapsed());
}

/// A service with an open session. Its user service is at `port` now, instead of a real one.
async fn signed_in_before(port: &Port) -> (Service, String) {
    let first = Service::start().await;
    let (token, _) = registered(&first.client, "ann@example.com").await;
    let service = Service::again(first.folder, port.address, &[]).await;
    (service, token)
}

#[tokio::test]
async fn calls_fail_as_unavailable_until_the_user_service_is_back() {
    let port = Port::new();
    let (service, token) = signed_in_before(&port).await;
    unavailable(&service.client, &token).await;
    unavailable(&service.client, &token).await;

    start_user_on(port.listen());
    let (token, _) = eventually("it comes back", async || {
        let outcome = service
            .client
            .clone()
            .register(register("bob@example.com", PASSWORD))
            .await;
        match outcome {
            Ok(answer) => {
                let answer = answer.into_inner();
                Some((answer.session.unwrap().token, answer.user.unwrap()))
            }
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable);
                None
            }
        }
    })
    .await;
    assert!(is_valid(&service.client, &token).await);
}

#[tokio::test]
async fn calls_to_a_user_service_that_hangs_fail_within_the_deadline() {
    // One fake accepts calls and never answers. The other accepts no connection, like a stopped
    // process.
    let fake = Fake::new(|call| (call == 0).then_some(Ok(())));
    let hanging = Service::before(fake.start().await, &[]).await;
    let (token, _) = registered(&hanging.client, "ann@example.com").await;
    let port = Port::new();
    let _never_accepts = port.listen();
    let (stopped, other_token) = signed_in_before(&port).await;
    tokio::join!(
        unavailable(&hanging.client, &token),
        unavailable(&stopped.client, &other_token),
    );
    // The deadline of a read is shorter than that of a password.
    let started = Instant::now();
    let outcome = hanging.client.clone().me(me(&token)).await;
    assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_call_that_is_unavailable_twice_is_retried_twice() {
    let stumbling = |call| match call % 3 {
        2 => Some(Ok(())),
        _ => Some(Err(Status::unavailable("not now"))),
    };
    let fake = Fake::new(stumbling);
    let mut client = Service::before(fake.start().await, &[]).await.client;
    let (token, _) = registered(&client, "ann@example.com").await;
    assert_eq!(fake.calls(), 3);
    client
        .login(login("ann@example.com", PASSWORD))
        .await
        .unwrap();
    assert_eq!(fake.calls(), 6);
    client.me(me(&token)).await.unwrap();
    assert_eq!(fake.calls(), 9);
}

#[tokio::test]
async fn the_user_service_gets_no_more_time_than_the_caller_waits() {
    let fake = Fake::new(|_| Some(Ok(())));
    let mut client = Service::before(fake.start().await, &[]).await.client;
    let (token, _) = registered(&client, "ann@example.com").await;
    let left = || {
        let text = fake.received("grpc-timeout").unwrap();
        let micros = text.strip_suffix('u').unwrap().parse().unwrap();
        Duration::from_micros(micros)
    };
    for (waits, most) in [
        (None, Duration::from_secs(2)),
        (Some(Duration::from_secs(10)), Duration::from_secs(2)),
        (Some(Duration::from_millis(700)), Duration::from_millis(700)),
    ] {
        let mut request = tonic::Request::new(me(&token));
        if let Some(waits) = waits {
            request.set_timeout(waits);
        }
        client.me(request).await.unwrap();
        assert!(
            left() <= most && left() > most / 2,
            "{waits:?}: {:?}",
            left()
        );
    }
    // An attempt that a client cuts short counts nevertheless.
    let mut request = tonic::Request::new(login("ann@example.com", PASSWORD));
    request.set_timeout(Duration::from_millis(700));
    client.login(request).await.unwrap();
    assert!(left() > Duration::from_secs(3), "{:?}", left());
}

#[tokio::test]
async fn retries_are_bounded() {
    let fake = Fake::failing(Status::unavailable("never"));
    let mut client = Service::before(fake.start().await, &[]).await.client;
    let outcome = client.login(login("ann@example.com", PASSWORD)).await;
    assert_eq!(outcome.unwrap_err().code(), Code::Unavailable);
    assert!((2..=5).contains(&fake.calls()), "{}", fake.calls());
}

#[tokio::test]
async fn an_internal_error_is_not_retried_and_its_reason_only_logged() {
    let fake = Fake::new(|call| match call {
        0 => Some(Ok(())),
        _ => Some(Err(Status::internal("the table of passwords is gone"))),
    });
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path(), fake.start().await);
    let mut process = Process::start(command.env("JWT_SECRET", SECRET));
    let client = client(process.address().await);
    let (token, _) = registered(&client, "ann@example.com").await;

    for outcome in outcomes(&client, &token).await {
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::Internal);
        let details = status.get_error_details();
        let trace_id = &details.request_info().unwrap().request_id;
        assert_eq!(trace_id.len(), 32);
        assert_eq!(
            status.message(),
            format!("internal error, trace {trace_id}")
        );
        assert!(!format!("{status:?}").contains("table"), "{status:?}");
        // The log has the reason.
        let record = process.logged("trace_id", trace_id).await;
        assert_eq!(record["level"], "ERROR");
        let error = record["error"].as_str().unwrap();
        assert!(error.contains("the table of passwords is gone"), "{error}");
    }
    assert_eq!(fake.calls(), 4);
}

#[tokio::test]
async fn an_unexpected_status_is_internal() {
    for code in [
        Code::Unknown,
        Code::PermissionDenied,
        Code::Unimplemented,
        Code::OutOfRange,
        Code::FailedPrecondition,
        Code::Aborted,
        Code::DataLoss,
    ] {
        let fake = Fake::failing(Status::new(code, "the table of passwords is gone"));
        let mut client = Service::before(fake.start().await, &[]).await.client;
        let outcome = client.login(login("ann@example.com", PASSWORD)).await;
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{code:?}");
        assert!(!format!("{status:?}").contains("table"), "{status:?}");
        assert_eq!(fake.calls(), 1, "{code:?}");
    }
}

#[tokio::test]
async fn a_call_fails_as_unavailable_if_the_user_service_is_killed() {
    let port = Port::new();
    let (service, token) = signed_in_before(&port).await;
    let fake = Fake::new(|_| None);
    // The fake has its own runtime. Shutting it down ends all connections at once, like a kill.
    let process = Runtime::new().unwrap();
    {
        let _inside = process.enter();
        process.spawn(fake.clone().serve(port.listen()));
    }
    let mut client = service.client.clone();
    let call = tokio::spawn({
        let token = token.clone();
        async move { client.me(me(&token)).await }
    });
    eventually("the call is under way", async || {
        (fake.calls() == 1).then_some(())
    })
    .await;
    let died = Instant::now();
    process.shutdown_background();
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(died.elapsed() < DEADLINE);

    let back = Fake::new(|_| Some(Ok(())));
    tokio::spawn(back.clone().serve(port.listen()));
    eventually("it comes back", async || {
        service.client.clone().me(me(&token)).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_sign_out_and_the_refusal_of_its_token_do_not_need_the_user_service() {
    // This user service accepts connections and never answers.
    let port = Port::new();
    let _never_accepts = port.listen();
    let (service, token) = signed_in_before(&port).await;
    let request = crate::harness::logout(&token);
    service.client.clone().logout(request).await.unwrap();
    let started = Instant::now();
    assert!(!is_valid(&service.client, &token).await);
    // The deadline of a read of the account is two seconds.
    assert!(started.elapsed() < Duration::from_millis(1900));
}
