//! A broker, a service with an outbox, and handlers that record their events.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime},
};

use clap::{Args as _, FromArgMatches as _};
use database::{Database, Statement};
use diesel::{QueryableByName, RunQueryDsl as _, connection::SimpleConnection as _};
use events::{
    AUTH_TOPIC, Data, Event, Handler, HandlerError, MIGRATIONS, Outbox, Settings, USER_TOPIC,
    Written,
};
use opentelemetry::Context;
use proto::events::v1::UserRegistered;
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{Header, Headers as _, OwnedHeaders, OwnedMessage},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};
use tempfile::TempDir;
use tokio::{runtime::Builder, sync::oneshot, task::JoinHandle};
use uuid::Uuid;

/// Deadline of each wait.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const PARTITIONS: i32 = 6;

pub(crate) const INSERT: Statement = Statement::new("INSERT effects");

/// A broker that tests can make unavailable.
pub(crate) struct Cluster {
    pub(crate) mock: MockCluster<'static, DefaultProducerContext>,
    pub(crate) brokers: String,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let cluster = Self::without_topics();
        for topic in [USER_TOPIC, AUTH_TOPIC] {
            let create = |name: &str| cluster.mock.create_topic(name, PARTITIONS, 1).unwrap();
            create(topic);
            create(&format!("{topic}.dlq"));
        }
        cluster
    }

    /// A broker without topics. As a mock cluster, it cannot create them on request.
    pub(crate) fn without_topics() -> Self {
        let mock = MockCluster::new(1).unwrap();
        let brokers = mock.bootstrap_servers();
        Self { mock, brokers }
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(&self.brokers)
    }

    /// All records of a topic, once there are `count`.
    pub(crate) async fn records(&self, topic: &str, count: usize) -> Vec<OwnedMessage> {
        records(&self.brokers, topic, count).await
    }
}

/// Settings from arguments alone, without the environment of the tests.
pub(crate) fn settings(brokers: &str) -> Settings {
    Settings::of(brokers).unwrap()
}

pub(crate) fn parse(args: &[&str]) -> Settings {
    let command =
        Settings::augment_args(clap::Command::new("test")).mut_args(|arg| arg.env(None::<&str>));
    let matches = command
        .try_get_matches_from([&["test"], args].concat())
        .unwrap();
    Settings::from_arg_matches(&matches).unwrap()
}

/// A database with an outbox, an inbox, and a table for the effects of events.
pub(crate) fn database(folder: &TempDir) -> Database {
    Database::open(&folder.path().join("test.db"), &[MIGRATIONS]).unwrap()
}

pub(crate) async fn create_inbox(database: &Database) {
    let create = |connection: &mut diesel::SqliteConnection| {
        connection.batch_execute(
            "CREATE TABLE inbox (id TEXT PRIMARY KEY NOT NULL, received_at INTEGER NOT NULL)
                STRICT, WITHOUT ROWID;
             CREATE TABLE effects (event_id TEXT NOT NULL) STRICT;",
        )
    };
    database.write(INSERT, create).await.unwrap();
}

/// A service that only produces events. Its relay has a thread and a runtime of its own, so that
/// [`Service::kill`] ends every task of it.
pub(crate) struct Service {
    pub(crate) database: Database,
    pub(crate) outbox: Outbox,
    pub(crate) folder: Arc<TempDir>,
    stop: oneshot::Sender<()>,
    kill: oneshot::Sender<()>,
    ended: oneshot::Receiver<anyhow::Result<()>>,
}

impl Service {
    pub(crate) fn start(settings: &Settings) -> Self {
        Self::again(settings, Arc::new(tempfile::tempdir().unwrap()))
    }

    /// A service on the folder of an earlier one.
    pub(crate) fn again(settings: &Settings, folder: Arc<TempDir>) -> Self {
        let database = database(&folder);
        let (outbox, relay) = Outbox::new(settings, "test");
        let (stop, stopped) = oneshot::channel();
        let (kill, killed) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let service = async {
            until(stopped).await;
            Ok(())
        };
        let run = relay.during(database.clone(), service);
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let outcome = runtime.block_on(async {
                tokio::select! {
                    outcome = run => outcome,
                    Ok(()) = killed => Ok(()),
                }
            });
            // Drops the tasks of the relay.
            drop(runtime);
            let _ = ending.send(outcome);
        });
        Self {
            database,
            outbox,
            folder,
            stop,
            kill,
            ended,
        }
    }

    /// Writes an event to the database.
    pub(crate) async fn happen(&self, event: Event) {
        let outbox = self.outbox.clone();
        let written: Written = self
            .database
            .write(INSERT, move |connection| outbox.insert(connection, &event))
            .await
            .unwrap();
        drop(written);
    }

    /// Stops the service as SIGTERM does.
    pub(crate) async fn stop(self) -> Arc<TempDir> {
        drop(self.stop);
        outcome(self.ended).await.unwrap();
        self.folder
    }

    /// Ends the service as `kill -9` does: no task of the relay runs after this, or is notified before.
    pub(crate) async fn kill(self) -> Arc<TempDir> {
        self.kill.send(()).unwrap();
        outcome(self.ended).await.unwrap();
        self.folder
    }

    /// Waits until the broker has all events.
    pub(crate) async fn drained(&self) {
        eventually(async || outbox_length(&self.database).await == 0).await;
    }
}

