//! Tests of consumers with a real broker. They are ignored if it is not on PATH.

#[path = "../it/harness.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "the harness is shared with the tests with the mock; tests may use unwrap"
)]
mod harness;

use std::{
    env,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context as _, ensure};
use database::Database;
use diesel::{Connection as _, RunQueryDsl as _, SqliteConnection, sql_types::BigInt};
use e2e::{Process, Stack, stack::BROKER};
use events::{Consumer, Event, Handler, HandlerError, Settings, USER_TOPIC, inbox};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rdkafka::Message as _;
use tokio::{process::Command, runtime::Runtime};
use uuid::Uuid;

use crate::harness::{
    INSERT, Memory, Running, Service, create_inbox, database, eventually, header, produce, records,
    registered, until,
};

/// The first argument of a process that is the consumer of a test. The next ones are the brokers,
/// the folder of its database, and whether it hangs after its work.
const CONSUMER: &str = "consumer-of-a-test";

const GROUP: &str = "group";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [CONSUMER, consumer @ ..] = &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        let outcome = Runtime::new().map(|runtime| runtime.block_on(consume(consumer)));
        return match outcome.map_err(anyhow::Error::from).flatten() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(io::stderr(), "{error:?}");
                ExitCode::FAILURE
            }
        };
    }
    let trials = vec![
        trial(
            "a_poison_message_is_set_aside_and_the_rest_goes_on",
            async || poison().await,
        ),
        trial(
            "a_consumer_that_is_killed_between_work_and_commit_has_no_second_effect",
            async || killed().await,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial<F>(name: &str, test: F) -> Trial
where
    F: AsyncFnOnce() -> anyhow::Result<()> + Send + 'static,
{
    Trial::ignorable_test(name, move || {
        let missing = Stack::missing(&[BROKER]);
        if !missing.is_empty() {
            let reason = format!("not on PATH: {}", missing.join(", "));
            return Ok(Completion::ignored_with(reason));
        }
        let outcome = Runtime::new().map(|runtime| runtime.block_on(test()));
        outcome
            .map_err(anyhow::Error::from)
            .flatten()
            .map(|()| Completion::Completed)
            .map_err(|error| Failed::from(format!("{error:?}")))
    })
}

async fn poison() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let backends = Stack::start(folder.path(), &[BROKER]).await?;
    let brokers = backends.broker();
    let settings = Settings::of(&brokers)?;
    let service = Service::start(&settings);
    let memory = Memory::new();
    let consumer = Consumer::new(&settings, GROUP, &[USER_TOPIC]);
    let handler = memory.clone();
    let consumer = Running::start(move |stopped| async move {
        consumer.run(handler, until(stopped)).await;
    });

    // Writes events of this project before and after the undecodable records of each partition.
    let happen = async || {
        for _ in 0..20 {
            service.happen(registered(Uuid::now_v7())).await;
        }
        service.drained().await;
    };
    happen().await;
    for partition in 0..harness::PARTITIONS {
        produce(&brokers, partition, "a key", b"\xff poison", &[]);
    }
    happen().await;
    memory.has(40).await;
    let dead = records(&brokers, "otelix.user.v1.dlq", 6).await;
    consumer.stop().await;
    service.stop().await;
    for record in &dead {
        ensure!(record.payload() == Some(b"\xff poison"), "{record:?}");
        let reason = header(record, "dlq.reason");
        ensure!(reason.as_deref() == Some("undecodable"), "{reason:?}");
    }
    let mut partitions: Vec<_> = dead
        .iter()
        .filter_map(|record| header(record, "dlq.partition"))
        .collect();
    partitions.sort();
    ensure!(
        partitions == ["0", "1", "2", "3", "4", "5"],
        "{partitions:?}"
    );
    ensure!(memory.len() == 40, "{} of 40 events", memory.len());
    Ok(())
}

async fn killed() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let backends = Stack::start(folder.path(), &[BROKER]).await?;
    let brokers = backends.broker();
    let effects = tempfile::tempdir()?;
    // The consumer locks the database, so this process only reads the file.
    create_inbox(&database(&effects)).await;
    let count = || count_effects(effects.path());
    let service = Service::start(&Settings::of(&brokers)?);
    let start = |hangs: bool| {
        let mut command = Command::new(env::current_exe()?);
        let path = effects.path().to_str().context("no path")?;
        command.args([CONSUMER, &brokers, path, &hangs.to_string()]);
        Process::spawn("consumer", command)
    };

    let mut consumer = start(true)?;
    service.happen(registered(Uuid::now_v7())).await;
    consumer.line(|line| line == "worked").await?;
    ensure!(count()? == 1);
    consumer.kill().await?;

    // The broker waits for the killed consumer before it reassigns its partitions.
    let mut consumer = start(false)?;
    consumer.line(|line| line == "worked").await?;
    ensure!(count()? == 1, "an event has had two effects");
    service.happen(registered(Uuid::now_v7())).await;
    eventually(async || count().is_ok_and(|count| count == 2)).await;
    consumer.kill().await?;
    service.stop().await;
    Ok(())
}

fn count_effects(folder: &Path) -> anyhow::Result<i64> {
    let path = folder.join("test.db");
    let mut connection = SqliteConnection::establish(path.to_str().context("no path")?)?;
    let count = diesel::dsl::sql::<BigInt>("(SELECT count(*) FROM effects)");
    Ok(diesel::select(count).get_result(&mut connection)?)
}

/// The consumer that the test kills.
async fn consume(arguments: &[&str]) -> anyhow::Result<()> {
    let [brokers, folder, hangs] = arguments else {
        anyhow::bail!("not three arguments");
    };
    let settings = Settings::of(brokers)?;
    let effects = Effects {
        database: Database::open(&Path::new(folder).join("test.db"), &[events::MIGRATIONS])?,
        hangs: hangs.parse()?,
    };
    let consumer = Consumer::new(&settings, GROUP, &[USER_TOPIC]);
    consumer.run(effects, std::future::pending()).await;
    Ok(())
}

/// A handler that writes an effect for each event, once, and prints a line for it.
struct Effects {
    database: Database,
    hangs: bool,
}

impl Handler for Effects {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let id = event.id;
        let write = self.database.write(INSERT, move |connection| {
            if inbox::first_time(connection, id)? {
                diesel::sql_query(format!("INSERT INTO effects VALUES ('{id}')"))
                    .execute(connection)?;
            }
            Ok(())
        });
        write
            .await
            .map_err(|error| HandlerError::Retryable(error.into()))?;
        writeln!(io::stdout(), "worked").map_err(|error| HandlerError::Fatal(error.into()))?;
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}
