//! Benchmark of events from the outbox to the handlers: `cargo bench -p events`. It uses librdkafka's
//! mock cluster and, if it is on PATH, Apache Kafka.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::ensure;
use database::{Database, Statement};
use diesel::QueryResult;
use e2e::{
    Stack,
    measure::{Latencies, print, table, wanted},
    stack::BROKER,
};
use events::{Broker, Data, Event, Handler, HandlerError, Outbox, Settings, USER_TOPIC};
use proto::events::v1::UserRegistered;
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
};
use uuid::Uuid;

const INSERT: Statement = Statement::new("INSERT bench");

/// Events in the full outbox.
const FULL: usize = 100_000;

/// Events in one transaction when the outbox is filled.
const BATCH: usize = 1_000;

/// Rates of single events, in events a second, and the duration of each measurement.
const RATES: [u32; 2] = [100, 1_000];
const DURATION: Duration = Duration::from_secs(20);

/// A handler that measures the time since the creation of each event.
#[derive(Clone)]
struct Stopwatch {
    latencies: Arc<Mutex<Latencies>>,
    received: Arc<Semaphore>,
}

impl Handler for Stopwatch {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let latency = SystemTime::now().duration_since(event.time);
        let mut latencies = self
            .latencies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        latencies.record(latency.unwrap_or_default());
        drop(latencies);
        self.received.add_permits(1);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if wanted()?.is_none() {
        return Ok(());
    }
    let mut report = table([
        "broker",
        "full outbox, events/s",
        "events/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "not committed in time",
    ]);
    let mut measure = async |name: &str, brokers: &str| -> anyhow::Result<()> {
        let settings = Settings::of(brokers)?;
        let full = format!("{:.0}", full(&settings).await?);
        for rate in RATES {
            let (latencies, refused) = one_by_one(&settings, rate).await?;
            let ms = |quantile| format!("{:.1}", latencies.quantile(quantile).as_secs_f64() * 1e3);
            report.add_row([
                name,
                &full,
                &rate.to_string(),
                &ms(0.5),
                &ms(0.99),
                &ms(1.0),
                &refused.to_string(),
            ]);
        }
        Ok(())
    };
    if Stack::missing(&[BROKER]).is_empty() {
        let folder = tempfile::tempdir()?;
        let backends = Stack::start(folder.path(), &[BROKER]).await?;
        measure("Apache Kafka", &backends.broker()).await?;
    }
    let mock = Broker::start(6)?;
    measure("mock", &mock.address().to_string()).await?;
    print(&report)
}

/// Events a second that a full outbox sends, until the last one is removed.
async fn full(settings: &Settings) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let database = Database::open(&folder.path().join("bench.db"), &[events::MIGRATIONS])?;
    let (outbox, relay) = Outbox::new(settings, "bench");
    fill(&database, &outbox).await?;
    let started = Instant::now();
    let service = async {
        empty(&database).await?;
        anyhow::Ok(started.elapsed())
    };
    let elapsed = relay.during(database.clone(), service).await?;
    Ok(FULL as f64 / elapsed.as_secs_f64())
}

async fn one_by_one(settings: &Settings, rate: u32) -> anyhow::Result<(Latencies, u32)> {
    let folder = tempfile::tempdir()?;
    let database = Database::open(&folder.path().join("bench.db"), &[events::MIGRATIONS])?;
    let (outbox, relay) = Outbox::new(settings, "bench");
    let service = steady(settings, rate, &database, &outbox);
    relay.during(database.clone(), service).await
}

async fn fill(database: &Database, outbox: &Outbox) -> anyhow::Result<()> {
    for _ in 0..FULL / BATCH {
        let outbox = outbox.clone();
        let write = database.write(INSERT, move |connection| {
            let mut all = Vec::with_capacity(BATCH);
            for _ in 0..BATCH {
                all.push(outbox.insert(connection, &event())?);
            }
            Ok(all)
        });
        drop(write.await?);
    }
    Ok(())
}

async fn empty(database: &Database) -> anyhow::Result<()> {
    use diesel::{QueryableByName, RunQueryDsl as _, sql_types::BigInt};

    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    loop {
        let query = "SELECT count(*) AS count FROM outbox";
        let count = database.read(INSERT, move |connection| -> QueryResult<Count> {
            diesel::sql_query(query).get_result(connection)
        });
        if count.await?.count == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Writes events at a rate, each in a transaction of its own. Returns the latencies from before that
/// transaction to the handler, and the number of events that the database refused because the disk was
/// too slow.
async fn steady(
    settings: &Settings,
    rate: u32,
    database: &Database,
    outbox: &Outbox,
) -> anyhow::Result<(Latencies, u32)> {
    let stopwatch = Stopwatch {
        latencies: Arc::new(Mutex::new(Latencies::new()?)),
        received: Arc::new(Semaphore::new(0)),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let follower = tokio::spawn({
        let (settings, stopwatch) = (settings.clone(), stopwatch.clone());
        async move {
            let stop = async {
                let _ = stopped.await;
            };
            events::follow(&settings, &[USER_TOPIC], 0, stopwatch, stop).await;
        }
    });
    tokio::time::sleep(Duration::from_secs(2)).await;

    let total = rate * DURATION.as_secs() as u32;
    let refused = Arc::new(AtomicU32::new(0));
    let mut writes = JoinSet::new();
    let begin = tokio::time::Instant::now();
    for index in 0..total {
        tokio::time::sleep_until(begin + index * (Duration::from_secs(1) / rate)).await;
        let (outbox, event) = (outbox.clone(), event());
        let (database, refused) = (database.clone(), Arc::clone(&refused));
        // Not awaited, because requests do not wait for each other either.
        writes.spawn(async move {
            let insert =
                database.write(INSERT, move |connection| outbox.insert(connection, &event));
            if insert.await.is_err() {
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    writes.join_all().await;
    let refused = refused.load(Ordering::Relaxed);
    let all = stopwatch.received.acquire_many(total - refused);
    let all = tokio::time::timeout(Duration::from_secs(30), all).await;
    ensure!(all.is_ok(), "events are missing");
    drop(stop);
    follower.await?;
    let latencies = stopwatch.latencies.lock();
    let latencies = latencies.unwrap_or_else(PoisonError::into_inner).clone();
    Ok((latencies, refused))
}

fn event() -> Event {
    let user = Uuid::now_v7();
    let user_id = user.to_string();
    Event::new(
        "bench",
        Some(user),
        Data::UserRegistered(UserRegistered { user_id }),
    )
}