async fn outcome(ended: oneshot::Receiver<anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::time::timeout(PATIENCE, ended)
        .await
        .unwrap()
        .unwrap()
}

pub(crate) async fn outbox_length(database: &Database) -> i64 {
    count(database, "outbox").await
}

pub(crate) async fn count(database: &Database, table: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let query = format!("SELECT count(*) AS count FROM {table}");
    database
        .read(Statement::new("SELECT test"), move |connection| {
            diesel::sql_query(query).get_result::<Count>(connection)
        })
        .await
        .unwrap()
        .count
}

/// Waits until a condition holds.
pub(crate) async fn eventually(holds: impl AsyncFn() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
}

/// An event of this user.
pub(crate) fn registered(user: Uuid) -> Event {
    let data = Data::UserRegistered(UserRegistered {
        user_id: user.to_string(),
    });
    Event {
        time: SystemTime::now(),
        trace: Context::new(),
        ..Event::new("test", Some(user), data)
    }
}

/// A handler that records the events and runs a script for each.
#[derive(Clone)]
pub(crate) struct Memory {
    events: Arc<Mutex<Vec<Event>>>,
    connections: Arc<Mutex<Vec<bool>>>,
    script: Arc<Script>,
}

/// The result of each call, by its index from 0.
type Script = dyn Fn(usize, &Event) -> Result<(), HandlerError> + Send + Sync;

impl Memory {
    pub(crate) fn new() -> Self {
        Self::with(|_, _| Ok(()))
    }

    pub(crate) fn with(
        script: impl Fn(usize, &Event) -> Result<(), HandlerError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            events: Arc::default(),
            connections: Arc::default(),
            script: Arc::new(script),
        }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) fn ids(&self) -> Vec<Uuid> {
        self.events().iter().map(|event| event.id).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    /// The values that [`Handler::connected`] was called with.
    pub(crate) fn connections(&self) -> Vec<bool> {
        self.connections.lock().unwrap().clone()
    }

    /// Waits until the handler has been called `count` times.
    pub(crate) async fn has(&self, count: usize) {
        eventually(async || self.len() >= count).await;
    }
}

impl Handler for Memory {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let index = {
            let mut events = self.events.lock().unwrap();
            events.push(event.clone());
            events.len() - 1
        };
        (self.script)(index, event)
    }

    fn connected(&self, is_connected: bool) {
        self.connections.lock().unwrap().push(is_connected);
    }
}

/// A consumer that runs until it is stopped.
pub(crate) struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start<F: Future<Output = ()> + Send + 'static>(
        run: impl FnOnce(oneshot::Receiver<()>) -> F,
    ) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop,
            task: tokio::spawn(run(stopped)),
        }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap();
    }

    /// Cancels the consumer at any point. Unlike after `kill -9`, its client still leaves the group.
    /// `tests/kafka` kills a process.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

/// Ends when the sender is dropped.
pub(crate) async fn until(stopped: oneshot::Receiver<()>) {
    let _ = stopped.await;
}

/// Follows the users' topic.
pub(crate) fn follow(settings: &Settings, last: usize, memory: &Memory) -> Running {
    let (settings, memory) = (settings.clone(), memory.clone());
    Running::start(move |stopped| async move {
        events::follow(&settings, &[USER_TOPIC], last, memory, until(stopped)).await;
    })
}

/// All records of a topic, once there are `count`, in the order of each partition.
pub(crate) async fn records(brokers: &str, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let (brokers, topic) = (brokers.to_owned(), topic.to_owned());
    let read = telemetry::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "records")
            .set("fetch.wait.max.ms", "10")
            .create()
            .unwrap();
        let mut partitions = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            partitions
                .add_partition_offset(&topic, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&partitions).unwrap();
        let mut records = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while records.len() < count && Instant::now() < deadline {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                records.push(message.detach());
            }
        }
        records
    });
    let records = read.await;
    assert_eq!(records.len(), count);
    records
}

/// A header of a record, as text.
pub(crate) fn header(record: &OwnedMessage, name: &str) -> Option<String> {
    let headers = record.headers()?;
    let value = headers.iter().find(|header| header.key == name)?.value?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

/// The headers of an event of this project.
pub(crate) fn cloud_event(id: &str, kind: &str) -> Vec<(&'static str, String)> {
    vec![
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", id.to_owned()),
        ("ce_source", "test".to_owned()),
        ("ce_type", kind.to_owned()),
        ("content-type", "application/protobuf".to_owned()),
    ]
}

/// Sends a record as another producer would.
pub(crate) fn produce(
    brokers: &str,
    partition: i32,
    key: &str,
    payload: &[u8],
    headers: &[(&str, String)],
) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "0")
        .create()
        .unwrap();
    let headers = headers
        .iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header {
                key,
                value: Some(value),
            })
        });
    let record = BaseRecord::to(USER_TOPIC)
        .partition(partition)
        .key(key)
        .payload(payload)
        .headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}
