//! Tests that kill and stop processes of a stack under load.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use e2e::{
    stack::{BROKER, Loki, Prometheus, TELEMETRY, Tempo},
    system::{another_address, eventually},
};
use events::{Event, Handler, HandlerError, Settings, USER_TOPIC};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use proto::auth::v1::{RegisterRequest, auth_service_client::AuthServiceClient};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tonic::Code;

use crate::{ONE_SHOT, missing, supervisor::Supervisor, trial};

/// Time limit of a start in the dev profile, on a busy machine.
const START: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    let missing = || missing(&[TELEMETRY, &[BROKER]]);
    vec![
        trial(
            "chaos::killed_and_hanging_processes_recover_and_nothing_is_lost",
            missing(),
            async || kills_and_hangs().await,
        ),
        trial(
            "chaos::telemetry_waits_for_backends_that_are_away_for_a_minute",
            missing(),
            async || absence().await,
        ),
    ]
}

/// Time limit for all processes to be ready again after a failure of this one.
fn limit(name: &str) -> Duration {
    // The broker is Kafka, and a Java VM starts slowly.
    Duration::from_secs(if name == BROKER { 20 } else { 10 })
}

async fn kills_and_hangs() -> anyhow::Result<()> {
    let mut stack = Supervisor::start()?;
    stack.well(START).await?;
    let states = stack.states().await?;
    let memory: i64 = states
        .iter()
        .filter(|state| state.name != BROKER)
        .map(|state| state.mem)
        .sum();
    ensure!(memory < 1_200_000_000, "{memory} bytes: {states:?}");
    let people = People::start(&stack)?;
    let names: Vec<String> = stack
        .names
        .iter()
        .filter(|name| *name != ONE_SHOT)
        .cloned()
        .collect();
    let mut slow = Vec::new();
    for name in &names {
        let before = stack.state(name).await?;
        stack.signal(name, Signal::SIGKILL).await?;
        let killed = Instant::now();
        eventually(Duration::from_secs(5), async || {
            let state = stack.state(name).await?;
            ensure!(state.restarts > before.restarts, "{state:?}");
            Ok(())
        })
        .await?;
        stack.well(START).await?;
        let took = killed.elapsed();
        if took > limit(name) {
            slow.push(format!("{name} killed: {took:.1?}"));
        }
    }
    for name in &names {
        let before = stack.state(name).await?;
        stack.signal(name, Signal::SIGSTOP).await?;
        // Waits until the supervisor detects the hang. The probes of some processes allow more failures.
        eventually(Duration::from_secs(90), async || {
            let state = stack.state(name).await?;
            ensure!(
                state.status != "Running" || state.restarts > before.restarts,
                "{state:?}"
            );
            Ok(())
        })
        .await
        .with_context(|| format!("{name} hangs"))?;
        let given_up = Instant::now();
        eventually(START, async || {
            let state = stack.state(name).await?;
            ensure!(state.restarts > before.restarts, "{state:?}");
            Ok(())
        })
        .await?;
        stack.well(START).await?;
        let took = given_up.elapsed();
        if took > limit(name) {
            slow.push(format!("{name} hung: {took:.1?}"));
        }
    }
    ensure!(slow.is_empty(), "{slow:?}");
    people.all_have_events().await?;

    let (status, took) = stack.down().await?;
    ensure!(status.success(), "{status}\n{}", stack.log());
    ensure!(took < Duration::from_secs(30), "a stop takes {took:?}");
    let orphans = stack.orphans()?;
    ensure!(orphans.is_empty(), "these processes still run: {orphans:?}");
    Ok(())
}

/// A load of registrations, and a consumer of their events.
struct People {
    registered: Arc<Mutex<BTreeSet<String>>>,
    told: Told,
    is_over: Arc<AtomicBool>,
    register: JoinHandle<anyhow::Result<()>>,
    follow: JoinHandle<()>,
}

