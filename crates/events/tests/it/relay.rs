//! Tests of the relay: from the outbox to the broker.

use std::collections::HashMap;

use events::{Event, Outbox, USER_TOPIC};
use rdkafka::Message as _;
use tracing::{
    Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use uuid::Uuid;

use crate::harness::{
    Cluster, Memory, PATIENCE, Service, count, database, eventually, follow, header, outbox_length,
    registered,
};

#[tokio::test]
async fn an_event_is_a_cloud_event_in_binary_mode() {
    let cluster = Cluster::start();
    let service = Service::start(&cluster.settings());
    let user = Uuid::now_v7();
    let event = registered(user);
    service.happen(event.clone()).await;
    service.stop().await;

    let records = cluster.records(USER_TOPIC, 1).await;
    let record = &records[0];
    let header = |name| header(record, name);
    assert_eq!(record.key(), Some(user.to_string().as_bytes()));
    assert_eq!(header("ce_specversion").unwrap(), "1.0");
    assert_eq!(header("ce_id").unwrap(), event.id.to_string());
    assert_eq!(header("ce_source").unwrap(), "test");
    assert_eq!(header("ce_type").unwrap(), "otelix.user.registered.v1");
    assert_eq!(header("ce_subject").unwrap(), user.to_string());
    assert_eq!(header("content-type").unwrap(), "application/protobuf");
    let time = header("ce_time").unwrap();
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    // The tag and length of the one field, then the id.
    assert_eq!(&record.payload().unwrap()[2..], user.to_string().as_bytes());
}

#[tokio::test]
async fn an_event_without_a_user_has_its_own_id_as_key() {
    let cluster = Cluster::start();
    let service = Service::start(&cluster.settings());
    let event = Event {
        subject: None,
        ..registered(Uuid::now_v7())
    };
    service.happen(event.clone()).await;
    service.stop().await;
    let records = cluster.records(USER_TOPIC, 1).await;
    assert_eq!(records[0].key(), Some(event.id.to_string().as_bytes()));
    assert_eq!(header(&records[0], "ce_subject"), None);
}

#[tokio::test]
async fn events_of_a_user_stay_in_order_when_the_broker_goes_away() {
    let cluster = Cluster::start();
    let service = Service::start(&cluster.settings());
    let memory = Memory::new();
    let follower = follow(&cluster.settings(), 1000, &memory);
    let users: Vec<Uuid> = (0..7).map(|_| Uuid::now_v7()).collect();
    let mut sent: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for round in 0..60 {
        // The test does not use errors of single requests. Unlike a broker, the mock checks no
        // sequence numbers, and accepts a batch although the previous one has failed.
        match round % 10 {
            5 => cluster.mock.broker_down(1).unwrap(),
            7 => cluster.mock.broker_up(1).unwrap(),
            _ => {}
        }
        for user in &users {
            let event = registered(*user);
            sent.entry(*user).or_default().push(event.id);
            service.happen(event).await;
        }
    }
    memory.has(420).await;
    let mut received: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for event in memory.events() {
        received
            .entry(event.subject.unwrap())
            .or_default()
            .push(event.id);
    }
    assert_eq!(received, sent);
    follower.stop().await;
    service.stop().await;
}

#[tokio::test]
async fn events_during_an_outage_of_the_broker_are_sent_after_it() {
    let cluster = Cluster::start();
    let service = Service::start(&cluster.settings());
    let first = registered(Uuid::now_v7());
    service.happen(first.clone()).await;
    service.drained().await;

    cluster.mock.broker_down(1).unwrap();
    let mut ids = vec![first.id];
    let user = Uuid::now_v7();
    for _ in 0..50 {
        let event = registered(user);
        ids.push(event.id);
        service.happen(event).await;
    }
    assert_eq!(outbox_length(&service.database).await, 50);
    cluster.mock.broker_up(1).unwrap();
    service.drained().await;

    let memory = Memory::new();
    let follower = follow(&cluster.settings(), 1000, &memory);
    memory.has(51).await;
    let mut received = memory.ids();
    received.sort();
    assert_eq!(received, ids);
    follower.stop().await;
    service.stop().await;
}

#[tokio::test]
async fn events_stay_in_the_outbox_while_the_broker_is_away() {
    let cluster = Cluster::start();
    cluster.mock.broker_down(1).unwrap();
    let service = Service::start(&cluster.settings());
    let event = registered(Uuid::now_v7());
    service.happen(event.clone()).await;
    let folder = service.stop().await;

    cluster.mock.broker_up(1).unwrap();
    let service = Service::again(&cluster.settings(), folder);
    service.drained().await;
    let records = cluster.records(USER_TOPIC, 1).await;
    assert_eq!(header(&records[0], "ce_id").unwrap(), event.id.to_string());
    service.stop().await;
}

#[tokio::test]
async fn a_killed_service_loses_no_event() {
    let cluster = Cluster::start();
    let mut folder = None;
    let mut ids = Vec::new();
    for is_away in [false, true, false, true] {
        let service = match folder.take() {
            None => Service::start(&cluster.settings()),
            Some(folder) => Service::again(&cluster.settings(), folder),
        };
        for index in 0..20 {
            if is_away && index == 1 {
                // The following events are sent but cannot arrive.
                service.drained().await;
                cluster.mock.broker_down(1).unwrap();
            }
            let event = registered(Uuid::now_v7());
            ids.push(event.id);
            service.happen(event).await;
        }
        folder = Some(service.kill().await);
        cluster.mock.broker_up(1).unwrap();
    }
    let service = Service::again(&cluster.settings(), folder.unwrap());
    service.drained().await;
    let memory = Memory::new();
    let follower = follow(&cluster.settings(), 1000, &memory);
    memory.has(80).await;
    // Duplicates were dropped.
    let mut received = memory.ids();
    received.sort();
    assert_eq!(received, ids);
    follower.stop().await;
    service.stop().await;
}

/// A log that panics.
struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    #[expect(clippy::panic, reason = "it stands for any panic of the relay")]
    fn event(&self, _event: &tracing::Event<'_>) {
        panic!("of a test");
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[tokio::test]
async fn a_relay_that_panics_ends_its_service() {
    // The relay logs that it cannot create the topics. It runs on this thread.
    let cluster = Cluster::without_topics();
    let folder = tempfile::tempdir().unwrap();
    let (_outbox, relay) = Outbox::new(&cluster.settings(), "test");
    let service = std::future::pending::<anyhow::Result<()>>();
    let relay = relay.during(database(&folder), service);
    let log = tracing::subscriber::set_default(Panics);
    let outcome = tokio::time::timeout(PATIENCE, relay).await.unwrap();
    drop(log);
    let error = format!("{:#}", outcome.unwrap_err());
    assert!(error.contains("the relay of events failed"), "{error}");
    assert!(error.contains("of a test"), "{error}");
}

#[tokio::test]
async fn the_outbox_can_be_long() {
    let cluster = Cluster::start();
    cluster.mock.broker_down(1).unwrap();
    let service = Service::start(&cluster.settings());
    let outbox = service.outbox.clone();
    // More events than the relay sends without an acknowledgement.
    let write = service
        .database
        .write(crate::harness::INSERT, move |connection| {
            (0..10_000)
                .map(|_| outbox.insert(connection, &registered(Uuid::now_v7())))
                .collect::<diesel::QueryResult<Vec<_>>>()
        });
    drop(write.await.unwrap());
    assert_eq!(count(&service.database, "outbox").await, 10_000);
    cluster.mock.broker_up(1).unwrap();
    eventually(async || outbox_length(&service.database).await == 0).await;
    cluster.records(USER_TOPIC, 10_000).await;
    service.stop().await;
}
