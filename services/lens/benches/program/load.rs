//! Spans at a fixed rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use e2e::{
    measure::{Latencies, print, table},
    samples::{BATCH, spans},
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tokio::time::Instant;

use crate::receiver::Receiver;

const CONNECTIONS: u32 = 8;

/// Rates in spans a second, and for how long.
const LOADS: [(u32, Duration); 2] = [
    (60_000, Duration::from_secs(10)),
    (20_000, Duration::from_secs(30)),
];

/// Sends spans to each receiver, and prints what became of them.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let mut report = table([
        "receiver",
        "offered spans/s",
        "for s",
        "taken spans/s",
        "refused requests",
        "p99 ms",
        "processor s per million spans",
        "peak MB",
    ]);
    for (rate, time) in LOADS {
        for name in ["lens", "lens with LENS_DATA", "collector", "jaeger"] {
            let receiver = match name {
                "lens" => Some(Receiver::lens(&[]).await?),
                "collector" => Receiver::collector().await?,
                "jaeger" => Receiver::jaeger().await?,
                _ => Some(Receiver::lens(&[("LENS_DATA", "data")]).await?),
            };
            let mut row = vec![
                name.to_owned(),
                rate.to_string(),
                time.as_secs().to_string(),
            ];
            row.extend(match receiver {
                None => ["not on PATH"; 5].map(str::to_owned).to_vec(),
                Some(receiver) => offer(&receiver, rate, time).await?.into(),
            });
            report.add_row(row);
        }
    }
    print(&report)
}

/// Sends batches of spans over several connections. A batch that is late because of earlier ones is sent at once.
async fn offer(receiver: &Receiver, rate: u32, time: Duration) -> anyhow::Result<[String; 5]> {
    let before = receiver.process.cpu()?;
    let next = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let pause = Duration::from_secs(1) * BATCH as u32 / rate;
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = TraceServiceClient::new(receiver.connect().await?);
        let next = Arc::clone(&next);
        senders.push(tokio::spawn(async move {
            let mut latencies = Latencies::new()?;
            let mut refused = 0;
            loop {
                let batch = next.fetch_add(1, Relaxed);
                let due = begin + pause * u32::try_from(batch)?;
                if due >= begin + time || Instant::now() >= begin + time {
                    return anyhow::Ok((latencies, refused));
                }
                let request = spans(&mut (batch * BATCH as u64));
                tokio::time::sleep_until(due).await;
                let started = Instant::now();
                let answer = client.export(request).await;
                let rejected = answer.map(|answer| {
                    let partial = answer.into_inner().partial_success;
                    partial.map_or(0, |partial| partial.rejected_spans)
                });
                match rejected {
                    Ok(0) => latencies.record(started.elapsed()),
                    _ => refused += 1,
                }
            }
        }));
    }
    let mut latencies = Latencies::new()?;
    let mut refused = 0;
    for sender in senders {
        let (some, refused_some) = sender.await??;
        latencies.add(&some)?;
        refused += refused_some;
    }
    let taken = latencies.count() * BATCH as u64;
    let spent = receiver.process.cpu()? - before;
    Ok([
        format!("{:.0}", taken as f64 / time.as_secs_f64()),
        refused.to_string(),
        format!("{:.1}", latencies.quantile(0.99).as_secs_f64() * 1e3),
        format!("{:.2}", spent.as_secs_f64() * 1e6 / taken as f64),
        format!("{:.0}", receiver.process.peak_memory()? as f64 / 1e6),
    ])
}
