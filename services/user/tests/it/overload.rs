//! More passwords than can be hashed, and a hash that takes long.

use std::time::{Duration, Instant};

use chassis::stop::STOP;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use testing::Process;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{PASSWORD, SLOW, Service, binary, by_email, client, create, created};

/// Less than the time after which the supervisors kill a stopping process.
const MARGIN: Duration = Duration::from_secs(1);

/// Starts calls that hash a password, and returns when the expected number is refused. The others
/// are still running, in the returned tasks.
async fn refused(
    client: &crate::harness::Client,
    calls: usize,
    refusals: usize,
) -> (
    Vec<Status>,
    FuturesUnordered<tokio::task::JoinHandle<Result<(), Status>>>,
) {
    let mut running: FuturesUnordered<_> = (0..calls)
        .map(|index| {
            let mut client = client.clone();
            tokio::spawn(async move {
                let email = format!("{index}@example.com");
                let outcome = client.create_user(create(&email, PASSWORD)).await;
                outcome.map(drop)
            })
        })
        .collect();
    let mut refused = Vec::new();
    while refused.len() < refusals {
        let outcome = running.next().await.unwrap().unwrap();
        refused.push(outcome.expect_err("hashed before the others were refused"));
    }
    (refused, running)
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_beyond_the_queue_are_refused_and_reads_go_on() {
    let queue = ["--hash-queue=1"];
    let service = Service::with(&[&SLOW[..], &queue].concat()).await;
    let (refusals, mut running) = refused(&service.client, 6, 4).await;
    for status in refusals {
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert_eq!(status.message(), "too many requests");
        let details = status.get_error_details();
        let delay = details.retry_info().unwrap().retry_delay.unwrap();
        assert!(delay > Duration::ZERO && delay <= Duration::from_secs(60));
    }

    let mut client = service.client.clone();
    for _ in 0..20 {
        let outcome = client.get_user(by_email("nobody@example.com")).await;
        assert_eq!(outcome.unwrap_err().code(), Code::NotFound);
    }
    assert_eq!(running.len(), 2);
    assert!(
        running.iter().all(|call| !call.is_finished()),
        "the reads waited for the hashes"
    );

    while let Some(outcome) = running.next().await {
        outcome.unwrap().unwrap();
    }
    created(&service.client, "later@example.com").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_keeps_its_place_until_its_hash_is_done() {
    let queue = ["--hash-queue=0"];
    let service = Service::with(&[&SLOW[..], &queue].concat()).await;
    let (_, running) = refused(&service.client, 3, 2).await;
    for call in &running {
        call.abort();
    }
    // Otherwise more hashes than allowed would run at the same time.
    let outcome = service
        .connect()
        .create_user(create("nobody@example.com", PASSWORD))
        .await;
    assert_eq!(outcome.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_stop_an_open_call_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path());
    // The hash must end within the drain, even on a busy machine.
    command.args([
        "--hash-iterations=8",
        "--hash-concurrency=1",
        "--hash-queue=0",
    ]);
    let mut process = Process::start(&mut command);
    let address = process.address().await;
    let client = client(address);
    let (_, mut running) = refused(&client, 3, 2).await;

    process.terminate();
    process.logged("message", "stopping").await;
    assert!(
        running.iter().all(|call| !call.is_finished()),
        "the call ended before the stop"
    );
    let port = address.port().to_string();
    let health = Process::run(binary(folder.path()).args(["--port", &port, "health"])).await;
    assert_eq!(health.code, Some(1), "no new calls are taken: {health:?}");

    running.next().await.unwrap().unwrap().unwrap();
    let ended = process.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stderr, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_a_very_long_hash() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path());
    // Such a hash takes half a minute.
    command.args([
        "--hash-memory=65536",
        "--hash-iterations=1000",
        "--hash-concurrency=1",
        "--hash-queue=0",
    ]);
    let mut process = Process::start(&mut command);
    let client = client(process.address().await);
    let (_, running) = refused(&client, 2, 1).await;
    let asked = Instant::now();
    process.terminate();
    let ended = process.ended().await;
    let took = asked.elapsed();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(took < STOP + MARGIN, "{took:?}");
    drop(running);
}
