//! Tests of the dashboards: their texts and links, and that every query of dashboards and rules returns data after a
//! minute of use.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use e2e::{
    Stack,
    compose::{Compose, ROOT},
    system::eventually,
};
use libtest_mimic::{Completion, Trial};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    busy::{BACKENDS, Busy},
    documentation, files,
    queries::{ABSENT, Asked, Store, is_any, metrics},
    rules::{self, Known, rules},
    shared::Shared,
    trial,
};

/// The folders of the dashboards: for the services of the project, and for any service.
const FOLDERS: &[&str] = &["dashboards", "dashboards/generic"];

/// Deadline for data. Rates are over one minute, and rules are evaluated every 15 s.
const WITHIN: Duration = Duration::from_secs(150);

pub(crate) fn trials(busy: &Arc<Shared<Busy>>) -> Vec<Trial> {
    vec![
        trial("dashboards::each_panel_says_what_it_shows", async || {
            each_panel_says()
        }),
        trial("dashboards::links_lead_to_dashboards", async || links()),
        trial(
            "dashboards::the_home_page_is_among_the_dashboards_of_each_variant",
            async || home_pages(),
        ),
        trial(
            "dashboards::every_metric_is_declared_or_a_backends_own",
            async || declared(),
        ),
        trial(
            "dashboards::every_documented_metric_is_on_its_panel",
            async || documented_panels(),
        ),
        busy.trial(
            "dashboards::every_query_gives_data",
            Stack::missing(BACKENDS),
            async |busy| every_query(busy).await,
        ),
        Trial::ignorable_test("dashboards::queries_of_what_does_not_run_here", || {
            let panels = not_run()?.join("; ");
            Ok(Completion::ignored_with(format!(
                "not in these tests: {panels}"
            )))
        }),
    ]
}

#[derive(Deserialize)]
pub(crate) struct Dashboard {
    pub(crate) uid: String,
    pub(crate) title: String,
    description: String,
    templating: Templating,
    panels: Vec<Panel>,
}

#[derive(Deserialize)]
struct Templating {
    list: Vec<Variable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    name: String,
    all_value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Panel {
    id: u32,
    r#type: String,
    pub(crate) title: String,
    grid_pos: Place,
    #[serde(default)]
    description: String,
    #[serde(default)]
    datasource: Option<Datasource>,
    #[serde(default)]
    field_config: Value,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    pub(crate) links: Vec<Link>,
    /// The panels of a collapsed row.
    #[serde(default)]
    panels: Vec<Self>,
}

#[derive(Deserialize)]
struct Place {
    x: u32,
    y: u32,
    w: u32,
    h: u32,
}

#[derive(Deserialize)]
struct Datasource {
    uid: String,
}

#[derive(Deserialize)]
struct Target {
    /// Only in a panel with several data sources.
    datasource: Option<Datasource>,
    /// PromQL or LogQL.
    #[serde(default)]
    expr: String,
    /// TraceQL.
    #[serde(default)]
    query: String,
}

#[derive(Deserialize)]
pub(crate) struct Link {
    title: String,
    pub(crate) url: String,
}

impl Panel {
    /// The store of a query.
    fn store<'a>(&'a self, target: &'a Target) -> anyhow::Result<&'a str> {
        let datasource = target.datasource.as_ref().or(self.datasource.as_ref());
        let uid = datasource.context("no datasource")?.uid.as_str();
        ensure!(["prometheus", "loki", "tempo"].contains(&uid), "{uid}");
        Ok(uid)
    }
}

impl Dashboard {
    /// All panels except headings of rows and the panels of collapsed rows.
    pub(crate) fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter().filter(|panel| panel.r#type != "row")
    }

    /// All panels except headings of rows.
    fn all_panels(&self) -> impl Iterator<Item = &Panel> {
        let hidden = self.panels.iter().flat_map(|row| &row.panels);
        self.panels().chain(hidden)
    }

    /// The height in rows of the grid.
    pub(crate) fn height(&self) -> u32 {
        let ends = self
            .panels
            .iter()
            .map(|panel| panel.grid_pos.y + panel.grid_pos.h);
        ends.max().unwrap_or_default()
    }

