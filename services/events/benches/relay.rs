//! From the outbox to the handlers: `cargo bench -p events`. Over librdkafka's mock cluster, or
//! with `KAFKA_BROKERS` over real ones.

use std::{
    io::{self, Write as _},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use anyhow::{bail, ensure};
use clap::Parser as _;
use database::{Database, Statement};
use diesel::QueryResult;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};
use events::{Broker, Data, Event, Handler, HandlerError, Outbox, Settings, USER_TOPIC};
use hdrhistogram::Histogram;
use proto::events::v1::UserRegistered;
use tokio::{
    sync::{Semaphore, oneshot},
    task::JoinSet,
};
use uuid::Uuid;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../user/migrations");
const INSERT: Statement = Statement::new("INSERT bench");

/// Events in the full outbox.
const FULL: usize = 100_000;

/// Events of one transaction when it is filled.
const BATCH: usize = 1_000;

/// Events a second, one by one, and for how long.
const RATE: u32 = 1_000;
const DURATION: Duration = Duration::from_secs(20);

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
    /// Given by `cargo test --benches`: then it is enough that it builds.
    #[arg(long, hide = true)]
    test: bool,
}

/// Notes how long each event took from its making to here.
#[derive(Clone)]
struct Stopwatch {
    latencies: Arc<Mutex<Histogram<u64>>>,
    received: Arc<Semaphore>,
}

impl Handler for Stopwatch {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let latency = SystemTime::now().duration_since(event.time);
        let micros = latency.unwrap_or_default().as_micros() as u64;
        if let Ok(mut latencies) = self.latencies.lock() {
            latencies.saturating_record(micros);
        }
        self.received.add_permits(1);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if cli.test {
        return Ok(());
    }
    if cfg!(debug_assertions) {
        bail!("measure the release build: cargo bench");
    }
    let mut settings = cli.settings;
    let broker = Broker::start(settings.kafka_partitions)?;
    if !settings.is_enabled() {
        settings.kafka_brokers = Some(broker.address().clone());
    }
    let folder = tempfile::tempdir()?;
    let database = Database::open(&folder.path().join("bench.db"), &MIGRATIONS)?;

    let (outbox, relay) = Outbox::new(&settings, "bench");
    fill(&database, &outbox).await?;
    let started = Instant::now();
    let service = async {
        empty(&database).await?;
        anyhow::Ok(started.elapsed())
    };
    let elapsed = relay.during(database.clone(), service).await?;
    let rate = FULL as f64 / elapsed.as_secs_f64();
    writeln!(
        io::stdout(),
        "full outbox of {FULL}: {elapsed:.1?}, {rate:.0} events/s until the last is removed"
    )?;

    let (outbox, relay) = Outbox::new(&settings, "bench");
    let latencies = relay
        .during(database.clone(), steady(&settings, &database, &outbox))
        .await?;
    let ms = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1000.0;
    writeln!(
        io::stdout(),
        "{RATE}/s for {DURATION:?}, outbox to handler: {} events, p50 {:.1} ms, p99 {:.1} ms, \
         max {:.1} ms",
        latencies.len(),
        ms(0.5),
        ms(0.99),
        ms(1.0),
    )?;
    Ok(())
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

/// Has events at a rate, each in a transaction of its own, and returns how long they took from
/// before that transaction to the handler.
async fn steady(
    settings: &Settings,
    database: &Database,
    outbox: &Outbox,
) -> anyhow::Result<Histogram<u64>> {
    let stopwatch = Stopwatch {
        latencies: Arc::new(Mutex::new(Histogram::new_with_bounds(1, 60_000_000, 3)?)),
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

    let total = RATE * DURATION.as_secs() as u32;
    // The disk may be too slow for so many commits; then the queue for them is full.
    let refused = Arc::new(AtomicU32::new(0));
    let mut writes = JoinSet::new();
    let begin = tokio::time::Instant::now();
    for index in 0..total {
        tokio::time::sleep_until(begin + index * (Duration::from_secs(1) / RATE)).await;
        let (outbox, event) = (outbox.clone(), event());
        let (database, refused) = (database.clone(), Arc::clone(&refused));
        // Not waited for, as other requests would not.
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
    if refused > 0 {
        writeln!(
            io::stdout(),
            "{refused} of {total} were not committed in time"
        )?;
    }
    let all = stopwatch.received.acquire_many(total - refused);
    let all = tokio::time::timeout(Duration::from_secs(30), all).await;
    ensure!(all.is_ok(), "events are missing");
    drop(stop);
    follower.await?;
    let latencies = stopwatch.latencies.lock();
    latencies.map_or_else(|_| bail!("a panic"), |latencies| Ok(latencies.clone()))
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
