//! Compares the telemetry of `otelix`, which runs three services in one process, with that of three processes.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use e2e::{
    Collector, Process, System,
    collector::{Received, body},
    system::eventually,
};
use events::Broker;
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::trace::v1::Span;
use reqwest::{Client, StatusCode, redirect::Policy};
use tempfile::TempDir;

use crate::{tree, trial};

const SERVICES: [&str; 3] = ["auth", "frontend", "user"];

/// The metrics of a process and of its runtime. In one process, they have the name of the process.
const OF_A_PROCESS: [&str; 15] = [
    "log.stdout.dropped",
    "otel.sdk.exporter.log.exported",
    "otel.sdk.exporter.metric_data_point.exported",
    "otel.sdk.exporter.span.exported",
    "otel.sdk.processor.log.processed",
    "otel.sdk.processor.span.processed",
    "process.cpu.time",
    "process.memory.usage",
    "process.memory.virtual",
    "process.thread.count",
    "process.unix.file_descriptor.count",
    "process.uptime",
    "tokio.runtime.global_queue.length",
    "tokio.runtime.task.count",
    "tokio.runtime.worker.count",
];

/// The log records of a process: of a signal.
const RECORDS_OF_A_PROCESS: [&str; 1] = ["stopping"];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("services::one_process_exports_what_three_do", async || {
            one_and_three().await
        }),
        trial(
            "services::the_environment_names_the_process_and_applies_to_each_service",
            async || names().await,
        ),
        trial(
            "services::callbacks_of_kafka_clients_have_the_name_of_their_service",
            async || lost_broker().await,
        ),
    ]
}

async fn one_and_three() -> anyhow::Result<()> {
    let (one, three) = tokio::try_join!(one_process(&[]), three_processes())?;
    let (spans, expected) = (spans(&one), spans(&three));
    ensure!(spans.len() > 13, "{spans:#?}");
    same("spans", &spans, &expected)?;
    let (trace, expected) = (trace(&one)?, trace(&three)?);
    ensure!(trace == expected, "{trace}\nis not\n{expected}");
    same("log records", &logs(&one), &logs(&three))?;

    let (process, own) = metrics(&one);
    let (processes, expected) = metrics(&three);
    for wanted in [
        ("auth", "db.client.operation.duration"),
        ("auth", "messaging.client.sent.messages"),
        ("auth", "rpc.client.call.duration"),
        ("frontend", "http.server.request.duration"),
        ("frontend", "messaging.process.duration"),
        ("user", "rpc.server.call.duration"),
    ] {
        ensure!(own.contains(&wanted), "{wanted:?} is not in {own:#?}");
    }
    same("metrics", &own, &expected)?;
    let of = |services: &[&'static str]| -> BTreeSet<_> {
        let each = services.iter();
        each.flat_map(|service| OF_A_PROCESS.map(|metric| (*service, metric)))
            .collect()
    };
    same("metrics of the process", &process, &of(&["otelix"]))?;
    same("metrics of the processes", &processes, &of(&SERVICES))
}

async fn names() -> anyhow::Result<()> {
    let received = one_process(&[
        ("OTEL_SERVICE_NAME", "rest"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=shop"),
    ])
    .await?;
    let names: BTreeSet<&str> = received.resources.iter().map(|(name, _)| &**name).collect();
    ensure!(
        names == BTreeSet::from(["auth", "frontend", "rest", "user"]),
        "{names:?}"
    );
    // All attributes but the name are those of the process.
    let others: BTreeSet<String> = received
        .resources
        .iter()
        .map(|(_, resource)| {
            let attributes = resource.attributes.iter();
            let others = attributes.filter(|attribute| attribute.key != "service.name");
            format!("{:?}", others.collect::<Vec<_>>())
        })
        .collect();
    ensure!(others.len() == 1, "{others:#?}");
    let others = others.first().context("one")?;
    for name in [
        "service.namespace",
        "service.version",
        "service.instance.id",
    ] {
        ensure!(others.contains(name), "{others}");
    }
    Ok(())
}

/// librdkafka calls back on threads of its own.
async fn lost_broker() -> anyhow::Result<()> {
    let (collector, folder) = (Collector::start().await?, tempfile::tempdir()?);
    let broker = Broker::start(6)?;
    let brokers = broker.address().to_string();
    let variables = [("KAFKA_BROKERS", &*brokers), ("RUST_LOG", "debug")];
    let (_otelix, url) = start(&collector, &variables, &folder).await?;
    sign_up(&url, &collector).await?;
    drop(broker);
    let services_of = |received: &Received, message: &str| -> BTreeSet<String> {
        let records = received.logs.iter();
        let records = records.filter(|(_, record)| body(record).starts_with(message));
        records.map(|(service, _)| service.clone()).collect()
    };
    let services = SERVICES.map(str::to_owned).into();
    eventually(Duration::from_secs(30), async || {
        let received = collector.received();
        for message in ["the broker is away", "librdkafka: "] {
            let found = services_of(&received, message);
            ensure!(found == services, "{message}: {found:?}");
        }
        Ok(())
    })
    .await
}

/// Signs up at `otelix`, and returns all that it exports until its end.
async fn one_process(variables: &[(&str, &str)]) -> anyhow::Result<Received> {
    let (collector, folder) = (Collector::start().await?, tempfile::tempdir()?);
    let (otelix, url) = start(&collector, variables, &folder).await?;
    sign_up(&url, &collector).await?;
    ensure!(otelix.stop().await?.success());
    Ok(collector.received())
}

/// Starts `otelix` with these variables. Returns the URL of its pages too.
async fn start(
    collector: &Collector,
    variables: &[(&str, &str)],
    folder: &TempDir,
) -> anyhow::Result<(Process, String)> {
    let endpoint = collector.endpoint();
    let variables = [
        &exports(&endpoint)[..],
        &[("PORT", "0"), ("AUTH_PORT", "0"), ("USER_PORT", "0")],
        variables,
    ];
    let mut otelix = Process::start("otelix", &[], &variables.concat(), folder.path())?;
    let line = otelix.line(|line| line.contains("  open  ")).await?;
    let url = line.split_whitespace().last().context("no address")?;
    Ok((otelix, url.trim_end_matches('/').to_owned()))
}

async fn three_processes() -> anyhow::Result<Received> {
    let (collector, broker) = (Collector::start().await?, Broker::start(6)?);
    let (endpoint, brokers) = (collector.endpoint(), broker.address().to_string());
    let variables = [&exports(&endpoint)[..], &[("KAFKA_BROKERS", &brokers)]];
    let system = System::start(&variables.concat()).await?;
    sign_up(&system.url(""), &collector).await?;
    for process in [system.frontend, system.auth, system.user] {
        ensure!(process.stop().await?.success());
    }
    Ok(collector.received())
}

fn exports(endpoint: &str) -> [(&str, &str); 4] {
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
    ]
}

