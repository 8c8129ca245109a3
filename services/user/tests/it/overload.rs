//! More passwords than can be hashed, and one that takes long.

use std::time::{Duration, Instant};

use chassis::stop::STOP;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use testing::Process;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::harness::{PASSWORD, SLOW, Service, binary, by_email, client, create, created};

/// Less than what the supervisors allow beyond a stop.
const MARGIN: Duration = Duration::from_secs(1);

/// Makes so many calls that hash a password, and returns once so many have been refused: the
/// rest is under way then, on the path of the returned handles.
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
async fn what_cannot_wait_to_be_hashed_is_refused_and_reads_go_on() {
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
async fn a_caller_that_goes_away_does_not_free_its_place() {
    let queue = ["--hash-queue=0"];
    let service = Service::with(&[&SLOW[..], &queue].concat()).await;
    let (_, running) = refused(&service.client, 3, 2).await;
    for call in &running {
        call.abort();
    }
    // Processors would be taken by more hashes than allowed.
    let outcome = service
        .connect()
        .create_user(create("nobody@example.com", PASSWORD))
        .await;
    assert_eq!(outcome.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_a_call_under_way_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path());
    // It must end within the drain, on a busy machine too.
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
        "the call was to take longer"
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
async fn a_stop_does_not_wait_for_a_hash_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary(folder.path());
    // Half a minute.
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