/// The users of the received events.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Handler for Told {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let user = event.subject.map(|id| id.to_string()).unwrap_or_default();
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(user);
        Ok(())
    }
}

impl People {
    fn start(stack: &Supervisor) -> anyhow::Result<Self> {
        let settings = Settings::of(&stack.address("BROKER_PORT")?)?;
        let auth = format!("http://{}", stack.address("AUTH_PORT")?);
        let told = Told::default();
        let handler = told.clone();
        let follow = tokio::spawn(async move {
            let never = std::future::pending();
            events::follow(&settings, &[USER_TOPIC], usize::MAX, handler, never).await;
        });
        let registered = Arc::<Mutex<BTreeSet<String>>>::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let register = tokio::spawn(register(
            auth,
            Arc::clone(&registered),
            Arc::clone(&is_over),
        ));
        Ok(Self {
            registered,
            told,
            is_over,
            register,
            follow,
        })
    }

    /// Stops the load, and compares the acknowledged registrations with the events.
    async fn all_have_events(self) -> anyhow::Result<()> {
        self.is_over.store(true, Ordering::Relaxed);
        self.register.await??;
        let registered = self
            .registered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        ensure!(registered.len() > 20, "{} registrations", registered.len());
        let outcome = eventually(START, async || {
            let told = self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
            let known: BTreeSet<&String> = told.iter().collect();
            ensure!(known.len() == told.len(), "a user has two events");
            let missing = registered.iter().filter(|id| !known.contains(id)).count();
            ensure!(missing == 0, "{missing} of {} events", registered.len());
            Ok(())
        });
        let outcome = outcome.await;
        self.follow.abort();
        outcome
    }
}

/// Registers five users a second, and keeps the ids of the acknowledged ones.
async fn register(
    auth: String,
    registered: Arc<Mutex<BTreeSet<String>>>,
    is_over: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let channel = tonic::transport::Channel::from_shared(auth)?
        .timeout(Duration::from_secs(5))
        .connect_lazy();
    let mut auth = AuthServiceClient::new(channel);
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        sleep(Duration::from_millis(200)).await;
        let request = RegisterRequest {
            email: format!("chaos-{number}@example.com"),
            password: "correct horse battery".to_owned(),
            client_address: another_address(),
            ..RegisterRequest::default()
        };
        match auth.register(request).await {
            Ok(answer) => {
                let user = answer.into_inner().user.context("no user")?;
                let mut registered = registered.lock().unwrap_or_else(PoisonError::into_inner);
                registered.insert(user.id);
            }
            // A process is down. A registration without an acknowledgement may be lost.
            Err(status) => ensure!(
                status.code() != Code::Internal && status.code() != Code::InvalidArgument,
                "{status}"
            ),
        }
    }
    Ok(())
}

