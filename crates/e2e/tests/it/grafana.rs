//! Grafana, provisioned and started as the project does it, and its dashboards as a person sees them.

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

/// What tells of each store that it answers Grafana, where Grafana has no check of its own.
const STORES: &[(&str, &str)] = &[
    ("prometheus", "api/v1/labels"),
    ("alertmanager", "api/v2/status"),
    ("loki", "loki/api/v1/labels"),
    ("tempo", "api/echo"),
];

/// A row of a dashboard, and the gap below it, in pixels.
const ROW: u32 = 38;

/// A dashboard asks again every ten seconds, and a machine that has other things to do draws slowly.
const WITHIN: Duration = Duration::from_secs(60);

/// How a panel says that it has nothing to show.
const EMPTY: &[&str] = &["No data", "No logs"];

/// How it says that it does not show it, or not yet.
const NOT_DRAWN: &[&str] = &[
    "An unexpected error",
    "Computing layout",
    "Panel plugin not found",
];

/// A folder for screenshots, for a person to look at.
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
            "grafana::links_lead_somebody_who_has_not_signed_in_to_traces_and_logs",
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
        // What is asked by the browser alone, such as Alertmanager, has no part in Grafana that could be.
        let without_check = [StatusCode::NOT_FOUND, StatusCode::SERVICE_UNAVAILABLE];
        let health = if without_check.contains(&health.status()) {
            get(&format!("/api/datasources/proxy/uid/{uid}/{path}")).await?
        } else {
            health
        };
        let status = health.status();
        let said = health.text().await?;
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
        // As somebody who has not signed in.
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
        // A folder that Grafana has not asked for since version 11.
        .filter(|line| !line.contains("provisioning/notifiers"))
        .collect();
    ensure!(errors.is_empty(), "{errors:#?}");
    Ok(())
}

/// A Grafana that does not let somebody in leads them to its first page, without a word.
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
            looks_right(page, &dashboard).await?;
            screenshot(page, &file).await?;
            // What it shows is what was looked at, unless it has asked again meanwhile.
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

/// Gives the page this size, whatever of the window is not the page.
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

/// What a person sees of a panel.
#[derive(Debug, Deserialize)]
struct Seen {
    is_there: bool,
    has_failed: bool,
    is_drawn: bool,
    lines: Vec<String>,
}

/// How each of these panels looks. The names of things are those of Grafana 13, or else of Grafana 9.
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
