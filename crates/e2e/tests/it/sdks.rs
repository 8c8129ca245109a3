//! Tests that the OpenTelemetry SDKs of several languages send all signals to lens with their defaults, and that each
//! arrives whole.

mod rust;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{Process, compose::ROOT, system::eventually};
use libtest_mimic::Trial;
use reqwest::Client;
use serde_json::Value;
use tokio::process::Command;

use crate::{trial, trial_with};

/// Where CI has installed the SDKs.
pub(crate) const FOLDER: &str = "OTELIX_SDKS";

const PROTOCOLS: [&str; 2] = ["grpc", "http/protobuf"];

/// Number of traces that a sender sends. Each has two spans and a log record.
const ORDERS: usize = 100;

pub(crate) fn trials() -> Vec<Trial> {
    let sdk = |name: &str, program: &str, run: fn(&Path, &str) -> Command| {
        let name = name.to_owned();
        let program = env::var_os(FOLDER).map(|folder| PathBuf::from(folder).join(program));
        let is_here = program.as_ref().is_some_and(|program| program.exists());
        let missing = (!is_here).then(|| format!("the SDK of {name} ({FOLDER}=$(.ci/sdks/build))"));
        trial_with(
            &format!("sdks::{name}_sends_all_signals_to_lens"),
            missing.into_iter().collect(),
            async move || {
                let program = program.context("no SDK")?;
                for protocol in PROTOCOLS {
                    let send = async |endpoint: &str| {
                        let command = run(&program, protocol);
                        executed(command, &name, protocol, endpoint).await
                    };
                    sends(&name, protocol, send).await.context(protocol)?;
                }
                Ok(())
            },
        )
    };
    vec![
        trial("sdks::rust_sends_all_signals_to_lens", async || {
            for protocol in PROTOCOLS {
                let send = async |endpoint: &str| rust::send(protocol, endpoint).await;
                sends("rust", protocol, send).await.context(protocol)?;
            }
            Ok(())
        }),
        sdk("python", "python/bin/python", |python, protocol| {
            let mut command = Command::new(python);
            command.arg(sender("send.py")).arg(protocol);
            command
        }),
        sdk("node", "node/node_modules", |modules, _| {
            let mut command = Command::new("node");
            command
                .arg(sender("send.js"))
                .env("NODE_PATH", modules)
                // By default, this SDK exports traces alone.
                .env("OTEL_METRICS_EXPORTER", "otlp")
                .env("OTEL_LOGS_EXPORTER", "otlp");
            command
        }),
    ]
}

fn sender(name: &str) -> PathBuf {
    Path::new(ROOT).join("crates/e2e/tests/sdks").join(name)
}

/// Runs a sender to its end.
async fn executed(
    mut command: Command,
    language: &str,
    protocol: &str,
    endpoint: &str,
) -> anyhow::Result<()> {
    let sent = command
        .env("OTEL_SERVICE_NAME", language)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&sent.stderr);
    ensure!(sent.status.success() && said.is_empty(), "{said}");
    Ok(())
}

async fn sends(
    language: &str,
    protocol: &str,
    send: impl AsyncFnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let ports = ["PORT", "OTLP_GRPC_PORT", "OTLP_HTTP_PORT"].map(|port| (port, "0"));
    let mut lens = Process::start("lens", &[], &ports, folder.path())?;
    let pages = lens.ready().await?;
    let ready = lens.line(|line| line.contains("\"ready\"")).await?;
    let ready: Value = serde_json::from_str(&ready)?;
    let otlp = ready["otlp"].as_str().context("no addresses for OTLP")?;
    let port = usize::from(protocol != "grpc");
    let address = otlp.trim_matches(['[', ']']).split(", ").nth(port);
    let endpoint = format!("http://{}", address.context("no port")?);
    send(&endpoint).await?;

    let api = async |path: &str| -> anyhow::Result<Value> {
        let url = format!("http://{pages}/api/{path}");
        let answer = Client::new().get(url).send().await?.error_for_status()?;
        serde_json::from_str(&answer.text().await?).context(path.to_owned())
    };
    // The SDK has sent everything before it ended.
    eventually(Duration::from_secs(5), async || {
        let traces = api(&format!("traces?limit=1000&q=service:{language}")).await?;
        spans(&traces)?;
        let logs = api(&format!("logs?limit=1000&q=service:{language}")).await?;
        log_records(&logs)?;
        let metrics = api(&format!("metrics?q=service:{language}")).await?;
        points(&metrics)
    })
    .await?;
    let status = lens.stop().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// All values of a key, at any depth of the scopes of an export.
fn records<'a>(export: &'a Value, groups: &str, scopes: &str, records: &str) -> Vec<&'a Value> {
    let list = |value: &'a Value, key: &str| value[key].as_array().into_iter().flatten();
    list(export, groups)
        .flat_map(|group| list(group, scopes))
        .flat_map(|scope| list(scope, records))
        .collect()
}

