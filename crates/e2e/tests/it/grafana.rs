//! Tests of Grafana with the project's provisioning, and of its dashboards in a browser.

use std::{collections::BTreeSet, env, fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use e2e::{
    Stack,
    browser::{self, Browser},
    system::eventually,
};
use fantoccini::{Client as Page, Locator};
use libtest_mimic::Trial;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    busy::{BACKENDS, Busy, GRAFANA},
    dashboards::{Dashboard, dashboards, every_query, is_absent},
    shared::Shared,
};

/// The data sources, each with a path that shows that it answers, for those without a health check in Grafana.
const STORES: &[(&str, &str)] = &[
    ("prometheus", "api/v1/labels"),
    ("alertmanager", "api/v2/status"),
    ("loki", "loki/api/v1/labels"),
    ("tempo", "api/echo"),
];

/// Height of a dashboard's row and the gap below it, in pixels.
const ROW: u32 = 38;

/// Deadline of each wait. A dashboard refreshes every ten seconds, and a busy machine draws slowly.
const WITHIN: Duration = Duration::from_secs(60);

/// Texts of a panel without data.
const EMPTY: &[&str] = &["No data", "No logs"];

/// Texts of a panel that is not drawn, or not yet.
const NOT_DRAWN: &[&str] = &[
    "An unexpected error",
    "Computing layout",
    "Panel plugin not found",
];

/// The variable with a folder for screenshots.
const SCREENSHOTS: &str = "OTELIX_SCREENSHOTS";

pub(crate) fn trials(busy: &Arc<Shared<Busy>>) -> Vec<Trial> {
    let programs = Stack::missing(&[BACKENDS, &[GRAFANA]].concat());
    let all = [programs.clone(), browser::missing()].concat();
    vec![
        busy.trial(
            "grafana::every_store_and_every_dashboard_is_provisioned",
            programs,
            async |busy| provisioned(busy).await,
        ),
        busy.trial(
            "grafana::links_lead_to_traces_and_logs_without_signing_in",
            all.clone(),
            async |busy| links(busy).await,
        ),
        busy.trial(
            "grafana::every_panel_shows_data_on_a_wide_screen",
            all.clone(),
            async |busy| panels(busy, 1440).await,
        ),
        busy.trial(
            "grafana::every_panel_shows_data_on_a_narrow_screen",
            all,
            async |busy| panels(busy, 800).await,
        ),
    ]
}

fn url(busy: &Busy, path: &str) -> String {
    format!("http://{}{path}", busy.stack.address("GRAFANA_PORT"))
}

async fn provisioned(busy: &Busy) -> anyhow::Result<()> {
    let http = Client::new();
    let data = busy.folder.path().join("data");
    let password = fs::read_to_string(data.join("secrets/grafana-admin-password"))?;
    let get = async |path: &str| {
        let request = http.get(url(busy, path));
        request
            .basic_auth("admin", Some(password.trim()))
            .send()
            .await
    };

    let known = get("/api/datasources").await?.error_for_status()?;
    let known: Vec<Value> = serde_json::from_slice(&known.bytes().await?)?;
    for (uid, path) in STORES {
        let is_known = known.iter().any(|store| store["uid"] == *uid);
        ensure!(is_known, "no {uid} in {known:?}");
        let health = get(&format!("/api/datasources/uid/{uid}/health")).await?;
        let (mut status, mut said) = (health.status(), health.text().await?);
        // Data sources that only the browser queries, such as Alertmanager, have no health check in Grafana.
        let has_none = [StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE].contains(&status)
            || said.contains("plugin.unavailable");
        if has_none {
            let answer = get(&format!("/api/datasources/proxy/uid/{uid}/{path}")).await?;
            (status, said) = (answer.status(), answer.text().await?);
        }
        ensure!(
            status.is_success() && !said.contains("ERROR"),
            "{uid}: {status}: {said}"
        );
    }

    let wanted: BTreeSet<(String, String)> = dashboards()?
        .into_iter()
        .map(|(_, dashboard)| (dashboard.uid, dashboard.title))
        .collect();
    eventually(WITHIN, async || {
        // Without signing in.
        let found = http
            .get(url(busy, "/api/search?type=dash-db"))
            .send()
            .await?;
        let found: Vec<Value> = serde_json::from_slice(&found.error_for_status()?.bytes().await?)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let found: BTreeSet<_> = found
            .iter()
            .map(|it| (text(&it["uid"]), text(&it["title"])))
            .collect();
        ensure!(found == wanted, "{found:?} is not {wanted:?}");
        Ok(())
    })
    .await?;

    let log = fs::read_to_string(busy.folder.path().join("grafana.log"))?;
    let errors: Vec<_> = log
        .lines()
        .filter(|line| line.contains("logger=provisioning") && line.contains("level=error"))
        // Versions before 11 log an error because this folder is missing.
        .filter(|line| !line.contains("provisioning/notifiers"))
        .collect();
    ensure!(errors.is_empty(), "{errors:#?}");
    Ok(())
}

