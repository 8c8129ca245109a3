//! Pages and answers of the API from a full store.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use e2e::{
    measure::{Latencies, print, table},
    samples::{BATCH, in_one_trace, logs, spans},
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::logs_service_client::LogsServiceClient,
    trace::v1::trace_service_client::TraceServiceClient,
};
use serde_json::Value;

use crate::receiver::Receiver;

/// Spans of the large trace.
const LARGE: usize = 50_000;
const RUNS: usize = 40;

/// Fills lens, and prints how long its pages take.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let lens = Receiver::lens(&[]).await?;
    let pages = lens.pages.context("no pages")?;
    let mut traces = TraceServiceClient::new(lens.connect().await?);
    let mut log_records = LogsServiceClient::new(lens.connect().await?);
    let (mut span, mut record) = (0, 0);
    loop {
        for _ in 0..50 {
            traces.export(spans(&mut span)).await?;
            log_records.export(logs(&mut record)).await?;
        }
        let status = reqwest::get(format!("http://{pages}/api/status")).await?;
        let status: Value = serde_json::from_slice(&status.bytes().await?)?;
        if status["logs"]["evicted"].as_u64().context("no count")? > 0 {
            break;
        }
    }
    for _ in 0..LARGE.div_ceil(BATCH) {
        traces.export(in_one_trace(spans(&mut span))).await?;
    }

    let large = "07".repeat(16);
    let mut report = table(["of a store of 256 MiB", "p50 ms", "p95 ms", "KB"]);
    for path in [
        "/",
        "/traces",
        "/traces?q=service:mailer+status:error",
        "/traces?q=http.route:/none",
        "/api/traces",
        "/logs",
        "/logs?q=%22signed+in%22",
        "/logs?q=%22nothing+of+the+kind%22",
        "/logs?q=-request",
        "/api/logs?q=%22nothing+of+the+kind%22",
        "/doctor",
        &format!("/traces/{large}"),
    ] {
        let mut latencies = Latencies::new()?;
        let mut size = 0;
        for _ in 0..RUNS {
            let started = Instant::now();
            let answer = reqwest::get(format!("http://{pages}{path}")).await?;
            ensure!(answer.status().is_success(), "{path}: {}", answer.status());
            size = answer.bytes().await?.len();
            latencies.record(started.elapsed());
        }
        let ms = |quantile| format!("{:.1}", latencies.quantile(quantile).as_secs_f64() * 1e3);
        report.add_row([
            path.replace(&large, &format!("(a trace of {LARGE} spans)")),
            ms(0.5),
            ms(0.95),
            format!("{:.0}", size as f64 / 1e3),
        ]);
    }
    print(&report)
}
