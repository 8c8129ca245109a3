//! Tests of events over a real broker, while processes are killed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use e2e::{
    Stack, System,
    cluster::{BROKERS, Cluster},
    measure::Latencies,
    stack::BROKER,
    system::{another_address, eventually},
};
use events::{AUTH_TOPIC, Data, Event, Handler, HandlerError, Settings, USER_TOPIC};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use proto::auth::v1::{
    LoginRequest, LogoutRequest, RegisterRequest, auth_service_client::AuthServiceClient,
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, interval, sleep},
};
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use crate::trial_with;

const PASSWORD: &str = "correct horse battery";

/// Deadline for the last event after all processes run again.
const DRAIN: Duration = Duration::from_secs(60);

type Auth = AuthServiceClient<Channel>;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_with(
            "kafka::each_account_has_one_event_whatever_is_killed",
            Stack::missing(&[BROKER]),
            async || deaths().await,
        ),
        trial_with(
            "kafka::a_broker_that_is_away_for_a_minute_delays_no_request",
            Stack::missing(&[BROKER]),
            async || absence().await,
        ),
        trial_with(
            "kafka::one_of_three_brokers_dies_and_each_event_comes_once_and_in_order",
            Stack::missing(&[BROKER]),
            async || one_of_three().await,
        ),
        trial_with(
            "kafka::with_one_of_three_brokers_changes_go_on_and_events_wait",
            Stack::missing(&[BROKER]),
            async || two_of_three().await,
        ),
    ]
}

/// The expected events of each user: those of `user`, and those of `auth` in this order.
type Expected = BTreeMap<Uuid, (Vec<&'static str>, Vec<&'static str>)>;

const REGISTERED: &str = "otelix.user.registered.v1";
const SUCCEEDED: &str = "otelix.auth.login_succeeded.v1";
const REVOKED: &str = "otelix.auth.session_revoked.v1";

async fn deaths() -> anyhow::Result<()> {
    /// The minimum number of registrations. There are more if the kills take longer.
    const PEOPLE: usize = 2000;

    let folder = tempfile::tempdir()?;
    let mut backends = Stack::start(folder.path(), &[BROKER]).await?;
    let brokers = backends.broker();
    let mut system = start(&brokers).await?;
    let witness = Witness::start(&brokers)?;
    let deaths_over = Arc::new(AtomicBool::new(false));
    let load = crowd(connect(&system).await?, PEOPLE, Arc::clone(&deaths_over));

    for round in 0..3 {
        sleep(Duration::from_secs(2)).await;
        backends.kill(BROKER).await?;
        sleep(Duration::from_secs(1)).await;
        if round == 1 {
            // In this round, both are down at the same time.
            kill_user(&mut system).await?;
        }
        backends.start_again(BROKER).await?;
        if round != 1 {
            sleep(Duration::from_millis(300)).await;
            kill_user(&mut system).await?;
        }
    }
    deaths_over.store(true, Ordering::Relaxed);
    let expected = load.await??;
    ensure!(expected.len() >= PEOPLE, "{} accounts", expected.len());

    // A consumer from the start has received every event once, and so does a later one.
    agree(&witness, &expected).await?;
    let late = Witness::start(&brokers)?;
    agree(&late, &expected).await?;
    sleep(Duration::from_secs(2)).await;
    agree(&late, &expected).await
}

/// Makes at least this many people register, sign in and out, until the end.
fn crowd(
    auth: Auth,
    least: usize,
    is_over: Arc<AtomicBool>,
) -> JoinHandle<anyhow::Result<Expected>> {
    const INTERVAL: Duration = Duration::from_millis(25);
    tokio::spawn(async move {
        let mut people = JoinSet::new();
        let mut ticks = interval(INTERVAL);
        while people.len() < least || !is_over.load(Ordering::Relaxed) {
            ticks.tick().await;
            people.spawn(person(auth.clone(), people.len()));
        }
        let mut expected = Expected::new();
        while let Some(person) = people.join_next().await {
            let (id, sessions) = person??;
            expected.insert(id, (vec![REGISTERED], sessions));
        }
        Ok(expected)
    })
}

async fn one_of_three() -> anyhow::Result<()> {
    const PEOPLE: usize = 1_500;
    /// The time with two brokers, and then with three.
    const PHASE: Duration = Duration::from_secs(8);
    /// The time by which consumers have all events after that.
    const CAUGHT_UP: Duration = Duration::from_secs(30);

    let folder = tempfile::tempdir()?;
    let mut cluster = Cluster::start(folder.path()).await?;
    let brokers = cluster.addresses();
    let system = start_on_three(&brokers).await?;
    let witness = Witness::start(&brokers)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let load = crowd(connect(&system).await?, PEOPLE, Arc::clone(&is_over));
    for number in 0..BROKERS {
        sleep(PHASE).await;
        cluster.kill(number).await?;
        sleep(PHASE).await;
        cluster.start_again(number).await?;
    }
    is_over.store(true, Ordering::Relaxed);
    let expected = load.await??;
    agree_within(CAUGHT_UP, &witness, &expected).await?;
    let late = Witness::start(&brokers)?;
    agree_within(CAUGHT_UP, &late, &expected).await
}

