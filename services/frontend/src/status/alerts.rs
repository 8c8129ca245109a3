//! The firing alerts, from the API of Alertmanager (`getAlerts` in its `api/v2/openapi.yaml`).

use std::{collections::BTreeMap, time::SystemTime};

use anyhow::Context as _;
use serde::Deserialize;
use url::Url;

/// A client of Alertmanager.
#[derive(Debug)]
pub(super) struct Alertmanager {
    alerts: Url,
}

/// The answer of Alertmanager.
#[derive(Debug)]
pub(crate) enum Alerts {
    /// The alerts that are firing and not silenced, by severity and then by age.
    Firing(Vec<Alert>),
    /// Alertmanager did not answer.
    Unknown,
}

/// A firing alert.
#[derive(Debug)]
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) severity: Severity,
    /// The summary in one line, or the name of the alert if the rule has no summary.
    pub(crate) summary: String,
    pub(crate) description: Option<String>,
    /// The runbook: a URL, or a file of the project.
    pub(crate) runbook: Option<String>,
    /// When the alert began to fire, if Alertmanager sent a valid time.
    pub(crate) since: Option<SystemTime>,
}

/// The severity of an alert, from its label `severity`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Severity {
    Critical,
    /// Also for other values, or without the label.
    Warning,
}

/// An alert in Alertmanager's format. Only the fields that are used here.
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
        // An http URL always has path segments, so this cannot fail.
        if let Ok(mut path) = alerts.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v2", "alerts"]);
        }
        alerts.set_query(Some("active=true&silenced=false&inhibited=false"));
        Self { alerts }
    }

    /// Requests the firing alerts.
    pub(super) async fn firing(&self, http: &reqwest::Client) -> anyhow::Result<Vec<Alert>> {
        let answer = http.get(self.alerts.clone()).send().await?;
        let body = answer.error_for_status()?.bytes().await?;
        read(&body)
    }
}

fn read(body: &[u8]) -> anyhow::Result<Vec<Alert>> {
    let alerts: Vec<GettableAlert> =
        serde_json::from_slice(body).context("the answer is not a list of alerts")?;
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
    fn the_path_of_the_api_extends_that_of_the_url() {
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
    fn alerts_are_sorted_by_severity_and_then_by_age() {
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
    fn an_alert_without_a_summary_is_shown_by_its_name() {
        let body = br#"[{"labels": {"alertname": "Odd"}, "startsAt": "yesterday"}]"#;
        let alert = read(body).unwrap().remove(0);
        assert_eq!(alert.summary, "Odd");
        assert_eq!(alert.severity, Severity::Warning);
        assert_eq!((alert.description, alert.runbook), (None, None));
        assert_eq!(alert.since, None);
    }

    #[test]
    fn an_answer_that_is_not_a_list_of_alerts_is_an_error() {
        assert!(read(b"<html>").is_err());
        assert!(read(br#"{"status": "error"}"#).is_err());
    }
}
