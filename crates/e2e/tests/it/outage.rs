//! Tests with a collector that is dead, refuses data or hangs. No request waits for it, lost items are counted and
//! logged once, and exports continue when it is back.

use std::{net::TcpListener, time::Duration};

use anyhow::ensure;
use e2e::{
    Collector, Process, System,
    collector::{Answer, Received, text},
    system::eventually,
};
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::metrics::v1::{
    NumberDataPoint, metric::Data, number_data_point::Value,
};
use reqwest::Client;
use serde_json::Value as Json;

use crate::trial;

/// Number of requests, several times the capacity of the queue.
const REQUESTS: usize = 400;

/// Time limit of a request while the collector is away. A request takes a few milliseconds. If it waited for an
/// export, it would take at least the timeout of the export.
const PATIENCE: Duration = Duration::from_millis(400);

const LOST: &str = "telemetry is dropped until the collector takes it again";
const AGAIN: &str = "telemetry is exported again";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("outage::of_a_collector_that_is_dead", async || {
            // A port that was just free, on which the collector starts later.
            let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
            outage(&address, None).await
        }),
        trial("outage::of_a_collector_that_refuses", async || {
            let collector = Collector::start_at("127.0.0.1:0", Answer::Refuse).await?;
            let address = collector.endpoint().replace("http://", "");
            outage(&address, Some(collector)).await
        }),
        trial("outage::of_a_collector_that_hangs", async || {
            let collector = Collector::start_at("127.0.0.1:0", Answer::Hang).await?;
            let address = collector.endpoint().replace("http://", "");
            outage(&address, Some(collector)).await
        }),
    ]
}

async fn outage(address: &str, collector: Option<Collector>) -> anyhow::Result<()> {
    let system = System::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}")),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "50"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
    ])
    .await?;
    let client = Client::new();
    let mut made = REQUESTS;
    for _ in 0..REQUESTS {
        visit(&client, &system).await?;
    }
    eventually(Duration::from_secs(10), async || {
        visit(&client, &system).await?;
        made += 1;
        says(&system.frontend, LOST)
    })
    .await?;

    let collector = match collector {
        Some(collector) => {
            collector.answer(Answer::Keep);
            collector
        }
        None => Collector::start_at(address, Answer::Keep).await?,
    };
    eventually(Duration::from_secs(30), async || {
        visit(&client, &system).await?;
        made += 1;
        says(&system.frontend, AGAIN)
    })
    .await?;
    let said = lines(&system.frontend, LOST);
    ensure!(said.len() == 1, "not logged once for all signals: {said:?}");
    let endpoint = &said[0]["endpoint"];
    ensure!(*endpoint == format!("http://{address}"), "{endpoint}");

    // All queued spans arrive, and then each span is accounted for.
    ensure!(system.frontend.stop().await?.success());
    let received = collector.received();
    let arrived = received
        .spans
        .iter()
        .filter(|(service, span)| service == "frontend" && span.name == "GET /")
        .count();
    let processed = |error| sum(&received, "otel.sdk.processor.span.processed", error);
    let exported = |error| sum(&received, "otel.sdk.exporter.span.exported", error);
    let (taken, full) = (processed(false), processed(true));
    let (sent, failed) = (exported(false), exported(true));
    ensure!(taken + full == made, "{taken} + {full} of {made}");
    ensure!(sent + failed == taken, "{sent} + {failed} of {taken}");
    ensure!(sent == arrived, "{sent} sent, {arrived} arrived");
    ensure!(full > REQUESTS / 2, "the queue held all but {full}");
    Ok(())
}

async fn visit(client: &Client, system: &System) -> anyhow::Result<()> {
    let request = client.get(system.url("/")).timeout(PATIENCE);
    let status = request.send().await?.status();
    ensure!(status.is_success(), "{status}");
    Ok(())
}

/// Fails if a process has not logged this message.
fn says(process: &Process, message: &str) -> anyhow::Result<()> {
    ensure!(
        !lines(process, message).is_empty(),
        "it has not logged: {message}"
    );
    Ok(())
}

/// The log records of a process that have this message.
fn lines(process: &Process, message: &str) -> Vec<Json> {
    process
        .output()
        .iter()
        .filter_map(|line| serde_json::from_str::<Json>(line).ok())
        .filter(|record| record["message"] == message)
        .collect()
}

/// The newest value of a counter of the frontend, with or without an error type.
fn sum(received: &Received, name: &str, error: bool) -> usize {
    let newest = received
        .metrics
        .iter()
        .rev()
        .find(|(service, metric)| service == "frontend" && metric.name == name);
    let Some(Data::Sum(sum)) = newest.and_then(|(_, metric)| metric.data.as_ref()) else {
        return 0;
    };
    let value = |point: &NumberDataPoint| match point.value {
        Some(Value::AsInt(value)) => usize::try_from(value).unwrap_or(0),
        _ => 0,
    };
    sum.data_points
        .iter()
        .filter(|point| text(&point.attributes, "error.type").is_some() == error)
        .map(value)
        .sum()
}