async fn two_of_three() -> anyhow::Result<()> {
    const AWAY: Duration = Duration::from_secs(10);
    let folder = tempfile::tempdir()?;
    let mut cluster = Cluster::start(folder.path()).await?;
    let brokers = cluster.addresses();
    let system = start_on_three(&brokers).await?;
    let witness = Witness::start(&brokers)?;
    let auth = connect(&system).await?;
    let mut count = 0;
    registrations(&auth, AWAY, &mut count).await?;
    eventually(DRAIN, async || witness.has(count)).await?;
    let before = count;
    cluster.kill(0).await?;
    cluster.kill(1).await?;
    registrations(&auth, AWAY, &mut count).await?;
    ensure!(
        witness.has(before + 1).is_err(),
        "an event counts as sent that only one broker has"
    );
    cluster.start_again(0).await?;
    cluster.start_again(1).await?;
    eventually(DRAIN, async || witness.has(count)).await
}

async fn kill_user(system: &mut System) -> anyhow::Result<()> {
    system.user.signal(Signal::SIGKILL)?;
    system.user.ended().await?;
    system.restart_user().await
}

/// Registers a user, with retries until it succeeds. Every fifth user then signs out and in again. For
/// every tenth user, a concurrent registration uses the same email. Returns the expected events of the
/// account.
async fn person(auth: Auth, number: usize) -> anyhow::Result<(Uuid, Vec<&'static str>)> {
    let email = format!("{number}@example.com");
    let rival = number
        .is_multiple_of(10)
        .then(|| tokio::spawn(register(auth.clone(), email.clone())));
    let mut registered = register(auth.clone(), email.clone()).await?;
    if let Some(rival) = rival {
        let rival = rival.await??;
        ensure!(
            rival.is_none() || registered.is_none(),
            "{email} is registered twice"
        );
        registered = registered.or(rival);
    }
    let mut sessions = Vec::new();
    // If the answer to a registration was lost, there is an account, perhaps without a session.
    let (user, token) = match registered {
        Some(registered) => registered,
        None => sign_in(&auth, &email).await?,
    };
    sessions.push(SUCCEEDED);
    if number.is_multiple_of(5) {
        sign_out(&auth, token).await?;
        sessions.push(REVOKED);
        let (again, _) = sign_in(&auth, &email).await?;
        ensure!(again == user, "{email} belongs to another account now");
        sessions.push(SUCCEEDED);
    }
    Ok((user, sessions))
}

/// The user and the token of a session; `None` if the email was taken, even by an earlier attempt whose
/// answer was lost.
async fn register(mut auth: Auth, email: String) -> anyhow::Result<Option<(Uuid, String)>> {
    loop {
        let request = RegisterRequest {
            email: email.clone(),
            password: PASSWORD.to_owned(),
            client_address: another_address(),
            ..RegisterRequest::default()
        };
        match auth.register(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                return session(answer.user, answer.session).map(Some);
            }
            Err(status) if status.code() == Code::AlreadyExists => return Ok(None),
            Err(status) => again(status).await?,
        }
    }
}

async fn sign_in(auth: &Auth, email: &str) -> anyhow::Result<(Uuid, String)> {
    let mut auth = auth.clone();
    loop {
        let request = LoginRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            ..LoginRequest::default()
        };
        match auth.login(request).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                return session(answer.user, answer.session);
            }
            Err(status) => again(status).await?,
        }
    }
}

/// Ends a session. On a busy machine, an answer may be lost; then the session is unknown at the next attempt.
async fn sign_out(auth: &Auth, token: String) -> anyhow::Result<()> {
    let mut auth = auth.clone();
    let mut is_repeated = false;
    loop {
        let token = token.clone();
        match auth.logout(LogoutRequest { token }).await {
            Ok(_) => return Ok(()),
            Err(status) if is_repeated && status.code() == Code::Unauthenticated => return Ok(()),
            Err(status) => again(status).await?,
        }
        is_repeated = true;
    }
}

fn session(
    user: Option<proto::user::v1::User>,
    session: Option<proto::auth::v1::Session>,
) -> anyhow::Result<(Uuid, String)> {
    let user = user.context("no user")?;
    Ok((user.id.parse()?, session.context("no session")?.token))
}

/// Waits before a retry, if it may help.
async fn again(status: Status) -> anyhow::Result<()> {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => {
            sleep(Duration::from_millis(100)).await;
            Ok(())
        }
        _ => bail!(status),
    }
}

/// Waits until a witness has received exactly these events.
async fn agree(witness: &Witness, expected: &Expected) -> anyhow::Result<()> {
    agree_within(DRAIN, witness, expected).await
}

