//! Benchmark of the collector, Prometheus, Loki and Tempo: what a span, a log line and a data point cost in each, the
//! highest rate that arrives whole, and half of it beside a hostile sender. It needs their programs on PATH.
//!
//! The sender shares the processors. `cargo bench -p e2e --bench lgtm -- PART` measures one part: `costs` or `rates`.

use std::{io::Write as _, sync::atomic::AtomicU64, time::Duration};

use anyhow::ensure;
use e2e::{
    Stack,
    measure::{print, table, wanted},
    mixed::{Outcome, Records, Service, hostile, queued},
    stack::TELEMETRY,
    system::eventually,
};
use tempfile::TempDir;
use tokio::time::Instant;

/// Rates of the measurement of costs, in records a second.
const COSTS: [(&str, Records); 3] = [
    (
        "span",
        Records {
            spans: 5_000,
            lines: 0,
            points: 0,
        },
    ),
    (
        "log line",
        Records {
            spans: 0,
            lines: 5_000,
            points: 0,
        },
    ),
    (
        "data point",
        Records {
            spans: 0,
            lines: 0,
            points: 10_000,
        },
    ),
];
const COST_TIME: Duration = Duration::from_secs(30);
/// Time in which blocks are flushed and indexes are written.
const REST: Duration = Duration::from_secs(20);

/// The first rate of the search in log lines a second.
const FIRST: u64 = 400;
/// The search ends when the highest good rate and the lowest bad one differ by less than this, in log lines a second.
const STEP: u64 = 100;
const SEARCH_TIME: Duration = Duration::from_secs(30);
const HOSTILE_TIME: Duration = Duration::from_secs(60);
/// Time limit for records to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// How far behind its schedule a sender may end.
const DELAY: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(wanted) = wanted()? else {
        return Ok(());
    };
    let missing = Stack::missing(TELEMETRY);
    if !missing.is_empty() {
        let missing = missing.join(", ");
        writeln!(
            std::io::stdout().lock(),
            "backends: not on PATH: {missing}\n"
        )?;
        return Ok(());
    }
    if wanted.has("costs") {
        costs().await?;
    }
    if wanted.has("rates") {
        let highest = search().await?;
        beside_a_hostile_sender(highest / 2).await?;
    }
    Ok(())
}

async fn start() -> anyhow::Result<(Stack, TempDir)> {
    let folder = tempfile::tempdir()?;
    Ok((Stack::start(folder.path(), TELEMETRY).await?, folder))
}

/// Measures processor time of each process without a sender, and with one signal at a time.
async fn costs() -> anyhow::Result<()> {
    let mut idle = table(["without a sender", "MB", "processor s a minute"]);
    let mut report = table([
        "µs of processor for a",
        "otel-collector",
        "admission",
        "prometheus",
        "loki",
        "tempo",
        "all",
        "MB after it",
    ]);
    let (stack, _folder) = start().await?;
    // The start itself is not meant.
    tokio::time::sleep(REST).await;
    let before = spent(&stack)?;
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let minutes = started.elapsed().as_secs_f64() / 60.0;
    let after = spent(&stack)?;
    let base: Vec<f64> = differences(&before, &after)
        .map(|spent| spent / minutes)
        .collect();
    for (name, spent) in TELEMETRY.iter().zip(&base) {
        let memory = stack.memory(name)? as f64 / 1e6;
        idle.add_row([
            (*name).to_owned(),
            format!("{memory:.0}"),
            format!("{spent:.2}"),
        ]);
    }
    print(&idle)?;
    drop(stack);
    for (number, (name, rates)) in (1..).zip(COSTS) {
        let (stack, _folder) = start().await?;
        tokio::time::sleep(REST).await;
        let before = spent(&stack)?;
        let started = Instant::now();
        let service = Service::new(number);
        let outcome = service.send(&stack.otlp_grpc(), rates, COST_TIME).await?;
        arrived(&stack, &service, &outcome).await?;
        tokio::time::sleep(REST).await;
        let minutes = started.elapsed().as_secs_f64() / 60.0;
        let after = spent(&stack)?;
        let count = (outcome.sent.spans + outcome.sent.lines + outcome.sent.points) as f64;
        let micros: Vec<f64> = differences(&before, &after)
            .zip(&base)
            .map(|(spent, base)| (spent - base * minutes).max(0.0) * 1e6 / count)
            .collect();
        let mut row = vec![name.to_owned()];
        row.extend(micros.iter().map(|micros| format!("{micros:.1}")));
        row.push(format!("{:.1}", micros.iter().sum::<f64>()));
        let memory: Vec<_> = TELEMETRY
            .iter()
            .map(|name| Ok(format!("{:.0}", stack.memory(name)? as f64 / 1e6)))
            .collect::<anyhow::Result<_>>()?;
        row.push(memory.join(", "));
        report.add_row(row);
    }
    print(&report)
}