fn spans(export: &Value) -> anyhow::Result<()> {
    let spans = records(export, "resourceSpans", "scopeSpans", "spans");
    ensure!(spans.len() == 2 * ORDERS, "{} spans", spans.len());
    let named = |name: &'static str| spans.iter().filter(move |span| span["name"] == name);
    let roots: BTreeSet<_> = named("order")
        .map(|span| span["spanId"].to_string())
        .collect();
    ensure!(roots.len() == ORDERS, "{} roots", roots.len());
    for pay in named("pay") {
        ensure!(roots.contains(&pay["parentSpanId"].to_string()), "{pay}");
        ensure!(
            pay["kind"] == 3 && pay["events"][0]["name"] == "paid",
            "{pay}"
        );
    }
    let numbers: BTreeSet<_> = named("order")
        .map(|span| span["attributes"].to_string())
        .collect();
    ensure!(numbers.len() == ORDERS, "{numbers:?}");
    ensure!(
        numbers.iter().all(|number| number.contains("Grüße <b>")),
        "{numbers:?}"
    );
    Ok(())
}

fn log_records(export: &Value) -> anyhow::Result<()> {
    let logs = records(export, "resourceLogs", "scopeLogs", "logRecords");
    let bodies: BTreeSet<_> = logs
        .iter()
        .map(|log| log["body"]["stringValue"].to_string())
        .collect();
    let expected = (0..ORDERS)
        .map(|number| format!("\"order {number}\""))
        .collect();
    ensure!(bodies == expected, "{bodies:?}");
    let is_linked = |log: &&Value| {
        log["severityNumber"] == 9 && log["traceId"].as_str().is_some_and(|id| id.len() == 32)
    };
    ensure!(logs.iter().all(is_linked), "{logs:?}");
    Ok(())
}

fn points(export: &Value) -> anyhow::Result<()> {
    let metrics = records(export, "resourceMetrics", "scopeMetrics", "metrics");
    let named = |name: &'static str| metrics.iter().filter(move |metric| metric["name"] == name);
    let mut orders = BTreeMap::new();
    for point in named("orders")
        .flat_map(|metric| metric["sum"]["dataPoints"].as_array())
        .flatten()
    {
        let last = point["asInt"]
            .as_str()
            .and_then(|count| count.parse::<u64>().ok());
        let count = last.or_else(|| point["asDouble"].as_f64().map(|count| count as u64));
        orders.insert(point["attributes"].to_string(), count);
    }
    ensure!(orders.len() == 4, "{metrics:?}");
    ensure!(
        orders.values().all(|count| *count == Some(25)),
        "{orders:?}"
    );
    let prices: Vec<_> = named("prices")
        .flat_map(|metric| metric["histogram"]["dataPoints"].as_array())
        .flatten()
        .collect();
    ensure!(!prices.is_empty(), "{metrics:?}");
    for prices in prices {
        ensure!(
            prices["count"] == "100" && prices["sum"] == 4950.0,
            "{prices}"
        );
        ensure!(prices["min"] == 0.0 && prices["max"] == 99.0, "{prices}");
    }
    Ok(())
}
