//! process-compose, by its REST API (versions 1.94 to 1.122). Its wire format is known to this module alone.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::redirect::Policy;
use serde::{Deserialize, de::DeserializeOwned};

/// How long an answer may take. It is made from memory.
const TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer may be, in bytes. A process takes three hundred.
const LONGEST: usize = 4 << 20;

/// Asks the supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

/// A process, as the supervisor sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// In the supervisor's words, such as `Running` or `Completed`.
    pub(crate) status: String,
    /// There while it runs.
    pub(crate) running: Option<Running>,
    /// Whether its probe says that it is ready; `None` without one.
    pub(crate) ready: Option<bool>,
    /// How often it was started again because it had ended.
    pub(crate) restarts: u64,
    /// What it ended with the last time, -1 where that was a signal; `None` where it has not
    /// ended, as far as can be seen.
    pub(crate) exit_code: Option<i32>,
    /// How long it runs, or the last run was when somebody asked last.
    pub(crate) age: Duration,
}

/// A process that runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    /// Resident memory in bytes, of this process without its children.
    pub(crate) memory: Option<u64>,
}

impl Client {
    pub(crate) fn new(port: u16) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            // It is on this machine, whatever the environment says of proxies.
            .no_proxy()
            .build()
            .context("cannot make an HTTP client")?;
        let base = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        Ok(Self { http, base })
    }

    /// Where the supervisor is, for people.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// All processes that are to run, in order of their names.
    pub(crate) async fn processes(&self) -> anyhow::Result<Vec<Process>> {
        let list: wire::Processes = self.get("/processes").await?;
        let mut processes: Vec<_> = list
            .data
            .into_iter()
            .filter_map(wire::Process::supervised)
            .collect();
        processes.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(processes)
    }

    /// How long the supervisor runs.
    pub(crate) async fn uptime(&self) -> anyhow::Result<Duration> {
        let state: wire::Project = self.get("/project/state").await?;
        Ok(Duration::from_nanos(state.up_time))
    }

    /// The file a process's output goes to, if to one of its own.
    pub(crate) async fn log_file(&self, process: &str) -> anyhow::Result<Option<String>> {
        let info: wire::Info = self.get(&format!("/process/info/{process}")).await?;
        Ok(Some(info.log_location).filter(|path| !path.is_empty()))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let url = format!("{}{path}", self.base);
        let mut response = self.http.get(&url).send().await?;
        let status = response.status();
        ensure!(status.is_success(), "{url} answers {status}");
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            ensure!(body.len() <= LONGEST, "{url} answers without end");
        }
        serde_json::from_slice(&body).with_context(|| format!("{url} is no supervisor's"))
    }
}

impl Process {
    /// Whether it is what it should become: ready, or without a probe ended well.
    pub(crate) fn is_settled(&self) -> bool {
        self.ready
            .unwrap_or_else(|| self.status == wire::COMPLETED && self.exit_code == Some(0))
    }

    /// Whether nothing more comes of it unless somebody starts it.
    pub(crate) fn is_over(&self) -> bool {
        [wire::COMPLETED, wire::SKIPPED, wire::ERROR].contains(&&*self.status)
    }
}

mod wire {
    //! The fields that are of interest, as they are spelt.

    use super::{Deserialize, Duration, Running};

    pub(super) const COMPLETED: &str = "Completed";
    pub(super) const SKIPPED: &str = "Skipped";
    pub(super) const ERROR: &str = "Error";
    const DISABLED: &str = "Disabled";
    const FOREGROUND: &str = "Foreground";
    const READY: &str = "Ready";

    #[derive(Debug, Deserialize)]
    pub(super) struct Processes {
        pub(super) data: Vec<Process>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Process {
        name: String,
        namespace: String,
        status: String,
        /// Nanoseconds.
        age: u64,
        is_ready: String,
        has_ready_probe: bool,
        restarts: u64,
        exit_code: i32,
        pid: i32,
        /// Below zero where it is not known.
        mem: i64,
        is_running: bool,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Project {
        /// Nanoseconds.
        #[serde(rename = "upTime")]
        pub(super) up_time: u64,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Info {
        /// `LogLocation` up to version 1.103, `logLocation` from 1.110 on.
        #[serde(rename = "logLocation", alias = "LogLocation")]
        pub(super) log_location: String,
    }

    impl Process {
        /// `None` for one that somebody switched off, or starts by hand.
        pub(super) fn supervised(self) -> Option<super::Process> {
            if [DISABLED, FOREGROUND].contains(&&*self.status) {
                return None;
            }
            // The code is 0 before the first end, and 1 of what was never started. A process that
            // was stopped and started by hand counts no restart, but keeps its code.
            let has_ended = self.restarts > 0
                || self.status == COMPLETED
                || (self.exit_code != 0 && self.status != SKIPPED);
            // What the probe said last may outlive the process.
            let is_ready = self.is_running && self.is_ready == READY;
            Some(super::Process {
                running: self.is_running.then_some(Running {
                    pid: self.pid,
                    memory: self.mem.try_into().ok(),
                }),
                ready: self.has_ready_probe.then_some(is_ready),
                restarts: self.restarts,
                exit_code: has_ended.then_some(self.exit_code),
                age: Duration::from_nanos(self.age),
                name: self.name,
                namespace: self.namespace,
                status: self.status,
            })
        }
    }
}

#[cfg(test)]
mod tests;
