//! Tests of consumers: from the broker to the handlers.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use database::Database;
use diesel::RunQueryDsl as _;
use events::{Consumer, Event, Handler, HandlerError, Settings, Start, USER_TOPIC, inbox};
use prost::Message as _;
use proto::events::v1::UserRegistered;
use rdkafka::{
    Message as _,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tempfile::NamedTempFile;
use uuid::Uuid;

use crate::harness::{
    Cluster, INSERT, Memory, Running, Service, cloud_event, count, create_inbox, database,
    eventually, follow, header, produce, registered, settings, until,
};

const KIND: &str = "otelix.user.registered.v1";
const DEAD_LETTERS: &str = "otelix.user.v1.dlq";

fn member<H: Handler>(settings: &Settings, start: Start, handler: H) -> Running {
    let consumer = Consumer::new(settings, "group", &[USER_TOPIC]).starting(start);
    Running::start(move |stopped| async move {
        consumer.run(handler, until(stopped)).await;
    })
}

fn payload() -> Vec<u8> {
    let user_id = Uuid::now_v7().to_string();
    UserRegistered { user_id }.encode_to_vec()
}

#[tokio::test]
async fn a_duplicate_event_is_handled_once() {
    let cluster = Cluster::start();
    let id = Uuid::now_v7();
    for id in [id, id, Uuid::now_v7(), id] {
        let headers = cloud_event(&id.to_string(), KIND);
        produce(&cluster.brokers, 0, "key", &payload(), &headers);
    }
    let memory = Memory::new();
    let follower = follow(&cluster.settings(), 10, &memory);
    memory.has(2).await;
    let last = Uuid::now_v7();
    let headers = cloud_event(&last.to_string(), KIND);
    produce(&cluster.brokers, 0, "key", &payload(), &headers);
    memory.has(3).await;
    assert_eq!(memory.len(), 3);
    assert_eq!(memory.ids()[0], id);
    assert_eq!(memory.ids()[2], last);
    follower.stop().await;
}

#[tokio::test]
async fn a_follower_begins_with_the_last_events_of_each_partition() {
    let cluster = Cluster::start();
    let mut ids = Vec::new();
    for partition in [0, 1] {
        for _ in 0..5 {
            let id = Uuid::now_v7();
            let headers = cloud_event(&id.to_string(), KIND);
            produce(&cluster.brokers, partition, "key", &payload(), &headers);
            ids.push(id);
        }
    }
    for _ in 0..2 {
        // Each follower receives all of them.
        let memory = Memory::new();
        let follower = follow(&cluster.settings(), 2, &memory);
        memory.has(4).await;
        let mut received = memory.ids();
        received.sort();
        assert_eq!(received, [ids[3], ids[4], ids[8], ids[9]]);
        follower.stop().await;
    }
}

#[tokio::test]
async fn a_follower_without_earlier_events_receives_new_ones() {
    let cluster = Cluster::start();
    let send = || {
        let id = Uuid::now_v7();
        let headers = cloud_event(&id.to_string(), KIND);
        produce(&cluster.brokers, 0, "key", &payload(), &headers);
        id
    };
    let before = send();
    let memory = Memory::new();
    let follower = follow(&cluster.settings(), 0, &memory);
    eventually(async || {
        send();
        memory.len() > 0
    })
    .await;
    assert!(!memory.ids().contains(&before));
    follower.stop().await;
}

#[tokio::test]
async fn undecodable_records_become_dead_letters_and_others_are_handled() {
    let cluster = Cluster::start();
    let id = Uuid::now_v7().to_string();
    let without = |name: &str| {
        let mut headers = cloud_event(&id, KIND);
        headers.retain(|(header, _)| *header != name);
        headers
    };
    let poison = [
        (payload(), Vec::new()),
        (payload(), without("ce_id")),
        (payload(), cloud_event("x", KIND)),
        (b"\xff\xff".to_vec(), cloud_event(&id, KIND)),
    ];
    for (payload, headers) in &poison {
        produce(&cluster.brokers, 3, "a key", payload, headers);
    }
    produce(
        &cluster.brokers,
        3,
        "b",
        &payload(),
        &cloud_event(&id, KIND),
    );

    let memory = Memory::new();
    let consumer = member(&cluster.settings(), Start::Earliest, memory.clone());
    memory.has(1).await;
    let records = cluster.records(DEAD_LETTERS, poison.len()).await;
    consumer.stop().await;
    for (offset, (record, (payload, headers))) in records.iter().zip(&poison).enumerate() {
        assert_eq!(record.key(), Some(&b"a key"[..]));
        assert_eq!(record.payload(), Some(&payload[..]));
        let header = |name| header(record, name).unwrap();
        for (name, value) in headers {
            assert_eq!(&header(name), value);
        }
        assert_eq!(header("dlq.reason"), "undecodable");
        assert!(header("dlq.exception").starts_with("the record cannot be read: "));
        assert_eq!(header("dlq.topic"), USER_TOPIC);
        assert_eq!(header("dlq.partition"), "3");
        assert_eq!(header("dlq.offset"), offset.to_string());
        assert_eq!(header("dlq.group"), "group");
    }
    assert_eq!(memory.len(), 1);
}

#[tokio::test]
async fn an_event_of_an_unknown_type_is_skipped() {
    let cluster = Cluster::start();
    let id = || Uuid::now_v7().to_string();
    let mut newer = cloud_event(&id(), "otelix.user.renamed.v2");
    // Its data may have another format, too.
    newer.retain(|(header, _)| *header != "content-type");
    let records = [
        (b"{}".to_vec(), newer),
        (b"\xff\xff".to_vec(), cloud_event(&id(), KIND)),
        (payload(), cloud_event(&id(), KIND)),
    ];
    for (payload, headers) in &records {
        produce(&cluster.brokers, 0, "key", payload, headers);
    }
    let memory = Memory::new();
    let consumer = member(&cluster.settings(), Start::Earliest, memory.clone());
    memory.has(1).await;
    // The first dead letter is the second record.
    let dead = cluster.records(DEAD_LETTERS, 1).await;
    assert_eq!(header(&dead[0], "dlq.offset").unwrap(), "1");
    consumer.stop().await;
}

#[tokio::test]
async fn failed_events_are_retried_and_then_become_dead_letters() {
    let cluster = Cluster::start();
    let ids: Vec<Uuid> = (0..4).map(|_| Uuid::now_v7()).collect();
    for id in &ids {
        let headers = cloud_event(&id.to_string(), KIND);
        produce(&cluster.brokers, 0, "key", &payload(), &headers);
    }
    let (recovers, never, refused) = (ids[0], ids[1], ids[2]);
    let calls = AtomicUsize::new(0);
    let memory = Memory::with(move |_, event| {
        if event.id == refused {
            return Err(HandlerError::Fatal("not wanted".into()));
        }
        let fails = event.id == never
            || (event.id == recovers && calls.fetch_add(1, Ordering::Relaxed) < 2);
        if fails {
            return Err(HandlerError::Retryable("busy".into()));
        }
        Ok(())
    });
    let consumer = member(&cluster.settings(), Start::Earliest, memory.clone());
    let records = cluster.records(DEAD_LETTERS, 2).await;
    memory.has(11).await;
    consumer.stop().await;

    let attempts = |id| memory.ids().iter().filter(|other| **other == id).count();
    assert_eq!(
        ids.iter().map(|id| attempts(*id)).collect::<Vec<_>>(),
        [3, 6, 1, 1]
    );
    assert_eq!(header(&records[0], "ce_id").unwrap(), never.to_string());
    assert_eq!(
        header(&records[0], "dlq.reason").unwrap(),
        "retries_exhausted"
    );
    assert!(
        header(&records[0], "dlq.exception")
            .unwrap()
            .ends_with(": busy")
    );
    assert_eq!(header(&records[1], "ce_id").unwrap(), refused.to_string());
    assert_eq!(header(&records[1], "dlq.reason").unwrap(), "rejected");
}

#[tokio::test]
async fn a_panic_makes_only_its_own_event_a_dead_letter() {
    let cluster = Cluster::start();
    for _ in 0..2 {
        let headers = cloud_event(&Uuid::now_v7().to_string(), KIND);
        produce(&cluster.brokers, 0, "key", &payload(), &headers);
    }
    let memory = Memory::with(|index, _| match index {
        0 => panic!("of a test"),
        _ => Ok(()),
    });
    let consumer = member(&cluster.settings(), Start::Earliest, memory.clone());
    memory.has(2).await;
    let records = cluster.records(DEAD_LETTERS, 1).await;
    assert!(
        header(&records[0], "dlq.exception")
            .unwrap()
            .contains("of a test")
    );
    consumer.stop().await;
}

#[tokio::test]
async fn a_group_continues_where_it_was_stopped() {
    let cluster = Cluster::start();
    let service = Service::start(&cluster.settings());
    let mut ids = Vec::new();
    for round in 1..=2 {
        for _ in 0..10 {
            let event = registered(Uuid::now_v7());
            ids.push(event.id);
            service.happen(event).await;
        }
        let memory = Memory::new();
        let consumer = member(&cluster.settings(), Start::Earliest, memory.clone());
        memory.has(10).await;
        // The end of a consumer commits all handled events, and not only the interval.
        consumer.stop().await;
        let mut received = memory.ids();
        received.sort();
        assert_eq!(received, ids[(round - 1) * 10..]);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_group_can_begin_with_the_last_events() {
    let cluster = Cluster::start();
    let mut ids = Vec::new();
    let send = |ids: &mut Vec<Uuid>| {
        let id = Uuid::now_v7();
        let headers = cloud_event(&id.to_string(), KIND);
        produce(&cluster.brokers, 2, "key", &payload(), &headers);
        ids.push(id);
    };
    for _ in 0..5 {
        send(&mut ids);
    }
    let memory = Memory::new();
    let consumer = member(&cluster.settings(), Start::Tail(2), memory.clone());
    memory.has(2).await;
    assert_eq!(memory.ids(), ids[3..]);
    consumer.stop().await;

    // The group has begun, so it continues with new events.
    for _ in 0..3 {
        send(&mut ids);
    }
    let memory = Memory::new();
    let consumer = member(&cluster.settings(), Start::Tail(2), memory.clone());
    memory.has(3).await;
    assert_eq!(memory.ids(), ids[5..]);
    consumer.stop().await;
}

#[tokio::test]
async fn a_group_whose_first_commit_fails_still_begins_with_the_last_events() {
    let cluster = Cluster::start();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let id = Uuid::now_v7();
        let headers = cloud_event(&id.to_string(), KIND);
        produce(&cluster.brokers, 2, "key", &payload(), &headers);
        ids.push(id);
    }
    cluster.mock.request_errors(
        RDKafkaApiKey::OffsetCommit,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED],
    );
    let memory = Memory::new();
    let consumer = member(&cluster.settings(), Start::Tail(2), memory.clone());
    memory.has(2).await;
    assert_eq!(memory.ids(), ids[3..]);
    consumer.stop().await;
}

#[tokio::test]
async fn a_member_replaces_a_client_that_failed() {
    let cluster = Cluster::start();
    cluster.mock.request_errors(
        RDKafkaApiKey::SyncGroup,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID],
    );
    let headers = cloud_event(&Uuid::now_v7().to_string(), KIND);
    produce(&cluster.brokers, 0, "key", &payload(), &headers);
    let memory = Memory::new();
    let consumer = member(&cluster.settings(), Start::Earliest, memory.clone());
    memory.has(1).await;
    consumer.stop().await;
}

