//! Tests of the addresses at which the collector and the broker are reached, and of the files and flags that users add
//! to the configurations.

use std::{
    env, fs,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail, ensure};
use e2e::{
    Stack,
    stack::{BROKER, TELEMETRY},
    system::eventually,
};
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
};
use preflight::{PORTS, rewrite};
use reqwest::{Client, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
};
use tonic::{Code, Request, transport::Channel};

use crate::{sdks::FOLDER, trial_with};

/// Stands for the address of a network. Only Linux has more than one loopback address.
const EXTERNAL: &str = "127.0.0.2";
const GUIDE: &str = include_str!("../../../../docs/lgtm.md");

const TOKEN: &str = "0123456789abcdef-for-senders";

pub(crate) fn trials() -> Vec<Trial> {
    let external = |needed: &[&str]| {
        let mut missing = Stack::missing(needed);
        if TcpListener::bind((EXTERNAL, 0)).is_err() {
            missing.push(format!("a second loopback address, {EXTERNAL}"));
        }
        missing
    };
    let mut trials = vec![
        trial_with(
            "reach::otlp_arrives_at_both_loopback_addresses_and_at_the_external_one",
            external(&["otel-collector", "tempo"]),
            async || otlp_arrives().await,
        ),
        trial_with(
            "reach::the_broker_gives_each_client_the_address_that_it_has_asked",
            external(&[BROKER]),
            async || brokers_are_named().await,
        ),
        trial_with(
            "reach::added_files_and_flags_change_the_backends",
            Stack::missing(TELEMETRY),
            async || added().await,
        ),
    ];
    trials.extend(examples());
    trials
}

async fn otlp_arrives() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let variables = [("OTELIX_EXTERNAL_ADDRESS", EXTERNAL), ("OTLP_TOKEN", TOKEN)];
    let parts = ["otel-collector", "tempo"];
    let stack = Stack::start_with(folder.path(), &parts, &variables).await?;
    let mut sent = Vec::new();
    let mut addresses = vec![("127.0.0.1", None), (EXTERNAL, Some(TOKEN))];
    if TcpListener::bind("[::1]:0").is_ok() {
        addresses.push(("::1", None));
    }
    for (address, token) in addresses {
        let http = at(&stack, address, "OTEL_COLLECTOR_OTLP_HTTP_PORT")?;
        let id = format!("{:032x}", sent.len() + 1);
        let status = post(http, &trace(&id)?, token).await?;
        ensure!(status == StatusCode::OK, "{http}: {status}");
        sent.push(id);
        let grpc = at(&stack, address, "OTEL_COLLECTOR_OTLP_GRPC_PORT")?;
        export(grpc, token)
            .await
            .with_context(|| format!("{grpc}"))?;
    }
    for id in sent {
        eventually(Duration::from_secs(30), async || {
            stack.tempo.trace(&id).await.map(drop)
        })
        .await?;
    }

    let http = at(&stack, EXTERNAL, "OTEL_COLLECTOR_OTLP_HTTP_PORT")?;
    let grpc = at(&stack, EXTERNAL, "OTEL_COLLECTOR_OTLP_GRPC_PORT")?;
    for wrong in [None, Some("0123456789abcdef")] {
        let status = post(http, &trace("ff")?, wrong).await?;
        ensure!(status == StatusCode::UNAUTHORIZED, "{wrong:?}: {status}");
        let refused = export(grpc, wrong).await.err().context("accepted")?;
        let code = refused.downcast::<tonic::Status>()?.code();
        ensure!(code == Code::Unauthenticated, "{wrong:?}: {code}");
    }
    Ok(())
}

async fn brokers_are_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let variables = [("OTELIX_EXTERNAL_ADDRESS", EXTERNAL)];
    let stack = Stack::start_with(folder.path(), &[BROKER], &variables).await?;
    for (address, port) in [
        ("127.0.0.1", "BROKER_PORT"),
        (EXTERNAL, "BROKER_EXTERNAL_PORT"),
    ] {
        let address = at(&stack, address, port)?;
        let named = advertised(address).await?;
        ensure!(named == address, "{address} names {named}");
    }
    Ok(())
}

