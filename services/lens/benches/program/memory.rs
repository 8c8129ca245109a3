//! Resident memory in a flood of large requests, with readers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use e2e::{
    measure::{print, table},
    samples::{BATCH, spans},
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};

use crate::receiver::Receiver;

const SENDERS: usize = 16;
const READERS: usize = 4;
const TIME: Duration = Duration::from_secs(15);

/// Floods lens, and prints its largest memory.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let mut report = table([
        "LENS_MEMORY",
        "spans in a request",
        "readers",
        "taken spans/s",
        "refused",
        "peak MiB",
        "above LENS_MEMORY, MiB",
    ]);
    for mebibytes in [8, 16, 64, 256] {
        // Requests of about 0.2, 1.3 and 3.8 MiB.
        for (batches, readers) in [(1, 0), (6, 0), (6, READERS), (18, 0), (18, READERS)] {
            // A store takes no request larger than a quarter of LENS_MEMORY.
            if mebibytes == 8 && batches == 18 {
                continue;
            }
            let memory = format!("{mebibytes}MiB");
            let lens = Receiver::lens(&[("LENS_MEMORY", &memory)]).await?;
            let (taken, refused) = flood(&lens, batches, readers).await?;
            let peak = lens.process.peak_memory()? as f64 / f64::from(1 << 20);
            report.add_row([
                memory,
                (batches * BATCH).to_string(),
                readers.to_string(),
                format!("{:.0}", taken as f64 / TIME.as_secs_f64()),
                refused.to_string(),
                format!("{peak:.0}"),
                format!("{:.0}", peak - f64::from(mebibytes)),
            ]);
        }
    }
    print(&report)
}

/// Sends and reads in closed loops. Returns the number of spans that were taken, and of requests that were refused.
async fn flood(lens: &Receiver, batches: usize, readers: usize) -> anyhow::Result<(u64, u64)> {
    let next = Arc::new(AtomicU64::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let begin = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..SENDERS {
        let mut client = TraceServiceClient::new(lens.connect().await?);
        let (next, refused) = (Arc::clone(&next), Arc::clone(&refused));
        tasks.push(tokio::spawn(async move {
            let mut taken = 0;
            while begin.elapsed() < TIME {
                let count = batches * BATCH;
                let mut number = next.fetch_add(count as u64, Relaxed);
                let mut request = ExportTraceServiceRequest::default();
                for _ in 0..batches {
                    let more = spans(&mut number);
                    request.resource_spans.extend(more.resource_spans);
                }
                match client.export(request).await {
                    Ok(_) => taken += count as u64,
                    Err(_) => _ = refused.fetch_add(1, Relaxed),
                }
            }
            anyhow::Ok(taken)
        }));
    }
    let pages = lens.pages.context("no pages")?;
    let mut reading = Vec::new();
    for path in [
        "/traces",
        "/logs?q=%22nothing%22",
        "/traces?q=http.route:/none",
        "/api/traces?limit=100",
    ]
    .into_iter()
    .take(readers)
    {
        let url = format!("http://{pages}{path}");
        let stop = Arc::clone(&stop);
        reading.push(tokio::spawn(async move {
            while !stop.load(Relaxed) {
                reqwest::get(&url).await?.bytes().await?;
            }
            anyhow::Ok(())
        }));
    }
    let mut taken = 0;
    for task in tasks {
        taken += task.await??;
    }
    stop.store(true, Relaxed);
    for task in reading {
        task.await??;
    }
    Ok((taken, refused.load(Relaxed)))
}