#[tokio::test]
async fn a_slow_close_of_a_client_is_not_logged_as_an_unfinished_event() {
    let cluster = Cluster::start();
    let headers = cloud_event(&Uuid::now_v7().to_string(), KIND);
    produce(&cluster.brokers, 0, "key", &payload(), &headers);
    let log = NamedTempFile::new().unwrap();
    let writer = Mutex::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt().with_writer(writer).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let memory = Memory::new();
    let consumer = member(&cluster.settings(), Start::Earliest, memory.clone());
    memory.has(1).await;
    // The last commit takes longer than the deadline for closing the client.
    let delay = Duration::from_secs(20);
    cluster.mock.broker_round_trip_time(1, delay).unwrap();
    let started = Instant::now();
    consumer.stop().await;
    assert!(started.elapsed() < delay);
    drop(guard);
    let log = fs::read_to_string(log.path()).unwrap();
    assert!(log.contains("partitions assigned"), "{log}");
    assert!(!log.contains("handle"), "{log}");
}

#[tokio::test]
async fn members_of_a_group_share_the_events() {
    let cluster = Cluster::start();
    let memories = [Memory::new(), Memory::new()];
    let consumers = memories
        .each_ref()
        .map(|memory| member(&cluster.settings(), Start::Earliest, memory.clone()));
    let service = Service::start(&cluster.settings());
    let total = || memories[0].len() + memories[1].len();
    eventually(async || {
        for _ in 0..10 {
            service.happen(registered(Uuid::now_v7())).await;
        }
        memories.iter().all(|memory| memory.len() > 0)
    })
    .await;
    service.drained().await;
    let [one, two] = consumers;
    one.stop().await;
    // The other member has all partitions now. It receives no committed event again.
    let before = total();
    service.happen(registered(Uuid::now_v7())).await;
    eventually(async || total() > before).await;
    two.stop().await;
    let mut ids: Vec<Uuid> = memories.iter().flat_map(Memory::ids).collect();
    let received = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), received, "an event was handled twice");
    service.stop().await;
}

