//! Several instances as processes, of which some are killed or frozen.

use std::time::{Duration, Instant};

use chassis::client::Channel;
use futures_util::future::join_all;
use proto::user::v1::user_service_client::UserServiceClient;
use tempfile::TempDir;
use testing::Process;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::harness::{by_id, cheap_binary};

/// Deadline of a read, the same as that of `auth`.
const DEADLINE: Duration = Duration::from_secs(2);

/// Calls of all clients together.
const CALLS: usize = 500;

struct Instance {
    process: Process,
    _folder: TempDir,
}

impl Instance {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            process: Process::start(&mut cheap_binary(folder.path())),
            _folder: folder,
        }
    }
}

/// Makes calls, 8 at a time, and `disturb` after a fifth of them. Each gets an answer within its deadline. Returns how many
/// needed a retry.
async fn answered(channel: &Channel, disturb: impl FnOnce()) -> usize {
    let mut disturb = Some(disturb);
    let mut retries = 0;
    for round in 0..CALLS / 8 {
        if round == CALLS / 40 {
            disturb.take().unwrap()();
        }
        let calls = (0..8).map(async |_| {
            let started = Instant::now();
            let mut attempts = 0;
            let call = channel.retry(DEADLINE, |attempt| {
                attempts += 1;
                let mut client = UserServiceClient::new(channel.clone());
                let request = attempt.request(by_id(&Uuid::now_v7().to_string()));
                async move { client.get_user(request).await }
            });
            let status: Status = call.await.unwrap_err();
            assert_eq!(status.code(), Code::NotFound, "{status:?}");
            assert!(started.elapsed() < DEADLINE);
            usize::from(attempts > 1)
        });
        retries += join_all(calls).await.iter().sum::<usize>();
    }
    retries
}

#[tokio::test]
async fn calls_go_round_instances_that_are_killed_or_frozen() {
    let mut instances = [Instance::start(), Instance::start(), Instance::start()];
    let mut addresses = Vec::new();
    for instance in &mut instances {
        addresses.push(instance.process.address().await.to_string());
    }
    let addresses = addresses.join(",").parse().unwrap();
    let channel = Channel::new(&addresses, proto::METHODS);
    let [one, two, three] = instances;

    let retries = answered(&channel, || two.process.signal("STOP")).await;
    assert!((1..10).contains(&retries), "{retries}");
    let retries = answered(&channel, || three.process.signal("KILL")).await;
    assert!(retries < 10, "{retries}");
    // The frozen one goes on, and has all calls once the last of the others is killed.
    two.process.signal("CONT");
    let retries = answered(&channel, || one.process.signal("KILL")).await;
    assert!(retries < 10, "{retries}");
}