/// Follows the links without signing in. If Grafana denies access, it redirects to its home page without an
/// error.
async fn links(busy: &Busy) -> anyhow::Result<()> {
    let browser = Browser::start(true).await?;
    let page = &browser.client;
    let leads_to = async |from: &str, to: &str| {
        page.goto(&url(busy, from)).await?;
        eventually(WITHIN, async || {
            let path = page.current_url().await?.path().to_owned();
            let text = page.find(Locator::Css("main")).await?.text().await?;
            ensure!(
                path.starts_with(to) && !text.is_empty(),
                "{from} leads to {path}"
            );
            Ok(())
        })
        .await
    };
    leads_to("/", "/d/overview").await?;

    let overview = dashboards()?
        .into_iter()
        .find(|(name, _)| name == "overview");
    let (_, overview) = overview.context("no overview")?;
    let explored: BTreeSet<String> = overview
        .panels()
        .flat_map(|panel| &panel.links)
        .filter(|link| link.url.starts_with("/explore?"))
        .map(|link| link.url.replace("${__from}", "now-5m"))
        .map(|link| link.replace("${__to}", "now"))
        .collect();
    ensure!(!explored.is_empty(), "no panel leads to traces or logs");
    for link in explored {
        leads_to(&link, "/explore").await?;
    }
    Ok(())
}

async fn panels(busy: &Busy, width: u32) -> anyhow::Result<()> {
    every_query(busy).await?;
    let browser = Browser::start(true).await?;
    let page = &browser.client;
    let mut wrong = Vec::new();
    for (name, dashboard) in dashboards()? {
        resize(page, width, dashboard.height() * ROW + 100).await?;
        let path = format!("/d/{name}?kiosk&from=now-5m&to=now&refresh=10s");
        page.goto(&url(busy, &path)).await?;
        let file = format!("{name}-{width}.png");
        let outcome = eventually(WITHIN, async || {
            show_all(page, width).await?;
            looks_right(page, &dashboard).await?;
            screenshot(page, &file).await?;
            // The screenshot shows the checked state, unless the dashboard has refreshed meanwhile.
            looks_right(page, &dashboard).await
        });
        if let Err(error) = outcome.await {
            screenshot(page, &file).await?;
            wrong.push(format!("{name}: {error:#}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Sets the size of the page, which is smaller than the window.
async fn resize(page: &Page, width: u32, height: u32) -> anyhow::Result<()> {
    page.set_window_size(width, height).await?;
    let inner = page
        .execute("return [window.innerWidth, window.innerHeight]", vec![])
        .await?;
    let [inner_width, inner_height]: [u32; 2] = serde_json::from_value(inner)?;
    page.set_window_size(2 * width - inner_width, 2 * height - inner_height)
        .await?;
    Ok(())
}

/// Makes the page as high as its content. Grafana draws a panel when it comes into view, and places panels below each
/// other on a narrow screen.
async fn show_all(page: &Page, width: u32) -> anyhow::Result<()> {
    const HEIGHT: &str = "
        const scrolling = [document.scrollingElement, ...document.querySelectorAll('.scrollbar-view')];
        const hidden = scrolling.map((element) => element.scrollHeight - element.clientHeight);
        return [window.innerHeight, Math.max(...hidden)];
    ";
    let height = page.execute(HEIGHT, vec![]).await?;
    let [height, hidden]: [u32; 2] = serde_json::from_value(height)?;
    if hidden > 0 {
        resize(page, width, height + hidden).await?;
    }
    Ok(())
}

/// The visible state of a panel.
#[derive(Debug, Deserialize)]
struct Seen {
    is_there: bool,
    has_failed: bool,
    is_drawn: bool,
    lines: Vec<String>,
}

/// A script that returns the visible state of panels. Its selectors are for Grafana 13 and Grafana 9.
const LOOK: &str = r#"
const [titles] = arguments;
const all = [...document.querySelectorAll('[data-testid], [aria-label]')];
return titles.map((title) => {
  const names = [`data-testid Panel header ${title}`, `${title} panel`];
  const head = all.find((element) =>
    names.includes(element.dataset.testid) || names.includes(element.getAttribute('aria-label')));
  const panel = head?.closest('.react-grid-item') ?? head;
  const lines = (panel?.innerText ?? '').split('\n').map((line) => line.trim()).filter((line) => line && line != title);
  const failure = '[data-testid="data-testid Panel status error"], [aria-label="Panel status"], .panel-info-corner--error';
  return {
    is_there: Boolean(panel),
    has_failed: Boolean(panel?.querySelector(failure)),
    is_drawn: lines.length > 0 || Boolean(panel?.querySelector('canvas')),
    lines,
  };
});
"#;

async fn looks_right(page: &Page, dashboard: &Dashboard) -> anyhow::Result<()> {
    let panels: Vec<_> = dashboard.panels().collect();
    let titles: Vec<_> = panels.iter().map(|panel| &panel.title).collect();
    let seen = page.execute(LOOK, vec![json!(titles)]).await?;
    let seen: Vec<Seen> = serde_json::from_value(seen)?;
    let mut wrong = Vec::new();
    for (panel, seen) in panels.iter().zip(seen) {
        let says = |starts: &[&str]| {
            let mut lines = seen.lines.iter();
            lines.any(|line| starts.iter().any(|start| line.starts_with(start)))
        };
        let is_right = seen.is_there
            && seen.is_drawn
            && !seen.has_failed
            && !says(NOT_DRAWN)
            && (is_absent(panel) || !says(EMPTY));
        if !is_right {
            wrong.push(format!("{}: {seen:?}", panel.title));
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

async fn screenshot(page: &Page, name: &str) -> anyhow::Result<()> {
    let Some(folder) = env::var_os(SCREENSHOTS).map(PathBuf::from) else {
        return Ok(());
    };
    fs::create_dir_all(&folder)?;
    let file = folder.join(name);
    fs::write(&file, page.screenshot().await?).with_context(|| file.display().to_string())
}
