//! A client of the REST API of process-compose (versions 1.94 to 1.122). Only this module knows the
//! wire format.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, ensure};
use reqwest::redirect::Policy;
use serde::{Deserialize, de::DeserializeOwned};

/// Timeout of a request. It is short, because the supervisor answers from memory.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Size limit of an answer in bytes. A process takes about 300.
const LONGEST: usize = 4 << 20;

/// A client of the supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

/// A process as the supervisor reports it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The supervisor's name of the state, such as `Running` or `Completed`.
    pub(crate) status: String,
    /// `None` if the process is not running.
    pub(crate) running: Option<Running>,
    /// Whether its probe succeeds. `None` without a probe.
    pub(crate) ready: Option<bool>,
    /// The number of restarts after it ended.
    pub(crate) restarts: u64,
    /// The last exit code, or -1 after a signal. `None` if it has not ended, as far as the answer
    /// tells.
    pub(crate) exit_code: Option<i32>,
    /// The duration of the current run, or of the last one.
    pub(crate) age: Duration,
}

/// A running process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    /// Resident memory in bytes, without child processes.
    pub(crate) memory: Option<u64>,
}

impl Client {
    pub(crate) fn new(port: u16) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            // The supervisor is on this machine, so proxy variables do not apply.
            .no_proxy()
            .build()
            .context("cannot create an HTTP client")?;
        let base = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        Ok(Self { http, base })
    }

    /// The URL of the supervisor, for messages.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// All processes that should run, by name.
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

    /// The time since the start of the supervisor.
    pub(crate) async fn uptime(&self) -> anyhow::Result<Duration> {
        let state: wire::Project = self.get("/project/state").await?;
        Ok(Duration::from_nanos(state.up_time))
    }

    /// The log file of a process, if it has its own.
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
            ensure!(
                body.len() <= LONGEST,
                "the answer of {url} is larger than {LONGEST} bytes"
            );
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("the answer of {url} is not that of process-compose"))
    }
}

impl Process {
    /// Whether the process is ready: its probe succeeds, or it has no probe and has ended with exit
    /// code 0.
    pub(crate) fn is_settled(&self) -> bool {
        self.ready
            .unwrap_or_else(|| self.status == wire::COMPLETED && self.exit_code == Some(0))
    }

    /// Whether the process has ended and the supervisor will not restart it.
    pub(crate) fn is_over(&self) -> bool {
        [wire::COMPLETED, wire::SKIPPED, wire::ERROR].contains(&&*self.status)
    }
}

mod wire {
    //! The wire format: the fields that are used here.

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
        /// Negative if it is unknown.
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
        /// `None` for a process that is disabled, or that is only started by hand.
        pub(super) fn supervised(self) -> Option<super::Process> {
            if [DISABLED, FOREGROUND].contains(&&*self.status) {
                return None;
            }
            // The exit code is 0 before the first end, and 1 if the process was never started. A
            // process that was stopped and started by hand has no restart, but keeps its exit code.
            let has_ended = self.restarts > 0
                || self.status == COMPLETED
                || (self.exit_code != 0 && self.status != SKIPPED);
            // The last result of the probe may remain after the process has ended.
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
