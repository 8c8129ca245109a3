//! Acknowledged accounts survive a kill of the process.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use testing::Process;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::harness::{Client, PASSWORD, cheap_binary, client, create_as, verify};

const ROUNDS: usize = 4;
const CALLERS: usize = 8;

/// Registers accounts until the connection is lost. Reports each account before and after its call.
async fn register(mut client: Client, attempts: mpsc::UnboundedSender<(Uuid, bool)>) {
    loop {
        let id = Uuid::now_v7();
        let _ = attempts.send((id, false));
        let outcome = client.create_user(create_as(&id.to_string(), &email(id)));
        match tokio::time::timeout(Duration::from_secs(10), outcome).await {
            Ok(Ok(_)) => {
                let _ = attempts.send((id, true));
            }
            Ok(Err(_)) => return,
            Err(_) => panic!("a call to a dead process hangs"),
        }
    }
}

fn email(id: Uuid) -> String {
    format!("{id}@example.com")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_acknowledged_account() {
    let folder = tempfile::tempdir().unwrap();
    // By id, whether the account was acknowledged.
    let mut accounts: HashMap<Uuid, bool> = HashMap::new();

    for round in 0..ROUNDS {
        let mut process = Process::start(&mut cheap_binary(folder.path()));
        let address = process.address().await;
        let (sender, mut attempts) = mpsc::unbounded_channel();
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| tokio::spawn(register(client(address), sender.clone())))
            .collect();
        drop(sender);

        // Kills during calls, after another time in each round.
        let mut acknowledged = 0;
        while acknowledged < 20 + 7 * round {
            let (id, done) = attempts.recv().await.unwrap();
            acknowledged += usize::from(done);
            accounts.insert(id, done);
        }
        drop(process);
        for caller in callers {
            caller.await.unwrap();
        }
        while let Ok((id, done)) = attempts.try_recv() {
            accounts.insert(id, done);
        }
    }
    let lost = accounts.values().filter(|done| !**done).count();
    assert!(
        lost > 0,
        "no call was under way when the process was killed"
    );

    let mut process = Process::start(&mut cheap_binary(folder.path()));
    let client = client(process.address().await);
    join_all(accounts.into_iter().map(async |(id, acknowledged)| {
        let mut client = client.clone();
        let (id, email) = (id.to_string(), email(id));
        if acknowledged {
            let found = client.verify_password(verify(&email, PASSWORD)).await;
            assert_eq!(found.unwrap().into_inner().user.unwrap().id, id);
        }
        // The repetition succeeds whether or not the first call did.
        let repeated = client.create_user(create_as(&id, &email)).await;
        assert_eq!(repeated.unwrap().into_inner().user.unwrap().id, id);
        let found = client.verify_password(verify(&email, PASSWORD)).await;
        assert_eq!(found.unwrap().into_inner().user.unwrap().id, id);
    }))
    .await;
}
