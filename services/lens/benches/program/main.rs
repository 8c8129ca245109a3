//! Benchmark of the program: telemetry over OTLP, pages of a full store, memory and start: `cargo bench -p lens`.
//!
//! Senders and receivers share this machine's processors, so compare figures of one run only. The OpenTelemetry
//! Collector with its debug exporter and Jaeger with its store in memory are measured in the same way, if `otelcol`
//! and `jaeger` are on PATH. `cargo bench -p lens --bench program -- PART` measures one part: `start`, `load`, `pages`
//! or `memory`.

mod load;
mod memory;
mod pages;
mod receiver;

use std::time::Instant;

use anyhow::ensure;
use e2e::measure::{print, table};

use crate::receiver::Receiver;

const STARTS: usize = 9;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` runs this too, with --test, to see that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    ensure!(
        !cfg!(debug_assertions),
        "only the release build can be measured: use cargo bench"
    );
    let wanted = std::env::args()
        .nth(1)
        .filter(|name| !name.starts_with('-'));
    let is_wanted = |part| wanted.as_deref().is_none_or(|wanted| wanted == part);
    if is_wanted("start") {
        starts().await?;
    }
    if is_wanted("load") {
        load::measure().await?;
    }
    if is_wanted("pages") {
        pages::measure().await?;
    }
    if is_wanted("memory") {
        memory::measure().await?;
    }
    Ok(())
}

/// Measures the time from the start of the process until it is ready.
async fn starts() -> anyhow::Result<()> {
    let mut times = Vec::new();
    let mut idle = 0;
    for _ in 0..STARTS {
        let started = Instant::now();
        let lens = Receiver::lens(&[]).await?;
        times.push(started.elapsed());
        idle = lens.process.memory()?;
    }
    times.sort();
    let ms = |index: usize| format!("{:.0}", times[index].as_secs_f64() * 1e3);
    let mut report = table(["start to ready, median ms", "max ms", "idle MB"]);
    report.add_row([
        ms(STARTS / 2),
        ms(STARTS - 1),
        format!("{:.1}", idle as f64 / 1e6),
    ]);
    print(&report)
}
