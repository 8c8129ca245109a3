//! Compares the exported metrics with `docs/telemetry.md`.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use e2e::{Collector, System, collector::Received, system::eventually};
use events::Broker;
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::{
    common::v1::KeyValue,
    metrics::v1::{Metric, metric::Data},
};
use reqwest::{Client, StatusCode, redirect::Policy};

use crate::{documentation, trial};

const EMAIL: &str = "ann@example.com";
const PASSWORD: &str = "correct horse battery";

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "metrics::each_service_exports_what_is_documented_and_nothing_else",
        async || {
            let received = a_day().await?;
            let documented = documented()?;
            for service in ["frontend", "auth", "user"] {
                compare(service, &documented, &received)
                    .with_context(|| format!("what {service} exports is not what is documented"))?;
            }
            Ok(())
        },
    )]
}

/// A metric as its row in the documentation describes it.
#[derive(Debug)]
struct Documented {
    name: &'static str,
    kind: &'static str,
    unit: &'static str,
    /// The services that export it, or `all`.
    from: Vec<&'static str>,
    attributes: Vec<&'static str>,
    bounds: bool,
}

/// Makes requests of every kind, successful and failed, and stops a service. Returns all exports.
async fn a_day() -> anyhow::Result<Received> {
    let collector = Collector::start().await?;
    let broker = Broker::start(6)?;
    let system = System::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ("FAILED_LOGINS_PER_ACCOUNT", "1"),
        ("KAFKA_BROKERS", &broker.address().to_string()),
    ])
    .await?;
    let url = |path: &str| format!("http://{}{path}", system.frontend_address);
    let browser = || Client::builder().redirect(Policy::none());
    let ann = browser().cookie_store(true).build()?;
    let post = async |path: &str, password: &str| -> anyhow::Result<StatusCode> {
        let form = [("email", EMAIL), ("password", password)];
        Ok(ann.post(url(path)).form(&form).send().await?.status())
    };
    let account = async |client: &Client| -> anyhow::Result<StatusCode> {
        let request = client.get(url("/account")).header("cookie", "session=x");
        Ok(request.send().await?.status())
    };

    ensure!(post("/register", PASSWORD).await? == StatusCode::SEE_OTHER);
    ensure!(post("/register", PASSWORD).await? == StatusCode::CONFLICT);
    ensure!(post("/login", PASSWORD).await? == StatusCode::SEE_OTHER);
    ensure!(post("/login", "wrong").await? == StatusCode::UNAUTHORIZED);
    ensure!(post("/login", "wrong").await? == StatusCode::TOO_MANY_REQUESTS);
    let page = ann.get(url("/account")).send().await?;
    ensure!(page.status() == StatusCode::OK, "{}", page.status());
    ensure!(account(&browser().build()?).await? == StatusCode::SEE_OTHER);

    // Counts of exports are themselves part of the next export.
    eventually(Duration::from_secs(10), async || {
        let name = "otel.sdk.exporter.metric_data_point.exported";
        collector
            .received()
            .metrics
            .iter()
            .find(|(service, metric)| service == "user" && metric.name == name)
            .map(drop)
            .context("user has not exported twice")
    })
    .await?;
    system.user.stop().await?;
    // Calls of a service that is down are retried by its caller alone.
    let page = ann.get(url("/account")).send().await?;
    ensure!(page.status() == StatusCode::SERVICE_UNAVAILABLE);
    ensure!(post("/logout", "").await? == StatusCode::SEE_OTHER);
    system.auth.stop().await?;
    ensure!(account(&browser().build()?).await? == StatusCode::SERVICE_UNAVAILABLE);
    system.frontend.stop().await?;
    Ok(collector.received())
}

fn compare(service: &str, documented: &[Documented], received: &Received) -> anyhow::Result<()> {
    let exported: Vec<&Metric> = received
        .metrics
        .iter()
        .filter(|(name, _)| name == service)
        .map(|(_, metric)| metric)
        .collect();
    let documented: Vec<&Documented> = documented
        .iter()
        .filter(|metric| metric.from.contains(&"all") || metric.from.contains(&service))
        .collect();
    let found: BTreeSet<&str> = exported.iter().map(|metric| metric.name.as_str()).collect();
    let wanted: BTreeSet<&str> = documented.iter().map(|metric| metric.name).collect();
    let (missing, unknown) = (&wanted - &found, &found - &wanted);
    ensure!(
        missing.is_empty() && unknown.is_empty(),
        "not exported: {missing:?}; not documented: {unknown:?}"
    );
    for metric in exported {
        let row = documented
            .iter()
            .find(|row| row.name == metric.name)
            .context("looked for above")?;
        ensure!(metric.unit == row.unit, "{row:?}: {metric:?}");
        let (kind, bounds, attributes) = described(metric)?;
        ensure!(
            kind == row.kind && bounds == row.bounds,
            "{row:?}: {metric:?}"
        );
        for attribute in attributes {
            ensure!(
                row.attributes.contains(&attribute.key.as_str()),
                "{row:?}: {attribute:?}"
            );
        }
    }
    Ok(())
}

/// The type of a metric, whether it has buckets with bounds, and all attributes of its points.
fn described(metric: &Metric) -> anyhow::Result<(&'static str, bool, Vec<&KeyValue>)> {
    let data = metric.data.as_ref().context("a metric without data")?;
    Ok(match data {
        Data::Gauge(gauge) => {
            let points = gauge.data_points.iter();
            (
                "gauge",
                false,
                points.flat_map(|point| &point.attributes).collect(),
            )
        }
        Data::Sum(sum) => {
            let kind = if sum.is_monotonic {
                "counter"
            } else {
                "up-down counter"
            };
            let points = sum.data_points.iter();
            (
                kind,
                false,
                points.flat_map(|point| &point.attributes).collect(),
            )
        }
        Data::Histogram(histogram) => {
            let points = histogram.data_points.iter();
            let attributes = points.flat_map(|point| &point.attributes).collect();
            ("histogram", true, attributes)
        }
        Data::ExponentialHistogram(histogram) => {
            let points = histogram.data_points.iter();
            let attributes = points.flat_map(|point| &point.attributes).collect();
            ("histogram", false, attributes)
        }
        Data::Summary(_) => anyhow::bail!("a summary: {metric:?}"),
    })
}

/// The documented metrics, without those that this system cannot have.
fn documented() -> anyhow::Result<Vec<Documented>> {
    let rows = documentation::metrics()?.into_iter();
    let here =
        rows.filter(|row| cfg!(target_os = "linux") || !row.meaning.contains("Only on Linux"));
    Ok(here
        .map(|row| Documented {
            name: row.name,
            kind: row.kind,
            unit: row.unit,
            from: row.from.split(", ").collect(),
            attributes: row
                .attributes
                .split(", ")
                .map(|name| name.trim_matches('`'))
                .collect(),
            bounds: row.meaning.contains("with bounds"),
        })
        .collect())
}
