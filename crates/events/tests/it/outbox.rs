//! Tests of the outbox.

use diesel::result::Error as QueryError;
use events::Outbox;
use uuid::Uuid;

use crate::harness::{
    Cluster, INSERT, Memory, Service, database, follow, outbox_length, parse, registered,
};

#[tokio::test]
async fn a_change_that_is_rolled_back_has_no_event() {
    let cluster = Cluster::start();
    let service = Service::start(&cluster.settings());
    let memory = Memory::new();
    let follower = follow(&cluster.settings(), 10, &memory);

    let (outbox, event) = (service.outbox.clone(), registered(Uuid::now_v7()));
    let outcome: Result<(), _> = service
        .database
        .write(INSERT, move |connection| {
            drop(outbox.insert(connection, &event)?);
            Err(QueryError::RollbackTransaction)
        })
        .await;
    assert!(outcome.is_err());
    assert_eq!(outbox_length(&service.database).await, 0);

    let event = registered(Uuid::now_v7());
    service.happen(event.clone()).await;
    memory.has(1).await;
    assert_eq!(memory.ids(), [event.id]);
    follower.stop().await;
    service.stop().await;
}

#[tokio::test]
async fn without_brokers_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder);
    let (outbox, relay) = Outbox::new(&parse(&[]), "test");
    let service = async {
        let event = registered(Uuid::now_v7());
        outbox.later(&event);
        let outbox = outbox.clone();
        let insert = database.write(INSERT, move |connection| outbox.insert(connection, &event));
        drop(insert.await.unwrap());
        Ok(())
    };
    relay.during(database.clone(), service).await.unwrap();
    assert_eq!(outbox_length(&database).await, 0);
}

#[tokio::test]
async fn an_event_without_a_change_is_written_and_sent_too() {
    let cluster = Cluster::start();
    let service = Service::start(&cluster.settings());
    // Connects the producer: a stop leaves an event in the outbox if the broker is not reached in time.
    let first = registered(Uuid::now_v7());
    service.happen(first.clone()).await;
    service.drained().await;
    let event = registered(Uuid::now_v7());
    service.outbox.later(&event);
    // Not awaited, because a stop writes and sends the event.
    let folder = service.stop().await;
    assert_eq!(outbox_length(&database(&folder)).await, 0);

    let memory = Memory::new();
    let follower = follow(&cluster.settings(), 10, &memory);
    memory.has(2).await;
    let mut ids = memory.ids();
    ids.sort();
    assert_eq!(ids, [first.id, event.id]);
    follower.stop().await;
}