/// A handler that writes an effect for each event, once, and then does not return.
struct Effects {
    database: Database,
    hangs: bool,
    calls: Arc<AtomicUsize>,
}

impl Handler for Effects {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let id = event.id;
        self.database
            .write(INSERT, move |connection| {
                if inbox::first_time(connection, id)? {
                    diesel::sql_query(format!("INSERT INTO effects VALUES ('{id}')"))
                        .execute(connection)?;
                }
                Ok(())
            })
            .await
            .map_err(|error| HandlerError::Retryable(error.into()))?;
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_kill_between_work_and_commit_has_no_second_effect() {
    let cluster = Cluster::start();
    let folder = tempfile::tempdir().unwrap();
    let database = database(&folder);
    create_inbox(&database).await;
    let headers = cloud_event(&Uuid::now_v7().to_string(), KIND);
    produce(&cluster.brokers, 0, "key", &payload(), &headers);

    let calls = Arc::new(AtomicUsize::new(0));
    for hangs in [true, false] {
        let before = calls.load(Ordering::Relaxed);
        let effects = Effects {
            database: database.clone(),
            hangs,
            calls: Arc::clone(&calls),
        };
        let consumer = member(&cluster.settings(), Start::Earliest, effects);
        eventually(async || calls.load(Ordering::Relaxed) > before).await;
        assert_eq!(count(&database, "effects").await, 1);
        consumer.kill().await;
    }
    assert_eq!(
        calls.load(Ordering::Relaxed),
        2,
        "the event is delivered again"
    );
}

#[tokio::test]
async fn a_handler_is_notified_when_the_broker_goes_away_and_when_it_is_back() {
    let cluster = Cluster::start();
    let send = || {
        let headers = cloud_event(&Uuid::now_v7().to_string(), KIND);
        produce(&cluster.brokers, 0, "key", &payload(), &headers);
    };
    send();
    let memory = Memory::new();
    let consumers = [
        follow(&cluster.settings(), 10, &memory),
        member(&cluster.settings(), Start::Earliest, memory.clone()),
    ];
    memory.has(2).await;
    assert!(memory.connections().is_empty());

    cluster.mock.broker_down(1).unwrap();
    eventually(async || memory.connections() == [false; 2]).await;
    cluster.mock.broker_up(1).unwrap();
    eventually(async || memory.connections() == [false, false, true, true]).await;
    send();
    memory.has(4).await;
    for consumer in consumers {
        consumer.stop().await;
    }
    assert_eq!(memory.connections().len(), 4);
}

#[tokio::test]
async fn a_handler_is_notified_of_a_broker_that_is_away_at_the_start() {
    let cluster = Cluster::start();
    cluster.mock.broker_down(1).unwrap();
    let (late, never) = (Memory::new(), Memory::new());
    let consumers = [
        follow(&cluster.settings(), 10, &late),
        // Nothing listens there.
        follow(&settings("127.0.0.1:1"), 10, &never),
    ];
    eventually(async || late.connections() == [false]).await;
    cluster.mock.broker_up(1).unwrap();
    eventually(async || late.connections() == [false, true]).await;
    eventually(async || never.connections() == [false]).await;
    for consumer in consumers {
        consumer.stop().await;
    }
}
