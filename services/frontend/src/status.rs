//! Checks every part of the system, and reads the firing alerts from Alertmanager.

mod alerts;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use chassis::client::Addresses;
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
    /// The state of the instance that is in the worst state.
    pub(crate) state: State,
    /// The number of instances that are ready.
    pub(crate) ready: usize,
    /// The number of instances that were asked.
    pub(crate) instances: usize,
    /// The time until all have answered.
    pub(crate) took: Duration,
}

/// Whether a part works.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
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
        let service = |name: &str, addresses: &Addresses| StatusCheck {
            name: name.to_owned(),
            target: Target::Grpc(addresses.clone()),
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
        let states = match &check.target {
            Target::Grpc(addresses) => {
                // A name server that does not answer must not delay the page.
                match tokio::time::timeout(TIMEOUT, addresses.instances()).await {
                    Ok(urls) => {
                        let checks = urls.iter().map(|url| {
                            let answer = chassis::health::check(url, "");
                            state(&check.name, started, answer)
                        });
                        join_all(checks).await
                    }
                    Err(_) => vec![State::Silent],
                }
            }
            Target::Http(url) => {
                let answer = async {
                    let status = self.http.get(url.clone()).send().await?.status();
                    anyhow::ensure!(status.is_success(), "the answer is {status}");
                    Ok(())
                };
                vec![state(&check.name, started, answer).await]
            }
        };
        let ready = states.iter().filter(|state| **state == State::Ready);
        Outcome {
            name: check.name.clone(),
            ready: ready.count(),
            instances: states.len(),
            state: states.into_iter().max().unwrap_or(State::NotReady),
            took: started.elapsed(),
        }
    }
}

/// The state of an instance of a part, by its answer within [`TIMEOUT`] of the start.
async fn state(
    part: &str,
    started: Instant,
    answer: impl Future<Output = anyhow::Result<()>>,
) -> State {
    match tokio::time::timeout_at(started + TIMEOUT, answer).await {
        Ok(Ok(())) => State::Ready,
        // The connection was not opened in time.
        Ok(Err(_)) if started.elapsed() >= TIMEOUT => State::Silent,
        Ok(Err(error)) => {
            // The page shows only the state. The reason is for operators.
            tracing::debug!(part, error = format!("{error:#}"), "not ready");
            State::NotReady
        }
        Err(_) => State::Silent,
    }
}
