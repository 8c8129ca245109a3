//! More sign-ups at once than password hashes may wait.

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tonic::Code;

use crate::harness::{PASSWORD, Service, me, register, registered, start_user_with};

/// Above the places of the queue for password hashes, 256 by default.
const SIGN_UPS: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_answered_while_sign_ups_wait_for_their_hash() {
    // One hash at a time, each far longer than a read: the queue stays full.
    let slow = [
        "--hash-memory=19456",
        "--hash-iterations=10",
        "--hash-concurrency=1",
    ];
    let service = Service::before(start_user_with(&slow).await, &[]).await;
    let (token, _) = registered(&service.client, "ann@example.com").await;

    let mut running: FuturesUnordered<_> = (0..SIGN_UPS)
        .map(|index| {
            let mut client = service.client.clone();
            let request = register(&format!("{index}@example.com"), PASSWORD);
            tokio::spawn(async move { client.register(request).await.map(drop) })
        })
        .collect();
    // The queue is full as soon as a sign-up is refused.
    loop {
        let outcome = running.next().await.expect("the queue is never full");
        if outcome
            .unwrap()
            .is_err_and(|status| status.code() == Code::ResourceExhausted)
        {
            break;
        }
    }
    for _ in 0..20 {
        service.client.clone().me(me(&token)).await.unwrap();
    }
}
