//! Test of an alert from a rule of Prometheus through Alertmanager to the status page.

use std::time::Duration;

use anyhow::ensure;
use e2e::{Stack, system::eventually};
use libtest_mimic::Trial;
use reqwest::Client;

use crate::trial_with;

const NEEDED: &[&str] = &["prometheus", "alertmanager", "loki"];

/// Time limit for the alert: one minute of the rule, the evaluation, the delivery, and the page.
const FIRES: Duration = Duration::from_secs(120);

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial_with(
        "alerts::the_status_page_shows_an_alert_until_its_cause_is_gone",
        Stack::missing(NEEDED),
        async || fires().await,
    )]
}

async fn fires() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let wanted = [NEEDED, &["user", "auth", "frontend"]].concat();
    let mut stack = Stack::start(folder.path(), &wanted).await?;
    let page = format!("http://{}/status", stack.address("FRONTEND_PORT"));
    let http = Client::new();
    let status = async || anyhow::Ok(http.get(&page).send().await?.text().await?);

    let before = status().await?;
    ensure!(before.contains("No alerts are firing."), "{before}");

    let runbook = format!(
        "http://{}/user/runbooks/target-down.html",
        stack.address("PROMETHEUS_PORT")
    );
    let page = http.get(&runbook).send().await?.error_for_status()?;
    let kind = page.headers()["content-type"].to_str()?.to_owned();
    ensure!(kind.starts_with("text/html"), "{kind}");
    ensure!(page.text().await?.contains("TargetDown"));

    stack.kill("loki").await?;
    eventually(FIRES, async || {
        let text = status().await?;
        ensure!(text.contains("loki does not answer"), "{text}");
        ensure!(text.contains(&format!("href=\"{runbook}\"")), "{text}");
        Ok(())
    })
    .await?;

    stack.start_again("loki").await?;
    eventually(Duration::from_secs(45), async || {
        let text = status().await?;
        ensure!(!text.contains("loki does not answer"), "{text}");
        Ok(())
    })
    .await?;

    stack.kill("alertmanager").await?;
    eventually(Duration::from_secs(5), async || {
        let text = status().await?;
        ensure!(text.contains("Alertmanager does not answer"), "{text}");
        Ok(())
    })
    .await
}
