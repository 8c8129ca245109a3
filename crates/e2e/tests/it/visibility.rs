//! Test of the time until a sign-up is visible in traces, logs and metrics.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use e2e::{
    Stack, System,
    stack::{Loki, Prometheus, TELEMETRY, Tempo},
    system::another_address,
};
use libtest_mimic::Trial;
use reqwest::{Client, StatusCode, redirect::Policy};
use tokio::{
    task::JoinSet,
    time::{Sleep, sleep},
};

use crate::trial_with;

const COUNT: usize = 100;

/// Pause between two sign-ups, so that none waits for another.
const PAUSE: Duration = Duration::from_millis(100);

/// Pause between two queries.
const POLL: Duration = Duration::from_millis(100);

/// Time limit for a sign-up to become visible.
const PATIENCE: Duration = Duration::from_secs(20);

/// Number of spans in a sign-up.
const SPANS: usize = 8;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial_with(
        "visibility::a_sign_up_is_seen_in_traces_and_logs_within_2_s_and_in_metrics_within_6_s",
        Stack::missing(TELEMETRY),
        async || sign_ups().await,
    )]
}

async fn sign_ups() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let backends = Stack::start(folder.path(), TELEMETRY).await?;
    let system = System::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &backends.otlp_grpc()),
        ("HASH_MEMORY_KIB", "8"),
        ("HASH_ITERATIONS", "1"),
    ])
    .await?;
    let client = Client::builder().redirect(Policy::none()).build()?;

    // The first sign-up also opens connections and files, so it is not measured.
    let first = sign_up(&client, &system, 0).await?;
    trace(&backends.tempo, first, SPANS).await?;
    log(&backends.loki, first).await?;
    let counts = tokio::spawn(counts(backends.prometheus.clone()));

    let mut ends = Vec::new();
    let mut looks = JoinSet::new();
    for number in 1..=COUNT {
        let done = sign_up(&client, &system, number).await?;
        ends.push(done.end);
        let (tempo, loki) = (backends.tempo.clone(), backends.loki.clone());
        looks.spawn(async move {
            tokio::try_join!(
                trace(&tempo, done, 1),
                trace(&tempo, done, SPANS),
                log(&loki, done),
            )
        });
        sleep(PAUSE).await;
    }
    let (mut some, mut whole, mut logs) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(look) = looks.join_next().await {
        let (of_some, of_whole, of_log) = look??;
        some.push(of_some);
        whole.push(of_whole);
        logs.push(of_log);
    }
    let counts = counts.await??;
    let mut metrics = Vec::new();
    for (number, end) in ends.iter().enumerate() {
        // The sign-up before the measured ones is counted too.
        let counted = counts.iter().find(|(_, count)| *count >= number + 2);
        let (seen, _) = counted.context("a sign-up is not counted")?;
        metrics.push(seen.saturating_duration_since(*end));
    }

    let mut report = std::io::stderr().lock();
    writeln!(
        report,
        "{COUNT} sign-ups are visible after (p50, p95, max):"
    )?;
    let mut late = Vec::new();
    for (what, times, limit) in [
        ("a span of the trace", &mut some, Duration::from_secs(2)),
        ("the whole trace", &mut whole, Duration::from_secs(2)),
        ("a log record", &mut logs, Duration::from_secs(2)),
        ("the metric", &mut metrics, Duration::from_secs(6)),
    ] {
        times.sort();
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
        let (half, most, max) = (at(50), at(95), at(100));
        writeln!(report, "{what}: {half:.2?}, {most:.2?}, {max:.2?}")?;
        if times.len() != COUNT || max >= limit {
            late.push(format!("{what}: {max:.2?} of {}", times.len()));
        }
    }
    ensure!(late.is_empty(), "{late:?}");
    Ok(())
}

/// An answered sign-up.
#[derive(Clone, Copy)]
struct Done {
    trace: u128,
    end: Instant,
}

async fn sign_up(client: &Client, system: &System, number: usize) -> anyhow::Result<Done> {
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_0000 + number as u128;
    let email = format!("ann{number}@example.com");
    let form = [
        ("email", email.as_str()),
        ("password", "correct horse battery"),
    ];
    let request = client
        .post(system.url("/register"))
        .header(
            "traceparent",
            format!("00-{trace:032x}-b7ad6b7169203331-01"),
        )
        .header("x-forwarded-for", another_address())
        .form(&form);
    let status = request.send().await?.status();
    ensure!(status == StatusCode::SEE_OTHER, "{status}");
    Ok(Done {
        trace,
        end: Instant::now(),
    })
}

/// Time from the end of a sign-up until Tempo has this number of its spans.
async fn trace(tempo: &Tempo, done: Done, spans: usize) -> anyhow::Result<Duration> {
    let id = format!("{:032x}", done.trace);
    loop {
        let found = tempo.spans(&id).await.map_or(0, |trace| trace.len());
        if found >= spans {
            return Ok(done.end.elapsed());
        }
        done.wait().with_context(|| format!("{found} spans"))?.await;
    }
}

/// Time from the end of a sign-up until Loki has a line of it.
async fn log(loki: &Loki, done: Done) -> anyhow::Result<Duration> {
    let id = done.trace;
    let query = format!("{{service_name=\"user\"}} | trace_id=\"{id:032x}\"");
    while loki.query(&query).await?.is_empty() {
        done.wait().context("no line")?.await;
    }
    Ok(done.end.elapsed())
}

impl Done {
    /// Waits for the next query. Fails after the time limit.
    fn wait(self) -> anyhow::Result<Sleep> {
        ensure!(self.end.elapsed() < PATIENCE, "not seen in time");
        Ok(sleep(POLL))
    }
}

/// The times and values of the count of registrations in Prometheus, until all are counted.
async fn counts(prometheus: Prometheus) -> anyhow::Result<Vec<(Instant, usize)>> {
    let start = Instant::now();
    let mut counts = Vec::new();
    loop {
        let series = prometheus.query("user_registrations_total").await?;
        let value = series
            .first()
            .and_then(|series| series["value"][1].as_str());
        let count: usize = value.unwrap_or("0").parse()?;
        counts.push((Instant::now(), count));
        if count > COUNT || start.elapsed() > 3 * PATIENCE {
            return Ok(counts);
        }
        sleep(POLL).await;
    }
}
