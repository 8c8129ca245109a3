//! A flood of sign-ups, each from another address: more than can be hashed.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use testing::eventually;
use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{
    PASSWORD, Service, is_valid, login, register_from, registered, start_user_with,
};

/// More than the places for sign-ups: `HASH_QUEUE` that wait, and those that are being hashed.
const CALLERS: u32 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_sign_ups_delays_neither_sign_ins_nor_reads() {
    let hashing = ["--hash-memory=1024", "--hash-concurrency=1"];
    let service = Service::before(start_user_with(&hashing).await, &[]).await;
    let (token, _) = registered(&service.client, "ann@example.com").await;

    let (next, refused) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut flood = JoinSet::new();
    for _ in 0..CALLERS {
        let (next, refused) = (Arc::clone(&next), Arc::clone(&refused));
        let mut client = service.client.clone();
        flood.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let address = Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + number);
                let email = format!("{number}@example.com");
                let request = register_from(&address.to_string(), &email, PASSWORD);
                match client.register(request).await {
                    Err(status) if status.code() == Code::ResourceExhausted => {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                    // Not hashed within the deadline.
                    Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
                    Ok(_) => {}
                }
            }
        });
    }
    eventually("the places are taken", async || {
        (refused.load(Ordering::Relaxed) > 0).then_some(())
    })
    .await;

    for _ in 0..5 {
        assert!(is_valid(&service.client, &token).await);
        let mut client = service.client.clone();
        let opened = client.login(login("ann@example.com", PASSWORD)).await;
        let token = opened.unwrap().into_inner().session.unwrap().token;
        assert!(is_valid(&service.client, &token).await);
    }
    assert_eq!(flood.len(), CALLERS as usize, "the flood is over");
}
