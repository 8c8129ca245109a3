//! The alerts that fire, by the API of Alertmanager (`getAlerts` in its `api/v2/openapi.yaml`).

use std::{collections::BTreeMap, time::SystemTime};

use anyhow::Context as _;
use serde::Deserialize;
use url::Url;

/// Whom to ask.
#[derive(Debug)]
pub(super) struct Alertmanager {
    alerts: Url,
}

/// What is known of alerts.
#[derive(Debug)]
pub(crate) enum Alerts {
    /// Those that fire and that nobody has silenced: the gravest first, of those the oldest.
    Firing(Vec<Alert>),
    /// Alertmanager did not answer.
    Unknown,
}

/// An alert that fires.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) severity: Severity,
    /// What has happened, in a line; the name where the rule has none.
    pub(crate) summary: String,
    pub(crate) description: Option<String>,
    /// What to do about it: a URL, or a file of the project.
    pub(crate) runbook: Option<String>,
    /// Nothing where it is not known.
    pub(crate) since: Option<SystemTime>,
}

/// How grave an alert is, by its label `severity`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Severity {
    Critical,
    /// Also what has another severity, or none.
    Warning,
}

/// An alert as Alertmanager says it; more than is read here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GettableAlert {
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: String,
}

impl Alertmanager {
    pub(super) fn new(mut alerts: Url) -> Self {
        // A URL of http has segments; its query is ours.
        if let Ok(mut path) = alerts.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v2", "alerts"]);
        }
        alerts.set_query(Some("active=true&silenced=false&inhibited=false"));
        Self { alerts }
    }

    /// The alerts that fire now.
    pub(super) async fn firing(&self, http: &reqwest::Client) -> anyhow::Result<Vec<Alert>> {
        let answer = http.get(self.alerts.clone()).send().await?;
        let body = answer.error_for_status()?.bytes().await?;
        read(&body)
    }
}

fn read(body: &[u8]) -> anyhow::Result<Vec<Alert>> {
    let alerts: Vec<GettableAlert> =
        serde_json::from_slice(body).context("the answer is no list of alerts")?;
    let mut alerts: Vec<Alert> = alerts.into_iter().map(Alert::from).collect();
    alerts
        .sort_by(|a, b| (a.severity, a.since, &a.summary).cmp(&(b.severity, b.since, &b.summary)));
    Ok(alerts)
}

impl From<GettableAlert> for Alert {
    fn from(mut alert: GettableAlert) -> Self {
        let name = alert.labels.remove("alertname").unwrap_or_default();
        Self {
            severity: match alert.labels.get("severity").map(String::as_str) {
                Some("critical") => Severity::Critical,
                _ => Severity::Warning,
            },
            summary: alert
                .annotations
                .remove("summary")
                .unwrap_or_else(|| name.clone()),
            description: alert.annotations.remove("description"),
            runbook: alert.annotations.remove("runbook_url"),
            since: alert
                .starts_at
                .parse::<prost_types::Timestamp>()
                .ok()
                .and_then(|at| SystemTime::try_from(at).ok()),
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_api_is_below_whatever_path_alertmanager_has() {
        for (url, path) in [
            ("http://127.0.0.1:9093", "/api/v2/alerts"),
            ("http://127.0.0.1:9093/", "/api/v2/alerts"),
            ("http://example.org/am/", "/am/api/v2/alerts"),
        ] {
            let alertmanager = Alertmanager::new(url.parse().unwrap());
            assert_eq!(alertmanager.alerts.path(), path);
            assert!(alertmanager.alerts.query().unwrap().contains("silenced"));
        }
    }

    #[test]
    fn the_gravest_come_first_and_of_those_the_oldest() {
        let alert = |name: &str, severity: &str, at: &str| {
            format!(
                r#"{{"labels": {{"alertname": "{name}", "severity": "{severity}"}},
                    "annotations": {{}}, "startsAt": "{at}", "status": {{"state": "active"}}}}"#
            )
        };
        let body = format!(
            "[{}]",
            [
                alert("a", "warning", "2026-01-02T03:04:05.678Z"),
                alert("b", "critical", "2026-01-02T03:04:06.000+01:00"),
                alert("c", "critical", "2026-01-02T03:04:05.999Z"),
            ]
            .join(",")
        );
        let alerts = read(body.as_bytes()).unwrap();
        let names: Vec<_> = alerts.iter().map(|alert| alert.name.as_str()).collect();
        assert_eq!(names, ["b", "c", "a"]);
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_678);
        assert_eq!(alerts[2].since, Some(at));
    }

    #[test]
    fn an_alert_of_a_bare_rule_is_called_by_its_name() {
        let body = br#"[{"labels": {"alertname": "Odd"}, "startsAt": "yesterday"}]"#;
        let alert = read(body).unwrap().remove(0);
        assert_eq!(alert.summary, "Odd");
        assert_eq!(alert.severity, Severity::Warning);
        assert_eq!((alert.description, alert.runbook), (None, None));
        assert_eq!(alert.since, None);
    }

    #[test]
    fn what_is_no_list_of_alerts_is_an_error() {
        assert!(read(b"<html>").is_err());
        assert!(read(br#"{"status": "error"}"#).is_err());
    }
}