    /// A query as Grafana sends it, with the value *All* for every variable.
    fn filled(&self, query: &str) -> String {
        let mut filled = query
            .replace("$__rate_interval", "1m")
            .replace("$__range", "15m")
            .replace("$__interval", "15s");
        for variable in &self.templating.list {
            let all = variable.all_value.as_deref().unwrap_or(".+");
            filled = filled.replace(&format!("${}", variable.name), all);
            filled = filled.replace(&format!("${{{}:pipe}}", variable.name), all);
        }
        filled
    }
}

/// All dashboards, with the names of their files.
pub(crate) fn dashboards() -> anyhow::Result<Vec<(String, Dashboard)>> {
    let mut dashboards = Vec::new();
    let paths = FOLDERS.iter().map(|folder| files(folder, "json"));
    for path in paths.collect::<Result<Vec<_>, _>>()?.concat() {
        let text = fs::read_to_string(&path)?;
        let dashboard = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let name = path.file_stem().context("no name")?;
        dashboards.push((name.to_string_lossy().into_owned(), dashboard));
    }
    ensure!(dashboards.len() >= 9, "{} dashboards", dashboards.len());
    Ok(dashboards)
}

fn each_panel_says() -> anyhow::Result<()> {
    for (file, dashboard) in dashboards()? {
        ensure!(
            dashboard.uid == file,
            "{file} has the uid {}",
            dashboard.uid
        );
        ensure!(
            !dashboard.title.is_empty() && !dashboard.description.is_empty(),
            "{file}"
        );
        for variable in &dashboard.templating.list {
            // A service may have no environment.
            ensure!(
                variable.name != "environment" || variable.all_value.as_deref() == Some(".*"),
                "{file}: services without an environment are not shown"
            );
        }
        let mut ids = BTreeSet::new();
        for panel in dashboard.all_panels() {
            let name = format!("{file}: {}", panel.title);
            ensure!(
                ids.insert(panel.id),
                "{name}: another panel has the same id"
            );
        }
        let mut cells = BTreeSet::new();
        for panel in &dashboard.panels {
            let name = format!("{file}: {}", panel.title);
            let is_row = panel.r#type == "row";
            ensure!(
                !is_row || ids.insert(panel.id),
                "{name}: a panel has the id of the row"
            );
            ensure!(
                !panel.title.is_empty(),
                "{file}: panel {} has no title",
                panel.id
            );
            let Place { x, y, w, h } = panel.grid_pos;
            ensure!(w > 0 && h > 0 && x + w <= 24, "{name}: no place");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                ensure!(cells.insert(cell), "{name}: it overlaps another panel");
            }
        }
        for panel in dashboard.all_panels() {
            let name = format!("{file}: {}", panel.title);
            ensure!(panel.description.ends_with('.'), "{name}: no description");
            ensure!(
                panel.field_config["defaults"]["unit"].is_string(),
                "{name}: no unit"
            );
            ensure!(!panel.targets.is_empty(), "{name}: no query");
            for target in &panel.targets {
                panel.store(target).with_context(|| name.clone())?;
                // The job of a service with a namespace is `namespace/name`.
                let is_of_service = target.expr.contains("job=")
                    && !target.expr.contains(r#"job="otel-collector""#);
                ensure!(!is_of_service, "{name}: it selects by job");
            }
        }
    }
    Ok(())
}

/// Reads the home page and the folder of the dashboards from the compose files.
fn home_pages() -> anyhow::Result<()> {
    for (file, folder) in [
        ("process-compose.yaml", "dashboards"),
        ("process-compose.lgtm.yaml", "dashboards/generic"),
    ] {
        let text = fs::read_to_string(Path::new(ROOT).join(file))?;
        ensure!(
            text.contains(&format!("OTELIX_DASHBOARDS:-{folder}}}")),
            "{file}: Grafana does not read {folder}"
        );
        let compose: Compose = serde_saphyr::from_str(&text).context(file)?;
        let grafana = compose.processes.get("grafana").context("no grafana")?;
        let mut variables = grafana.environment.iter();
        let home = variables.find_map(|variable| {
            let page = variable.strip_prefix("GF_USERS_HOME_PAGE=${GF_USERS_HOME_PAGE:-/d/")?;
            page.strip_suffix('}')
        });
        let home = home.with_context(|| format!("{file}: no home page"))?;
        let path = Path::new(ROOT).join(folder).join(format!("{home}.json"));
        ensure!(path.is_file(), "{file}: no {}", path.display());
    }
    Ok(())
}

fn links() -> anyhow::Result<()> {
    let dashboards = dashboards()?;
    let known: BTreeSet<&str> = dashboards.iter().map(|(file, _)| file.as_str()).collect();
    for (file, dashboard) in &dashboards {
        for panel in dashboard.all_panels() {
            for link in &panel.links {
                let name = format!("{file}: {}: {}", panel.title, link.title);
                ensure!(!link.title.is_empty(), "{name}");
                if let Some(target) = link.url.strip_prefix("/d/") {
                    let uid = target.split('?').next().unwrap_or_default();
                    ensure!(known.contains(uid), "{name}: no dashboard {uid}");
                } else {
                    let is_known = ["/explore?", "/alerting/"]
                        .iter()
                        .any(|page| link.url.starts_with(page));
                    ensure!(is_known, "{name}: {}", link.url);
                }
            }
        }
    }
    Ok(())
}

fn declared() -> anyhow::Result<()> {
    let known = Known::read()?;
    for (file, dashboard) in dashboards()? {
        for panel in dashboard.all_panels() {
            for target in &panel.targets {
                if panel.store(target)? != "prometheus" {
                    continue;
                }
                known.check(&format!("{file}: {}", panel.title), &target.expr)?;
            }
        }
    }
    Ok(())
}

fn documented_panels() -> anyhow::Result<()> {
    let dashboards: BTreeMap<String, Dashboard> = dashboards()?.into_iter().collect();
    let rules = rules()?;
    let documented = documented()?;
    ensure!(documented.len() > 50, "{} rows", documented.len());
    for Documented { metric, panels } in documented {
        for (file, title) in panels {
            let dashboard = dashboards.get(&file);
            let dashboard = dashboard.with_context(|| format!("{metric}: no dashboard {file}"))?;
            let name = format!("{metric}: {file}: {title}");
            let panel = dashboard.panels().find(|panel| panel.title == title);
            let panel = panel.with_context(|| format!("{name}: no such panel"))?;
            let shown: BTreeSet<String> = panel
                .targets
                .iter()
                .flat_map(|target| metrics(&target.expr))
                .collect();
            // A recording rule that reads the metric counts too, and so do the rules behind it.
            let mut all = shown.clone();
            loop {
                let rules = rules.iter().filter(|rule| all.contains(rule.name()));
                let behind: BTreeSet<String> = rules.flat_map(|rule| metrics(&rule.expr)).collect();
                if behind.is_subset(&all) {
                    break;
                }
                all.extend(behind);
            }
            let is_shown = all
                .iter()
                .any(|shown| shown == metric || shown.strip_prefix(metric).is_some_and(is_suffix));
            ensure!(is_shown, "{name}: it shows {shown:?}");
        }
    }
    Ok(())
}

fn is_suffix(text: &str) -> bool {
    ["_bucket", "_count", "_sum"].contains(&text)
}

/// A row of the documentation's tables.
struct Documented {
    /// The name in Prometheus.
    metric: &'static str,
    /// Files of dashboards, and titles of panels.
    panels: Vec<(String, String)>,
}

fn documented() -> anyhow::Result<Vec<Documented>> {
    let mut documented = Vec::new();
    for row in documentation::metrics()? {
        let mut panels = Vec::new();
        for part in row.panels.split("; ") {
            let (files, titles) = part
                .split_once(": ")
                .with_context(|| format!("{}: no panel", row.prometheus))?;
            for file in files.split(", ") {
                let file = match file {
                    "user" | "auth" => format!("{file}-service-dashboard"),
                    "frontend" => "frontend-dashboard".to_owned(),
                    other => other.to_owned(),
                };
                let titles = titles.split(", ");
                panels.extend(titles.map(|title| (file.clone(), title.to_owned())));
            }
        }
        documented.push(Documented {
            metric: row.prometheus,
            panels,
        });
    }
    Ok(documented)
}

/// Every query of the dashboards and the rules that can have data here.
fn asked() -> anyhow::Result<Vec<Asked>> {
    let mut asked = Vec::new();
    let mut ask = |who: String, store: Store, query: String| {
        asked.push(Asked { who, store, query });
    };
    for (file, dashboard) in dashboards()? {
        for panel in dashboard.all_panels().filter(|panel| !is_absent(panel)) {
            let who = format!("{file}: {}", panel.title);
            for target in &panel.targets {
                match panel.store(target)? {
                    "tempo" if target.query.is_empty() => {
                        // Tempo's service graph reads these series.
                        let series = "traces_service_graph_request_total".to_owned();
                        ask(who.clone(), Store::Prometheus, series);
                    }
                    "tempo" => ask(who.clone(), Store::Tempo, dashboard.filled(&target.query)),
                    "loki" => ask(who.clone(), Store::Loki, dashboard.filled(&target.expr)),
                    _ => ask(
                        who.clone(),
                        Store::Prometheus,
                        dashboard.filled(&target.expr),
                    ),
                }
            }
        }
    }
    asked.extend(rules::asked()?);
    Ok(asked)
}

/// Whether all metrics of a panel come from sources that these tests lack.
pub(crate) fn is_absent(panel: &Panel) -> bool {
    let mut shown = panel
        .targets
        .iter()
        .flat_map(|target| metrics(&target.expr))
        .peekable();
    shown.peek().is_some() && shown.all(|metric| is_any(&metric, ABSENT))
}

fn not_run() -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for (file, dashboard) in dashboards()? {
        let absent = dashboard.all_panels().filter(|panel| is_absent(panel));
        names.extend(absent.map(|panel| format!("{file}: {}", panel.title)));
    }
    Ok(names)
}

/// Waits until each query has data.
pub(crate) async fn every_query(busy: &Busy) -> anyhow::Result<()> {
    let mut empty = asked()?;
    ensure!(empty.len() > 200, "{} queries", empty.len());
    eventually(WITHIN, async || {
        let mut still = Vec::new();
        for asked in &empty {
            let has_data = asked.has_data(&busy.stack).await;
            if !has_data.with_context(|| format!("{}: {}", asked.who, asked.query))? {
                still.push(asked.clone());
            }
        }
        empty = still;
        // Queries without data may get some with the next export or evaluation.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let names = empty.iter();
        let names: Vec<_> = names
            .map(|asked| format!("{}: {}", asked.who, asked.query))
            .collect();
        ensure!(names.is_empty(), "without data:\n{}", names.join("\n"));
        Ok(())
    })
    .await
}
