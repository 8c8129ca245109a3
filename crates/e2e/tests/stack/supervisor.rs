//! process-compose, and the states of its processes.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use e2e::{
    compose::{Compose, ROOT, find},
    stack::{FILES, path, variables},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::ONE_SHOT;

/// A running stack of the processes whose programs this machine has.
pub(crate) struct Supervisor {
    child: Child,
    http: reqwest::Client,
    pub(crate) variables: BTreeMap<String, String>,
    /// The names of the supervised processes.
    pub(crate) names: Vec<String>,
    pub(crate) folder: TempDir,
}

/// The state of a process.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) is_ready: String,
    pub(crate) has_ready_probe: bool,
    pub(crate) restarts: u32,
    pub(crate) pid: i32,
    /// Resident memory in bytes; -1 if the process ended during the measurement.
    pub(crate) mem: i64,
}

#[derive(Deserialize)]
struct States {
    data: Vec<State>,
}

impl State {
    pub(crate) fn is_well(&self) -> bool {
        if self.has_ready_probe {
            self.status == "Running" && self.is_ready == "Ready"
        } else {
            self.status == "Completed"
        }
    }
}

impl Supervisor {
    /// Starts all processes that this machine can run, and returns at once.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut variables = variables(folder.path())?;
        variables.extend([
            ("HASH_MEMORY_KIB".to_owned(), "8".to_owned()),
            ("HASH_ITERATIONS".to_owned(), "1".to_owned()),
            ("LOADGEN_RATE".to_owned(), "5".to_owned()),
            ("LOADGEN_ACCOUNTS".to_owned(), "2".to_owned()),
        ]);
        Self::start_from(FILES, variables, folder)
    }

    /// Starts the processes of these files that this machine can run, with these variables.
    pub(crate) fn start_from(
        files: &[&str],
        variables: BTreeMap<String, String>,
        folder: TempDir,
    ) -> anyhow::Result<Self> {
        let path = path()?;
        let compose = Compose::read(files, &variables)?;
        let (mut names, mut absent) = (Vec::new(), Vec::new());
        for (name, process) in &compose.processes {
            let programs = process.programs();
            let is_there = programs
                .iter()
                .any(|program| find(program, &path).is_some());
            if process.disabled {
                continue;
            }
            if is_there { &mut names } else { &mut absent }.push(name.clone());
        }
        // A further file disables the processes that this machine cannot run.
        let only = names.iter().map(String::as_str);
        let only: Vec<&str> = only.filter(|name| *name != ONE_SHOT).collect();
        let only = only.join(",");
        let mut rest = vec!["processes:".to_owned(), "  preflight:".to_owned()];
        rest.push(if absent.is_empty() {
            "    namespace: setup".to_owned()
        } else {
            format!("    command: exec preflight --broker kafka --only {only}")
        });
        for name in &absent {
            rest.extend([format!("  {name}:"), "    disabled: true".to_owned()]);
        }
        let file = folder.path().join("rest.yaml");
        fs::write(&file, rest.join("\n"))?;

        let port = variables.get("SUPERVISOR_PORT").context("no port")?.clone();
        let log = fs::File::create(folder.path().join("supervisor.log"))?;
        let mut command = Command::new("process-compose");
        for file in files {
            command.arg("-f").arg(Path::new(ROOT).join(file));
        }
        let child = command
            .arg("-f")
            .arg(file)
            .args(["-t=false", "--disable-dotenv", "up"])
            .envs(&variables)
            .env("PATH", path)
            .env("PC_PORT_NUM", port)
            .env("PC_LOG_FILE", folder.path().join("process-compose.log"))
            // The stack must not depend on the current folder.
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self {
            child,
            http: reqwest::Client::builder()
                .timeout(Duration::from_secs(2))
                .build()?,
            variables,
            names,
            folder,
        })
    }

    /// The address for a variable of the stack's ports.
    pub(crate) fn address(&self, variable: &str) -> anyhow::Result<String> {
        let port = self.variables.get(variable).context("no such port")?;
        Ok(format!("127.0.0.1:{port}"))
    }

    fn url(&self, path: &str) -> anyhow::Result<String> {
        Ok(format!("http://{}{path}", self.address("SUPERVISOR_PORT")?))
    }

    /// The states of all processes.
    pub(crate) async fn states(&self) -> anyhow::Result<Vec<State>> {
        let answer = self.http.get(self.url("/processes")?).send().await?;
        let body = answer.error_for_status()?.bytes().await?;
        let states: States = serde_json::from_slice(&body)?;
        let of_names = |state: &State| self.names.contains(&state.name);
        Ok(states.data.into_iter().filter(of_names).collect())
    }

    pub(crate) async fn state(&self, name: &str) -> anyhow::Result<State> {
        let mut states = self.states().await?.into_iter();
        states
            .find(|state| state.name == name)
            .with_context(|| format!("no process {name}"))
    }

    /// Waits until all processes are ready, and returns the time that it took.
    pub(crate) async fn well(&self, within: Duration) -> anyhow::Result<Duration> {
        let started = Instant::now();
        loop {
            let ill = match self.states().await {
                Ok(states) => states
                    .iter()
                    .filter(|state| !state.is_well())
                    .map(|state| format!("{} {} {}", state.name, state.status, state.is_ready))
                    .collect(),
                Err(error) => vec![format!("{error:#}")],
            };
            if ill.is_empty() {
                return Ok(started.elapsed());
            }
            if started.elapsed() > within {
                bail!("not ready after {within:?}: {ill:?}\n{}", self.log());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops a process until [`Self::start_process`].
    pub(crate) async fn stop_process(&self, name: &str) -> anyhow::Result<()> {
        let url = self.url(&format!("/process/stop/{name}"))?;
        let request = self.http.patch(url).timeout(Duration::from_secs(30));
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// Starts a process that was stopped.
    pub(crate) async fn start_process(&self, name: &str) -> anyhow::Result<()> {
        let url = self.url(&format!("/process/start/{name}"))?;
        self.http.post(url).send().await?.error_for_status()?;
        Ok(())
    }

    pub(crate) async fn signal(&self, name: &str, signal: Signal) -> anyhow::Result<()> {
        let state = self.state(name).await?;
        ensure!(state.pid > 0, "{name} has no process");
        kill(Pid::from_raw(state.pid), signal)?;
        Ok(())
    }

    /// Stops the stack as Ctrl-C does, and returns the time that it took.
    pub(crate) async fn down(&mut self) -> anyhow::Result<(ExitStatus, Duration)> {
        let started = Instant::now();
        let id = self.child.id().context("it has ended")?;
        kill(Pid::from_raw(id.try_into()?), Signal::SIGTERM)?;
        let status = tokio::time::timeout(Duration::from_secs(60), self.child.wait()).await;
        Ok((status.context("it does not end")??, started.elapsed()))
    }

    /// The last lines of the supervisor's output.
    pub(crate) fn log(&self) -> String {
        let text = fs::read_to_string(self.folder.path().join("supervisor.log"));
        let text = text.unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let start = lines.len().saturating_sub(60);
        lines.get(start..).unwrap_or_default().join("\n")
    }

    /// The remaining processes of this stack, found by the data folder in their environment.
    pub(crate) fn orphans(&self) -> anyhow::Result<Vec<String>> {
        let mut orphans = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path: PathBuf = entry?.path();
            let Ok(variables) = fs::read(path.join("environ")) else {
                continue;
            };
            let mark = format!("OTELIX_DATA={}", self.folder.path().join("data").display());
            if variables
                .split(|byte| *byte == 0)
                .any(|variable| variable == mark.as_bytes())
            {
                let command = fs::read(path.join("cmdline")).unwrap_or_default();
                orphans.push(String::from_utf8_lossy(&command).replace('\0', " "));
            }
        }
        Ok(orphans)
    }
}

impl Drop for Supervisor {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test has failed, and no other test runs"
    )]
    fn drop(&mut self) {
        // SIGTERM makes it stop its processes. SIGKILL would leave them.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if id.is_none_or(|id| kill(Pid::from_raw(id), Signal::SIGTERM).is_err()) {
            return;
        }
        for _ in 0..600 {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
