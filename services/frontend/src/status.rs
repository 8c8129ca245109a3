//! Checks every part of the system, and reads the firing alerts from Alertmanager.

mod alerts;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use futures_util::future::{join, join_all};
use tokio::{sync::Mutex, time::Instant};

use self::alerts::Alertmanager;
pub(crate) use self::alerts::{Alert, Alerts, Severity};
use crate::config::{Config, StatusCheck, Target};

/// Deadline of each check.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long results are cached. Concurrent requests share one round of checks.
const FRESH: Duration = Duration::from_secs(1);

/// The checks, and their last results.
#[derive(Debug)]
pub(crate) struct Board {
    checks: Vec<StatusCheck>,
    alertmanager: Option<Alertmanager>,
    http: reqwest::Client,
    last: Mutex<Option<(Instant, Arc<Answers>)>>,
}

/// The results of all checks.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) parts: Vec<Outcome>,
    /// `None` without a configured Alertmanager.
    pub(crate) alerts: Option<Alerts>,
}

/// The result of one check.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) took: Duration,
}

/// Whether a part works.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    /// The part answers that it is ready.
    Ready,
    /// The part refuses connections, or answers that it is not ready.
    NotReady,
    /// The part did not answer within [`TIMEOUT`].
    Silent,
}

impl Board {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let service = |name: &str, address: &axum::http::Uri| StatusCheck {
            name: name.to_owned(),
            target: Target::Grpc(address.to_string()),
        };
        let mut checks = vec![
            service("auth", &config.auth_service_address),
            service("user", &config.user_service_address),
        ];
        checks.extend(config.pages.status_checks.0.iter().cloned());
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("cannot create an HTTP client")?;
        Ok(Self {
            checks,
            alertmanager: config.pages.alertmanager_url.clone().map(Alertmanager::new),
            http,
            last: Mutex::new(None),
        })
    }

    /// Runs all checks concurrently, or returns cached results.
    pub(crate) async fn ask(&self) -> Arc<Answers> {
        let mut last = self.last.lock().await;
        if let Some((at, answers)) = &*last
            && at.elapsed() < FRESH
        {
            return Arc::clone(answers);
        }
        let parts = join_all(self.checks.iter().map(|check| self.outcome(check)));
        let (parts, alerts) = join(parts, self.alerts()).await;
        let answers = Arc::new(Answers { parts, alerts });
        *last = Some((Instant::now(), Arc::clone(&answers)));
        answers
    }

    async fn alerts(&self) -> Option<Alerts> {
        let asked = self.alertmanager.as_ref()?.firing(&self.http);
        Some(match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(alerts)) => Alerts::Firing(alerts),
            Ok(Err(error)) => {
                tracing::debug!(error = format!("{error:#}"), "cannot get alerts");
                Alerts::Unknown
            }
            Err(_) => Alerts::Unknown,
        })
    }

    async fn outcome(&self, check: &StatusCheck) -> Outcome {
        let started = Instant::now();
        let answer = tokio::time::timeout(TIMEOUT, self.check(&check.target)).await;
        let took = started.elapsed();
        let state = match answer {
            Ok(Ok(())) => State::Ready,
            // The connection was not opened in time.
            Ok(Err(_)) if took >= TIMEOUT => State::Silent,
            Ok(Err(error)) => {
                // The page shows only the state. The reason is for operators.
                tracing::debug!(part = check.name, error = format!("{error:#}"), "not ready");
                State::NotReady
            }
            Err(_) => State::Silent,
        };
        Outcome {
            name: check.name.clone(),
            state,
            took,
        }
    }

    async fn check(&self, target: &Target) -> anyhow::Result<()> {
        match target {
            Target::Grpc(url) => chassis::health::check(url, "").await,
            Target::Http(url) => {
                let status = self.http.get(url.clone()).send().await?.status();
                anyhow::ensure!(status.is_success(), "the answer is {status}");
                Ok(())
            }
        }
    }
}
