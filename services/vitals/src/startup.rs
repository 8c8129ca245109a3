//! The command `startup`, which waits until all processes are ready and prints their startup times.

mod progress;
mod report;

use std::{
    collections::BTreeMap,
    fmt, io,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    config::Startup,
    supervisor::{Client, Process},
    usage,
};

use self::{
    progress::Progress,
    report::{Report, Row},
};

/// Interval of queries, which is also the precision of the times.
const EVERY: Duration = Duration::from_millis(50);

/// After this time without an answer, the supervisor counts as ended. It ends by itself if a
/// process fails that the start needs.
const SILENCE: Duration = Duration::from_secs(5);

/// Waits until all processes are ready, and prints their startup times to stdout. If one is not
/// ready in time, the exit code is 1 and the reason is on stderr.
pub async fn startup(startup: &Startup) -> ExitCode {
    let outcome = async {
        let supervisor = Client::new(startup.supervisor.supervisor_port)?;
        let report = wait(supervisor, startup.within).await?;
        report
            .write(&mut io::stdout().lock())
            .context("cannot write the report")
    };
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => chassis::failed(&error),
    }
}

async fn wait(supervisor: Client, within: Duration) -> anyhow::Result<Report> {
    let asked = Instant::now();
    let mut answered = asked;
    let mut start = Start::new(supervisor);
    loop {
        match start.ask().await {
            Ok(()) if start.unsettled().next().is_none() => return Ok(start.report().await),
            Ok(()) if start.unsettled().any(Process::is_over) => {
                bail!("some processes cannot become ready:{start}");
            }
            Ok(()) => answered = Instant::now(),
            Err(error) if answered.elapsed() >= SILENCE => {
                let base = start.supervisor.base();
                let cause = error.root_cause();
                bail!("no supervisor answers at {base} (SUPERVISOR_PORT): {cause}{start}");
            }
            Err(_) => {}
        }
        if asked.elapsed() >= within {
            let within = humantime::format_duration(within);
            bail!("some processes are not ready after {within}:{start}");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The state of a start. `Display` lists the processes that are not ready, one a line.
#[derive(Debug)]
struct Start {
    supervisor: Client,
    /// When the supervisor was started; `None` before its first answer.
    began: Option<Instant>,
    processes: Vec<Process>,
    progress: Progress,
    /// The log files of the processes. Requested at the first answer, because the supervisor may
    /// end before they are needed.
    log_files: BTreeMap<String, String>,
}

impl Start {
    fn new(supervisor: Client) -> Self {
        Self {
            supervisor,
            began: None,
            processes: Vec::new(),
            progress: Progress::default(),
            log_files: BTreeMap::new(),
        }
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        let processes = self.supervisor.processes().await?;
        let now = Instant::now();
        let is_first = self.began.is_none();
        let began = if let Some(began) = self.began {
            began
        } else {
            let uptime = self.supervisor.uptime().await?;
            Instant::now().checked_sub(uptime).unwrap_or(now)
        };
        self.began = Some(began);
        let now = now.saturating_duration_since(began);
        self.progress.update(now, &processes);
        self.processes = processes;
        if is_first {
            for Process { name, .. } in &self.processes {
                // Errors are ignored: only the error message uses the file, and does not need it.
                if let Ok(Some(file)) = self.supervisor.log_file(name).await {
                    self.log_files.insert(name.clone(), file);
                }
            }
        }
        Ok(())
    }

    fn unsettled(&self) -> impl Iterator<Item = &Process> {
        self.processes
            .iter()
            .filter(|process| !process.is_settled())
    }

    async fn report(&self) -> Report {
        let running = self.processes.iter().filter_map(|process| process.running);
        let usage = usage::measure(running.map(|running| running.pid).collect()).await;
        let memory = |process: &Process| {
            let running = process.running?;
            let measured = usage.iter().find(|(pid, _)| *pid == running.pid);
            measured.map(|(_, usage)| usage.memory).or(running.memory)
        };
        let rows = self.processes.iter().filter_map(|process| {
            Some(Row {
                process: process.name.clone(),
                namespace: process.namespace.clone(),
                ready: self.progress.ready(&process.name)?,
                restarts: process.restarts,
                memory: memory(process),
            })
        });
        Report {
            rows: rows.collect(),
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for process in self.unsettled() {
            write!(f, "\n  {}: {}", process.name, process.status)?;
            if process.running.is_some() {
                f.write_str(match process.ready {
                    Some(_) => ", not ready",
                    None => ", not ended",
                })?;
            }
            if let Some(code) = process.exit_code {
                write!(f, ", exit code {code}")?;
            }
            if process.restarts > 0 {
                write!(f, ", restarts: {}", process.restarts)?;
            }
            if let Some(file) = self.log_files.get(&process.name) {
                write!(f, ", log: {file}")?;
            }
        }
        Ok(())
    }
}