async fn agree_within(
    time: Duration,
    witness: &Witness,
    expected: &Expected,
) -> anyhow::Result<()> {
    eventually(time, async || {
        let seen = witness.seen()?;
        let differs = |(id, wanted): &(&Uuid, &_)| seen.get(id) != Some(wanted);
        if let Some((id, wanted)) = expected.iter().find(differs) {
            let missing = expected.iter().filter(differs).count();
            let found = seen.get(id);
            bail!("{missing} users differ; {id} has {found:?} instead of {wanted:?}");
        }
        ensure!(
            seen.len() == expected.len(),
            "there are events of unknown accounts"
        );
        Ok(())
    })
    .await
}

async fn absence() -> anyhow::Result<()> {
    const BEFORE: Duration = Duration::from_secs(10);
    const AWAY: Duration = Duration::from_secs(60);
    /// The time by which registrations may be slower without a broker.
    const TOLERANCE: Duration = Duration::from_millis(20);

    let folder = tempfile::tempdir()?;
    let mut backends = Stack::start(folder.path(), &[BROKER]).await?;
    let brokers = backends.broker();
    let system = start(&brokers).await?;
    let witness = Witness::start(&brokers)?;
    let auth = connect(&system).await?;
    let mut count = 0;
    let there = registrations(&auth, BEFORE, &mut count).await?;
    eventually(DRAIN, async || {
        witness.has(count)?;
        Ok(())
    })
    .await?;

    backends.kill(BROKER).await?;
    let before = count;
    let away = registrations(&auth, AWAY, &mut count).await?;
    ensure!(
        away.quantile(0.99) < there.quantile(0.99) * 2 + TOLERANCE,
        "{there:?} with a broker, {away:?} without"
    );
    ensure!(
        witness.has(before + 1).is_err(),
        "an event has arrived without a broker"
    );

    backends.start_again(BROKER).await?;
    eventually(DRAIN, async || witness.has(count)).await
}

/// Makes twenty registrations a second, each of which must succeed without a retry.
async fn registrations(
    auth: &Auth,
    duration: Duration,
    count: &mut usize,
) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::new()?;
    let mut ticks = interval(Duration::from_millis(50));
    let end = Instant::now() + duration;
    while Instant::now() < end {
        ticks.tick().await;
        let request = RegisterRequest {
            email: format!("{count}@example.com"),
            password: PASSWORD.to_owned(),
            client_address: another_address(),
            ..RegisterRequest::default()
        };
        let started = Instant::now();
        auth.clone().register(request).await?;
        latencies.record(started.elapsed());
        *count += 1;
    }
    Ok(latencies)
}

async fn start(brokers: &str) -> anyhow::Result<System> {
    start_with(brokers, "1").await
}

/// Starts the services with topics that all brokers of a cluster keep.
async fn start_on_three(brokers: &str) -> anyhow::Result<System> {
    start_with(brokers, "3").await
}

async fn start_with(brokers: &str, copies: &str) -> anyhow::Result<System> {
    System::start(&[
        ("KAFKA_BROKERS", brokers),
        ("KAFKA_REPLICATION_FACTOR", copies),
        ("HASH_MEMORY_KIB", "8"),
        ("HASH_ITERATIONS", "1"),
        ("OTEL_SDK_DISABLED", "true"),
    ])
    .await
}

async fn connect(system: &System) -> anyhow::Result<Auth> {
    let channel = Channel::from_shared(format!("http://{}", system.auth_address))?;
    Ok(AuthServiceClient::new(channel.connect().await?))
}

/// A consumer that receives all events from the first one on, like each instance of the frontend.
struct Witness {
    memory: Memory,
    task: JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<Event>>>);

impl Handler for Memory {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event.clone());
        Ok(())
    }
}

impl Witness {
    fn start(brokers: &str) -> anyhow::Result<Self> {
        let settings = Settings::of(brokers)?;
        let memory = Memory::default();
        let handler = memory.clone();
        let task = tokio::spawn(async move {
            let topics = [USER_TOPIC, AUTH_TOPIC];
            let never = std::future::pending();
            events::follow(&settings, &topics, usize::MAX, handler, never).await;
        });
        Ok(Self { memory, task })
    }

    fn events(&self) -> Vec<Event> {
        let events = self.memory.0.lock();
        events.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The received events of each user, in the order of their arrival.
    fn seen(&self) -> anyhow::Result<Expected> {
        let mut seen = Expected::new();
        for event in self.events() {
            let subject = event.subject.context("an event without a user")?;
            let (of_user, of_auth) = seen.entry(subject).or_default();
            match event.data {
                Data::UserRegistered(_) => of_user.push(event.data.kind()),
                _ => of_auth.push(event.data.kind()),
            }
        }
        Ok(seen)
    }

    /// Fails if it has received fewer registrations.
    fn has(&self, registrations: usize) -> anyhow::Result<()> {
        let is_registration = |event: &&Event| matches!(event.data, Data::UserRegistered(_));
        let seen = self.events().iter().filter(is_registration).count();
        ensure!(seen >= registrations, "{seen} of {registrations}");
        Ok(())
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}