async fn absence() -> anyhow::Result<()> {
    const AWAY: Duration = Duration::from_secs(60);
    const INTERVAL: Duration = Duration::from_millis(250);
    const BACKENDS: [&str; 3] = ["tempo", "loki", "prometheus"];

    let mut stack = Supervisor::start()?;
    stack.well(START).await?;
    let collector = format!("http://{}", stack.address("OTEL_COLLECTOR_OTLP_HTTP_PORT")?);
    let http = Client::new();
    for name in BACKENDS {
        stack.stop_process(name).await?;
    }
    let began = Instant::now();
    let mut sent = 0;
    while began.elapsed() < AWAY {
        send(&http, &collector, sent).await?;
        sent += 1;
        if sent == 100 {
            // The queue on disk must survive a kill of the collector too.
            stack.signal("otel-collector", Signal::SIGKILL).await?;
            sleep(Duration::from_secs(1)).await;
            eventually(START, async || {
                let state = stack.state("otel-collector").await?;
                ensure!(state.is_well(), "{state:?}");
                Ok(())
            })
            .await?;
        }
        sleep(INTERVAL).await;
    }
    for name in BACKENDS {
        stack.start_process(name).await?;
    }
    stack.well(START).await?;

    let tempo = Tempo::new(
        format!("http://{}", stack.address("TEMPO_PORT")?),
        http.clone(),
    );
    let loki = Loki::new(
        format!("http://{}", stack.address("LOKI_PORT")?),
        http.clone(),
    );
    let prometheus = format!("http://{}", stack.address("PROMETHEUS_PORT")?);
    let prometheus = Prometheus::new(prometheus, http.clone());
    eventually(START, async || {
        for number in 0..sent {
            let spans = tempo.spans(&trace_id(number)).await;
            let spans = spans.with_context(|| format!("span {number} of {sent}"))?;
            ensure!(spans.len() == 1, "{spans:?}");
        }
        Ok(())
    })
    .await?;
    eventually(START, async || {
        let lines = loki.query(r#"{service_name="absence"}"#).await?;
        let texts: BTreeSet<String> = lines.into_iter().map(|line| line.text).collect();
        ensure!(texts.len() == sent, "{} of {sent} lines", texts.len());
        Ok(())
    })
    .await?;
    eventually(START, async || {
        let query = r#"count_over_time(absence_steps_total{job="absence"}[10m])"#;
        let series = prometheus.query(query).await?;
        let count = series.first().and_then(|one| one["value"][1].as_str());
        let count: usize = count.unwrap_or("0").parse()?;
        ensure!(count == sent, "{count} of {sent} samples");
        Ok(())
    })
    .await?;

    let (status, _) = stack.down().await?;
    ensure!(status.success(), "{status}\n{}", stack.log());
    let locks = locks(stack.folder.path())?;
    ensure!(locks.is_empty(), "left behind: {locks:?}");
    Ok(())
}

fn trace_id(number: usize) -> String {
    format!(
        "{:032x}",
        0xabcd_0000_0000_0000_0000_0000_0000_0001_u128 + number as u128
    )
}

/// Sends a span, a log record and a sample. The collector has accepted them when this returns.
async fn send(http: &Client, collector: &str, number: usize) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let (start, now) = (now - Duration::from_millis(1), now.as_nanos().to_string());
    let start = start.as_nanos().to_string();
    let resource = json!({ "attributes": [
        { "key": "service.name", "value": { "stringValue": "absence" } },
        { "key": "service.instance.id", "value": { "stringValue": "absence" } },
    ] });
    let span = json!({
        "traceId": trace_id(number),
        "spanId": format!("{:016x}", number + 1),
        "name": "step",
        "kind": 2,
        "startTimeUnixNano": start,
        "endTimeUnixNano": now,
    });
    let record = json!({
        "timeUnixNano": now,
        "severityNumber": 9,
        "body": { "stringValue": format!("step {number}") },
    });
    let sample = json!({
        "name": "absence.steps",
        "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
            { "asInt": number.to_string(), "startTimeUnixNano": "1", "timeUnixNano": now },
        ] },
    });
    let bodies: [(&str, Value); 3] = [
        (
            "traces",
            json!({ "resourceSpans": [
            { "resource": resource, "scopeSpans": [{ "spans": [span] }] }
        ] }),
        ),
        (
            "logs",
            json!({ "resourceLogs": [
            { "resource": resource, "scopeLogs": [{ "logRecords": [record] }] }
        ] }),
        ),
        (
            "metrics",
            json!({ "resourceMetrics": [
            { "resource": resource, "scopeMetrics": [{ "metrics": [sample] }] }
        ] }),
        ),
    ];
    for (signal, body) in bodies {
        let request = http.post(format!("{collector}/v1/{signal}"));
        let request = request.header("content-type", "application/json");
        request
            .body(body.to_string())
            .send()
            .await?
            .error_for_status()?;
    }
    Ok(())
}

/// Lock files, which mean that a process still uses a folder.
fn locks(folder: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let mut locks = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                folders.push(path);
            } else if name == "lock" || name.ends_with(".pid") || name.ends_with(".sock") {
                locks.push(path.display().to_string());
            }
        }
    }
    Ok(locks)
}
