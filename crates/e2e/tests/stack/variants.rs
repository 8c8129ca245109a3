//! Tests of the partial stacks that the files beside `process-compose.yaml` define.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{
    Stack,
    stack::{BROKER, FILES, PROFILES, PYROSCOPE, TELEMETRY, variables},
    system::eventually,
};
use libtest_mimic::Trial;
use reqwest::{Client, StatusCode, redirect::Policy};
use tokio::process::Command;

use crate::{missing, supervisor::Supervisor, trial};

/// Time limit of a start in the dev profile, on a busy machine.
const START: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "variants::the_services_alone_use_the_running_collector_and_broker",
            missing(&[TELEMETRY, &[BROKER]]),
            async || services().await,
        ),
        trial(
            "variants::lens_replaces_the_collector_and_the_backends",
            missing(&[&[BROKER]]),
            async || with_lens().await,
        ),
        trial(
            "variants::the_backends_alone_accept_telemetry_of_other_programs",
            missing(&[TELEMETRY]),
            async || lgtm().await,
        ),
        trial(
            "variants::the_file_for_profiles_adds_pyroscope_to_the_backends",
            missing(&[TELEMETRY, &[PYROSCOPE]]),
            async || profiles().await,
        ),
    ]
}

async fn services() -> anyhow::Result<()> {
    let elsewhere = tempfile::tempdir()?;
    let wanted = [TELEMETRY, &[BROKER]].concat();
    let others = Stack::start(elsewhere.path(), &wanted).await?;

    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let mut variables = others.variables().clone();
    variables.insert("OTELIX_DATA".to_owned(), data);
    let files = [FILES, &["process-compose.services.yaml"]].concat();
    let mut stack = Supervisor::start_from(&files, variables, folder)?;
    stack.well(START).await?;
    let expected = [
        "auth",
        "frontend",
        "loadgen",
        "otel-collector",
        "preflight",
        "user",
        "vitals",
    ];
    ensure!(stack.names == expected, "{:?}", stack.names);

    let http = Client::builder().redirect(Policy::none()).build()?;
    let url = format!("http://{}/register", stack.address("FRONTEND_PORT")?);
    let form = [
        ("email", "ann@example.com"),
        ("password", "correct horse battery"),
    ];
    let answer = http.post(url).form(&form).send().await?;
    ensure!(answer.status() == StatusCode::SEE_OTHER, "{answer:?}");
    // The event has gone through the broker, and the telemetry through the collector.
    let activity = format!("http://{}/activity", stack.address("FRONTEND_PORT")?);
    eventually(Duration::from_secs(20), async || {
        let page = http.get(&activity).send().await?.text().await?;
        ensure!(page.contains("Registered"), "{page}");
        let series = others.prometheus.query("user_registrations_total").await?;
        ensure!(!series.is_empty(), "no metric");
        Ok(())
    })
    .await?;

    let (status, _) = stack.down().await?;
    ensure!(status.success(), "{status}\n{}", stack.log());
    let orphans = stack.orphans()?;
    ensure!(orphans.is_empty(), "still there: {orphans:?}");
    Ok(())
}

async fn with_lens() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let variables = variables(folder.path())?;
    let files = [FILES, &["process-compose.lens.yaml"]].concat();
    let mut stack = Supervisor::start_from(&files, variables, folder)?;
    stack.well(START).await?;
    let expected = [
        "auth",
        "broker",
        "frontend",
        "lens",
        "loadgen",
        "otel-collector",
        "preflight",
        "user",
        "vitals",
    ];
    ensure!(stack.names == expected, "{:?}", stack.names);

    // A page links to its trace in lens, and lens has it.
    let (client, lens) = (Client::new(), stack.address("LENS_PORT")?);
    let frontend = stack.address("FRONTEND_PORT")?;
    let page = client
        .get(format!("http://{frontend}/login"))
        .send()
        .await?;
    let page = page.text().await?;
    let start = format!("http://{lens}/traces/");
    let link = page
        .split_once(&start)
        .and_then(|(_, rest)| rest.split('"').next());
    let link = format!("{start}{}", link.context("the page has no link")?);
    eventually(Duration::from_secs(20), async || {
        let trace = client.get(&link).send().await?.error_for_status()?;
        let trace = trace.text().await?;
        ensure!(trace.contains("GET /login"), "{trace}");
        Ok(())
    })
    .await?;
    // The status page checks lens in place of the backends.
    let status = client
        .get(format!("http://{frontend}/status"))
        .send()
        .await?;
    let status = status.text().await?;
    ensure!(status.contains("All parts are ready"), "{status}");
    ensure!(
        status.contains("lens") && !status.contains("prometheus"),
        "{status}"
    );

    let (status, _) = stack.down().await?;
    ensure!(status.success(), "{status}\n{}", stack.log());
    let orphans = stack.orphans()?;
    ensure!(orphans.is_empty(), "still there: {orphans:?}");
    Ok(())
}

async fn profiles() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let variables = variables(folder.path())?;
    let files = [FILES[0], "process-compose.lgtm.yaml", PROFILES];
    let mut stack = Supervisor::start_from(&files, variables, folder)?;
    stack.well(START).await?;
    let runs = |name: &str| stack.names.iter().any(|it| it == name);
    ensure!(runs(PYROSCOPE) && !runs("frontend"), "{:?}", stack.names);

    // The collector has a pipeline for profiles.
    let collector = stack.address("OTEL_COLLECTOR_OTLP_HTTP_PORT")?;
    let answer = Client::new()
        .post(format!("http://{collector}/v1development/profiles"))
        .header("content-type", "application/json")
        .body("{}")
        .send()
        .await?;
    ensure!(answer.status().is_success(), "{answer:?}");

    let (status, _) = stack.down().await?;
    ensure!(status.success(), "{status}\n{}", stack.log());
    let orphans = stack.orphans()?;
    ensure!(orphans.is_empty(), "still there: {orphans:?}");
    Ok(())
}

async fn lgtm() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let variables = variables(folder.path())?;
    let files = [FILES[0], "process-compose.lgtm.yaml"];
    let mut stack = Supervisor::start_from(&files, variables, folder)?;
    stack.well(START).await?;
    for name in TELEMETRY {
        ensure!(stack.names.iter().any(|it| it == name), "{:?}", stack.names);
    }
    ensure!(
        !stack.names.iter().any(|it| it == "user"),
        "{:?}",
        stack.names
    );

    // Without vitals, an alert about its metrics would fire forever.
    let url = format!("http://{}/api/v1/rules", stack.address("PROMETHEUS_PORT")?);
    let rules = Client::new().get(url).send().await?.text().await?;
    ensure!(
        rules.contains("TargetDown") && !rules.contains("SupervisorSilent"),
        "{rules}"
    );

    // A second stack is refused in one sentence, and the first one is not disturbed.
    let second = Command::new(e2e::binary("preflight")?)
        .envs(&stack.variables)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    ensure!(!second.status.success(), "{said}");
    ensure!(
        said.contains("A stack is already running: process-compose (pid "),
        "{said}"
    );
    stack.well(Duration::from_secs(2)).await?;

    let (status, _) = stack.down().await?;
    ensure!(status.success(), "{status}\n{}", stack.log());
    let orphans = stack.orphans()?;
    ensure!(orphans.is_empty(), "still there: {orphans:?}");
    Ok(())
}
