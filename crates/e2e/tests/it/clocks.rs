//! Test of services with different clocks.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use e2e::{Collector, System};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use reqwest::{Client, StatusCode, redirect::Policy};

use crate::{
    tree::{sign_up, tree},
    trial_with,
};

const HOUR: i64 = 60 * 60;

pub(crate) fn trials() -> Vec<Trial> {
    let missing = match preload() {
        Ok(_) => Vec::new(),
        Err(_) => vec!["faketime".to_owned()],
    };
    vec![trial_with(
        "clocks::that_differ_by_an_hour_disturb_neither_users_nor_traces",
        missing,
        async || an_hour_apart().await,
    )]
}

async fn an_hour_apart() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let endpoint = collector.endpoint();
    let preload = preload()?;
    let system = System::start_each(|service| {
        let mut variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
        let offset = match service {
            "auth" => "+1h",
            "user" => "-1h",
            _ => return variables,
        };
        variables.extend([
            ("LD_PRELOAD", preload.as_str()),
            ("FAKETIME", offset),
            // Only the time of day is wrong. The monotonic clock, which measures durations, cannot be set.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]);
        variables
    })
    .await?;

    let browser = Client::builder()
        .redirect(Policy::none())
        .cookie_store(true)
        .build()?;
    let form = [
        ("email", "ann@example.com"),
        ("password", "correct horse battery"),
    ];
    for path in ["/register", "/login"] {
        let status = browser
            .post(system.url(path))
            .form(&form)
            .send()
            .await?
            .status();
        ensure!(status == StatusCode::SEE_OTHER, "{path}: {status}");
        let status = browser.get(system.url("/account")).send().await?.status();
        ensure!(status == StatusCode::OK, "{path}, /account: {status}");
        let status = browser.post(system.url("/logout")).send().await?.status();
        ensure!(status == StatusCode::SEE_OTHER, "{path}, /logout: {status}");
    }
    for mut process in [system.frontend, system.auth, system.user] {
        process.signal(Signal::SIGTERM)?;
        let status = process.ended().await?;
        ensure!(status.success(), "{status}");
        let output = process.output().join("\n");
        ensure!(!output.contains("panicked"), "{output}");
    }

    let received = collector.received();
    let root = received
        .spans
        .iter()
        .find(|(_, span)| span.name == "POST /register")
        .context("no sign-up")?;
    let trace: Vec<_> = received
        .spans
        .iter()
        .filter(|(_, span)| span.trace_id == root.1.trace_id)
        .cloned()
        .collect();
    let seen = tree(&trace);
    ensure!(seen == sign_up(), "{seen}");

    // Checks that the clocks really differed.
    for (service, offset) in [("auth", HOUR), ("user", -HOUR)] {
        let (_, span) = trace
            .iter()
            .find(|(name, span)| name == service && span.kind() == SpanKind::Server)
            .with_context(|| format!("no server span of {service}"))?;
        let apart = seconds(span) - seconds(&root.1);
        ensure!((apart - offset).abs() < 60, "{service}: {apart} s");
    }
    Ok(())
}

fn seconds(span: &Span) -> i64 {
    i64::try_from(span.start_time_unix_nano / 1_000_000_000).unwrap_or_default()
}

/// The value of `LD_PRELOAD` that faketime sets for its child processes. The services are started without
/// faketime itself, which would not pass signals on to them.
fn preload() -> anyhow::Result<String> {
    let output = Command::new("faketime")
        .args(["-f", "+1h", "env"])
        .stderr(Stdio::null())
        .output()?;
    String::from_utf8(output.stdout)?
        .lines()
        .find_map(|line| line.strip_prefix("LD_PRELOAD="))
        .map(ToOwned::to_owned)
        .context("it names no library")
}