/// The only broker in the answer to a request of the Kafka protocol for metadata.
async fn advertised(broker: SocketAddr) -> anyhow::Result<SocketAddr> {
    // Metadata, version 4, from the client "it": no topics, and none to create.
    let request = [
        &[0, 3, 0, 4, 0, 0, 0, 1, 0, 2][..],
        b"it",
        &[0, 0, 0, 0],
        &[0],
    ]
    .concat();
    let mut stream = TcpStream::connect(broker).await?;
    stream.write_i32(i32::try_from(request.len())?).await?;
    stream.write_all(&request).await?;
    let _length = stream.read_i32().await?;
    let _correlation = stream.read_i32().await?;
    let _throttle = stream.read_i32().await?;
    let brokers = stream.read_i32().await?;
    ensure!(brokers == 1, "{brokers} brokers");
    let _node = stream.read_i32().await?;
    let mut host = vec![0; usize::try_from(stream.read_i16().await?)?];
    stream.read_exact(&mut host).await?;
    let port = u16::try_from(stream.read_i32().await?)?;
    Ok(SocketAddr::new(String::from_utf8(host)?.parse()?, port))
}

async fn added() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let overlay = folder.path().join("mine");
    let mut examples = 0;
    for (name, text) in blocks("yaml") {
        let (_, name) = name.rsplit_once("`mine/").context("no file")?;
        let (name, _) = name.split_once('`').context("no end")?;
        write(&overlay.join(name), &text)?;
        examples += 1;
    }
    ensure!(examples == 4, "{examples} examples");
    let second = "exporters: {otlp_http/second: {endpoint: 'http://127.0.0.1:3100/otlp'}}\n\
        service: {pipelines: {logs/second: {receivers: [otlp], exporters: [otlp_http/second]}}}\n";
    write(&overlay.join("otel-collector/second.yaml"), second)?;
    let rules = "groups: [{name: up, interval: 1s, rules: [{record: 'shop:up', expr: 'up{job=\"shop-host\"}'}]}]";
    write(&overlay.join("prometheus/rules/up.yaml"), rules)?;
    let overlay = overlay.to_string_lossy();
    let variables = [
        ("OTELIX_OVERLAY", &*overlay),
        ("PROMETHEUS_ARGS", "--storage.tsdb.retention.time=3d"),
        (
            "LOKI_ARGS",
            "-store.retention=49h -distributor.max-line-size=10KB",
        ),
        (
            "TEMPO_ARGS",
            "-backend-worker.compaction.block-retention=50h",
        ),
    ];
    let stack = Stack::start_with(folder.path(), TELEMETRY, &variables).await?;

    let get = async |port: &str, path: &str| -> anyhow::Result<String> {
        let url = format!("http://{}{path}", stack.address(port));
        Ok(reqwest::get(url).await?.error_for_status()?.text().await?)
    };
    for (port, path, expected) in [
        (
            "PROMETHEUS_PORT",
            "/api/v1/status/flags",
            r#""storage.tsdb.retention.time":"3d""#,
        ),
        ("PROMETHEUS_PORT", "/api/v1/rules", r#""ShopIsDown""#),
        ("LOKI_PORT", "/config", " retention_period: 2d1h\n"),
        ("LOKI_PORT", "/config", " max_line_size: 10KB\n"),
        ("TEMPO_PORT", "/status/config", "block_retention: 50h0m0s\n"),
    ] {
        let text = get(port, path).await?;
        ensure!(text.contains(expected), "{port}: no {expected} in {text}");
    }

    let port = "OTEL_COLLECTOR_OTLP_HTTP_PORT";
    let mut addresses = vec![at(&stack, "127.0.0.1", port)?];
    if TcpListener::bind("[::1]:0").is_ok() {
        addresses.push(at(&stack, "::1", port)?);
    }
    for address in addresses {
        let answer = Client::new()
            .request(Method::OPTIONS, format!("http://{address}/v1/traces"))
            .header(header::ORIGIN, "https://shop.example.com")
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .send()
            .await?;
        let allowed = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        ensure!(allowed.is_some(), "{address}: {answer:?}");
    }

    // The collector has two ways to Loki now.
    let url = format!("{}/v1/logs", stack.otlp_http());
    let request = Client::new()
        .post(url)
        .header("content-type", "application/json")
        .body(logs()?.to_string());
    request.send().await?.error_for_status()?;
    eventually(Duration::from_secs(30), async || {
        let lines = stack.loki.query(r#"{service_name="shop"}"#).await?;
        let texts: Vec<_> = lines.iter().map(|line| line.text.as_str()).collect();
        ensure!(texts.contains(&"ann@example.com"), "{texts:?}");
        ensure!(texts.contains(&"[redacted]"), "{texts:?}");
        // Nothing listens there.
        let series = stack.prometheus.query("shop:up == 0").await?;
        ensure!(series.len() == 1, "{series:?}");
        Ok(())
    })
    .await
}

/// The examples of the guide that this machine can run, each with what it needs.
fn examples() -> Vec<Trial> {
    let sdk = |program: &str| {
        let program = PathBuf::from(env::var_os(FOLDER).unwrap_or_default()).join(program);
        let missing = format!("the SDK ({FOLDER}=$(.ci/sdks/build))");
        let missing = (!program.exists()).then_some(missing);
        (program.display().to_string(), Vec::from_iter(missing))
    };
    let (python, no_python) = sdk("python/bin/opentelemetry-instrument");
    let (modules, no_modules) = sdk("node/node_modules");
    let (agent, no_agent) = sdk("java/opentelemetry-javaagent.jar");
    let examples = [
        Example {
            name: "shell",
            language: "sh",
            file: "app.sh",
            command: "bash -eu app.sh".to_owned(),
            root: "order",
            metric: "orders_total",
        },
        Example {
            name: "python",
            language: "python",
            file: "app.py",
            command: format!("{python} --logs_exporter otlp \"$(dirname {python})/python\" app.py"),
            root: "order",
            metric: "orders_total",
        },
        Example {
            name: "node",
            language: "js",
            file: "app.js",
            command: format!(
                "NODE_PATH={modules} OTEL_METRICS_EXPORTER=otlp OTEL_LOGS_EXPORTER=otlp node app.js"
            ),
            root: "order",
            metric: "orders_total",
        },
        Example {
            name: "java",
            language: "java",
            file: "App.java",
            command: format!("javac App.java; java -javaagent:{agent} App"),
            root: "GET",
            metric: "http_server_request_duration_seconds_count",
        },
    ];
    let missing = [Vec::new(), no_python, no_modules, no_agent];
    let trial = |(example, missing): (Example, Vec<String>)| {
        trial_with(
            &format!(
                "reach::the_example_for_{}_arrives_and_is_found_again",
                example.name
            ),
            [Stack::missing(TELEMETRY), missing].concat(),
            async move || example.arrives().await,
        )
    };
    examples.into_iter().zip(missing).map(trial).collect()
}

/// An example of the guide.
struct Example {
    name: &'static str,
    /// The language of its block.
    language: &'static str,
    file: &'static str,
    command: String,
    /// The name of the root span.
    root: &'static str,
    metric: &'static str,
}

impl Example {
    /// Runs the example, and then the queries for a program.
    async fn arrives(&self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let stack = Stack::start(folder.path(), TELEMETRY).await?;
        let with = |word: &str, language: &str| {
            let mut blocks = blocks(language).into_iter();
            let found = blocks.find(|(_, text)| text.contains(word));
            found.with_context(|| format!("no example with {word}"))
        };
        let (_, text) = with("order received", self.language)?;
        let folder = folder.path();
        write(&folder.join(self.file), &moved(&stack, &text))?;
        let (_, variables) = with("OTEL_SERVICE_NAME=", "sh")?;
        run(&stack, folder, &format!("{variables}\n{}", self.command)).await?;
        let (_, find) = with("/api/search", "sh")?;
        let find = find.replace("orders_total", self.metric);
        eventually(Duration::from_secs(30), async || {
            let found = run(&stack, folder, &find).await?;
            let root = format!(r#""rootTraceName":"{}""#, self.root);
            for text in [&root, "order received", r#""1"]"#] {
                ensure!(found.contains(text), "no {text} in {found}");
            }
            Ok(())
        })
        .await
    }
}

/// Runs commands of the guide in a folder, with the ports of a stack.
async fn run(stack: &Stack, folder: &Path, commands: &str) -> anyhow::Result<String> {
    let output = Command::new("bash")
        .args(["-euc", &moved(stack, commands)])
        .current_dir(folder)
        .output()
        .await?;
    let failed = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {failed}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// A text of the guide with the ports of a stack.
fn moved(stack: &Stack, text: &str) -> String {
    rewrite(text, |port| {
        let known = PORTS.iter().find(|known| known.default == port);
        let moved = known.and_then(|known| stack.variables().get(known.variable));
        moved.and_then(|moved| moved.parse().ok()).unwrap_or(port)
    })
}

/// The blocks of code of the guide in a language, each with the text before it.
fn blocks(language: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut rest = GUIDE;
    while let Some((before, block)) = rest.split_once("\n```") {
        let (named, block) = block.split_once('\n').unwrap_or_default();
        let (text, after) = block.split_once("```\n").unwrap_or((block, ""));
        if named == language {
            blocks.push((before.to_owned(), text.to_owned()));
        }
        rest = after;
    }
    blocks
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::create_dir_all(file.parent().context("no folder")?)?;
    Ok(fs::write(file, text)?)
}

fn at(stack: &Stack, address: &str, port: &str) -> anyhow::Result<SocketAddr> {
    let port = stack.variables().get(port).context("no such port")?;
    Ok(SocketAddr::new(address.parse::<IpAddr>()?, port.parse()?))
}

async fn post(
    address: SocketAddr,
    body: &Value,
    token: Option<&str>,
) -> anyhow::Result<StatusCode> {
    let mut request = Client::new()
        .post(format!("http://{address}/v1/traces"))
        .header("content-type", "application/json")
        .body(body.to_string());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    Ok(request.send().await?.status())
}

async fn export(address: SocketAddr, token: Option<&str>) -> anyhow::Result<()> {
    let channel = Channel::from_shared(format!("http://{address}"))?;
    let mut request = Request::new(ExportTraceServiceRequest::default());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse()?;
        request.metadata_mut().insert("authorization", value);
    }
    let mut client = TraceServiceClient::new(channel.connect().await?);
    match client.export(request).await {
        Ok(_) => Ok(()),
        Err(status) => bail!(status),
    }
}

fn now() -> anyhow::Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(now.as_nanos().to_string())
}

fn trace(id: &str) -> anyhow::Result<Value> {
    let now = now()?;
    Ok(json!({ "resourceSpans": [{ "scopeSpans": [{ "spans": [{
        "traceId": id,
        "spanId": "eee19b7ec3c1b174",
        "name": "order",
        "kind": 2,
        "startTimeUnixNano": now,
        "endTimeUnixNano": now,
    }] }] }] }))
}

fn logs() -> anyhow::Result<Value> {
    Ok(json!({ "resourceLogs": [{
        "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": "shop" } }] },
        "scopeLogs": [{ "logRecords": [{
            "timeUnixNano": now()?,
            "body": { "stringValue": "ann@example.com" },
        }] }],
    }] }))
}