/// Signs up, and waits until the frontend has handled the events of both services.
async fn sign_up(url: &str, collector: &Collector) -> anyhow::Result<()> {
    let form = [
        ("email", "ann@example.com"),
        ("password", "correct horse battery"),
    ];
    let client = Client::builder().redirect(Policy::none()).build()?;
    let answer = client.post(format!("{url}/register")).form(&form);
    let status = answer.send().await?.status();
    ensure!(status == StatusCode::SEE_OTHER, "{status}");
    eventually(Duration::from_secs(20), async || {
        let received = collector.received();
        let handled = received.spans.iter();
        let handled = handled.filter(|(_, span)| span.name.starts_with("process "));
        ensure!(handled.count() == 2, "the events are not handled yet");
        // The lag is known when the broker has told the end of a partition.
        let mut metrics = received.metrics.iter();
        let lag = metrics.any(|(_, metric)| metric.name == "events.consumer.lag");
        ensure!(lag, "no lag yet");
        // Counts of exports are themselves part of the next export.
        let counted = received
            .metrics
            .iter()
            .filter(|(_, metric)| metric.name == "otel.sdk.exporter.metric_data_point.exported");
        let services: BTreeSet<&str> = counted.map(|(service, _)| &**service).collect();
        let processes: BTreeSet<&str> = received
            .metrics
            .iter()
            .filter(|(_, metric)| metric.name == "process.uptime")
            .map(|(service, _)| &**service)
            .collect();
        ensure!(
            !services.is_empty() && services == processes,
            "no second export yet"
        );
        Ok(())
    })
    .await
}

/// Every span as its service, kind and name, and as those of its parent.
fn spans(received: &Received) -> BTreeSet<String> {
    let line = |(service, span): &(String, Span)| {
        format!("{service} {} {}", span.kind().as_str_name(), span.name)
    };
    received
        .spans
        .iter()
        .map(|item| {
            let parent = &item.1.parent_span_id;
            let parent = received
                .spans
                .iter()
                .find(|(_, span)| span.span_id == *parent)
                .map(line);
            format!("{} below {parent:?}", line(item))
        })
        .collect()
}

/// The trace of the sign-up as text, with the attributes of its spans.
fn trace(received: &Received) -> anyhow::Result<String> {
    let root = received
        .spans
        .iter()
        .find(|(_, span)| span.name == "POST /register");
    let id = &root.context("no sign-up")?.1.trace_id;
    let spans = received.spans.iter();
    let spans: Vec<_> = spans
        .filter(|(_, span)| span.trace_id == *id)
        .cloned()
        .collect();
    Ok(tree::tree(&spans))
}

/// The service and the message of each log record, and whether it belongs to a request.
fn logs(received: &Received) -> BTreeSet<(&str, &str, bool)> {
    let records = received.logs.iter();
    let records =
        records.map(|(service, record)| (&**service, body(record), !record.trace_id.is_empty()));
    records
        .filter(|(_, body, _)| !RECORDS_OF_A_PROCESS.contains(body))
        .collect()
}

type Metrics<'a> = BTreeSet<(&'a str, &'a str)>;

/// The names of all metrics: first those of the process, then those of services.
fn metrics(received: &Received) -> (Metrics<'_>, Metrics<'_>) {
    let all = received.metrics.iter();
    all.map(|(service, metric)| (&**service, &*metric.name))
        .partition(|(_, name)| OF_A_PROCESS.contains(name))
}

fn same<T: Ord + std::fmt::Debug>(
    what: &str,
    found: &BTreeSet<T>,
    expected: &BTreeSet<T>,
) -> anyhow::Result<()> {
    let missing: Vec<_> = expected.difference(found).collect();
    let more: Vec<_> = found.difference(expected).collect();
    ensure!(
        missing.is_empty() && more.is_empty(),
        "{what}: missing {missing:#?}, unexpected {more:#?}"
    );
    Ok(())
}