/// Processor time so far of each process.
fn spent(stack: &Stack) -> anyhow::Result<Vec<Duration>> {
    TELEMETRY.iter().map(|name| stack.cpu(name)).collect()
}

fn differences(before: &[Duration], after: &[Duration]) -> impl Iterator<Item = f64> {
    let pairs = before.iter().zip(after);
    pairs.map(|(before, after)| (*after - *before).as_secs_f64())
}

/// Waits until all records are stored and nothing is queued. Returns how long it took.
async fn arrived(stack: &Stack, service: &Service, outcome: &Outcome) -> anyhow::Result<Duration> {
    let started = Instant::now();
    eventually(ARRIVAL, async || {
        let stored = service.stored(stack).await?;
        ensure!(stored == outcome.sent, "{stored:?} of {:?}", outcome.sent);
        let queued = queued(stack).await?;
        ensure!(queued == 0.0, "{queued} batches are queued");
        Ok(())
    })
    .await?;
    let took = started.elapsed();
    service.read_traces(stack, outcome.sent.spans).await?;
    Ok(took)
}

/// Finds the highest mixed rate that arrives whole. Returns its log lines a second.
async fn search() -> anyhow::Result<u64> {
    let mut report = table([
        "spans/s",
        "log lines/s",
        "points/s",
        "for s",
        "outcome",
        "stored after s",
    ]);
    let (mut good, mut bad) = (0, None);
    let mut lines = FIRST;
    loop {
        let rates = Records::mixed(lines);
        let tried = attempt(rates, SEARCH_TIME, lines, false).await?;
        add(&mut report, rates, SEARCH_TIME, &tried);
        match tried {
            Ok(_) => good = lines,
            Err(_) => bad = Some(lines),
        }
        lines = match bad {
            None => lines * 2,
            Some(bad) if bad - good <= STEP => break,
            Some(bad) => (good + bad) / 2 / 10 * 10,
        };
    }
    print(&report)?;
    ensure!(good > 0, "no rate arrives whole");
    Ok(good)
}

async fn beside_a_hostile_sender(lines: u64) -> anyhow::Result<()> {
    let mut report = table([
        "spans/s, beside a hostile sender",
        "log lines/s",
        "points/s",
        "for s",
        "outcome",
        "stored after s",
    ]);
    let rates = Records::mixed(lines / 10 * 10);
    let tried = attempt(rates, HOSTILE_TIME, 1, true).await?;
    add(&mut report, rates, HOSTILE_TIME, &tried);
    print(&report)
}

fn add(
    report: &mut comfy_table::Table,
    rates: Records,
    time: Duration,
    tried: &Result<Duration, String>,
) {
    let mut row = [rates.spans, rates.lines, rates.points, time.as_secs()]
        .map(|number| number.to_string())
        .to_vec();
    match tried {
        Ok(took) => row.extend([
            "all stored".to_owned(),
            format!("{:.1}", took.as_secs_f64()),
        ]),
        Err(reason) => row.extend([reason.clone(), "-".to_owned()]),
    }
    report.add_row(row);
}

/// Offers a load to a new stack. The outcome is the time until all was stored, or why it was not.
async fn attempt(
    rates: Records,
    time: Duration,
    number: u64,
    is_hostile: bool,
) -> anyhow::Result<Result<Duration, String>> {
    let (stack, _folder) = start().await?;
    let service = Service::new(number);
    let endpoint = stack.otlp_grpc();
    let sending = service.send(&endpoint, rates, time);
    let taken = AtomicU64::new(0);
    let outcome = if is_hostile {
        tokio::select! {
            outcome = sending => outcome?,
            ended = hostile(&stack, &taken) => {
                ended?;
                return Ok(Err("the hostile sender ended".to_owned()));
            }
        }
    } else {
        sending.await?
    };
    if outcome.refused > 0 {
        return Ok(Err(format!("{} requests refused", outcome.refused)));
    }
    if outcome.lasted > time + DELAY {
        let late = (outcome.lasted - time).as_secs_f64();
        return Ok(Err(format!("{late:.1} s late")));
    }
    if is_hostile {
        writeln!(
            std::io::stdout().lock(),
            "{taken:?} requests of the hostile sender were taken"
        )?;
    }
    let arrived = arrived(&stack, &service, &outcome).await;
    Ok(arrived.map_err(|error| error.to_string()))
}
