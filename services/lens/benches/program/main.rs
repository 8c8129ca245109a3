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

use e2e::measure::{print, table, wanted};

use crate::receiver::Receiver;

const STARTS: usize = 9;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Some(wanted) = wanted()? else {
        return Ok(());
    };
    if wanted.has("start") {
        starts().await?;
    }
    if wanted.has("load") {
        load::measure().await?;
    }
    if wanted.has("pages") {
        pages::measure().await?;
    }
    if wanted.has("memory") {
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
