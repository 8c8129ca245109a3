//! Test of the stack in `process-compose.yaml` without its supervisor, with all processes that this machine can run.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{
    Stack,
    stack::{BROKER, SERVICES, TELEMETRY},
    system::eventually,
};
use libtest_mimic::Trial;
use reqwest::{Client, StatusCode, redirect::Policy};

use crate::trial_with;

/// The processes for which `.ci/backends/build` or PATH must have the programs.
const NEEDED: &[&str] = &["otel-collector", "admission", "prometheus", "loki", BROKER];

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial_with(
        "whole::a_sign_up_is_seen_by_every_backend_that_runs",
        Stack::missing(NEEDED),
        async || sign_up().await,
    )]
}

async fn sign_up() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let wanted = [TELEMETRY, &[BROKER], SERVICES].concat();
    let stack = Stack::start(folder.path(), &wanted).await?;

    let http = Client::builder()
        .redirect(Policy::none())
        .cookie_store(true)
        .build()?;
    let page = |path: &str| format!("http://{}{path}", stack.address("FRONTEND_PORT"));
    let form = [
        ("email", "ann@example.com"),
        ("password", "correct horse battery"),
    ];
    let answer = http.post(page("/register")).form(&form).send().await?;
    ensure!(answer.status() == StatusCode::SEE_OTHER, "{answer:?}");

    // The activity page names the trace of the request that caused the event.
    let within = Duration::from_secs(20);
    let trace = eventually(within, async || {
        let text = http.get(page("/activity")).send().await?.text().await?;
        let (_, row) = text.split_once("Registered").context("no event yet")?;
        let ids = row.split(|character: char| !character.is_ascii_hexdigit());
        let id = ids.into_iter().find(|word| word.len() == 32);
        Ok(id.context("no trace")?.to_owned())
    })
    .await?;

    eventually(within, async || {
        let query = format!("{{service_name=~\".+\"}} | trace_id=`{trace}`");
        let lines = stack.loki.query(&query).await?;
        ensure!(!lines.is_empty(), "no line of {trace}");
        let series = stack.prometheus.query("user_registrations_total").await?;
        ensure!(!series.is_empty(), "no metric");
        if Stack::missing(&["tempo"]).is_empty() {
            let spans = stack.tempo.spans(&trace).await?;
            for service in ["user", "auth", "frontend"] {
                let is_there = spans.iter().any(|(name, _)| name == service);
                ensure!(is_there, "{service} has no span in {trace}");
            }
        }
        Ok(())
    })
    .await
}
