//! Programs of the workspace as processes.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    time::clock_getcpuclockid,
    unistd::Pid,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
};

/// Time limit for a process to become ready or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time limit for the rest of the output of a process that has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The path of one of the workspace's programs, built in the profile of the running test.
///
/// # Errors
/// When the workspace does not build.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(folder.join(name))
}

/// Builds the workspace as `cargo test --workspace` does, so that after it nothing is left to build. For a
/// benchmark, builds only the programs, because linking the tests would take longer than the benchmark.
fn build() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe().context("cannot find this program")?;
    let folder = exe
        .ancestors()
        .nth(2)
        .context("this program is not in a target folder")?
        .to_owned();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command
        .args(["build", "--quiet", "--workspace", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"));
    if folder.ends_with("release") {
        command.args(["--bins", "--release"]);
    } else {
        command.arg("--tests");
    }
    // Cargo has set these variables for the package of this test. The build script of `ring` depends on
    // them, so `ring` and all dependents would be built again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_") {
            command.env_remove(&*name);
        }
    }
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "the workspace does not build");
    Ok(folder)
}

/// A running program. It is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: watch::Receiver<usize>,
    output: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a program of the workspace with only these variables, without this process's environment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(binary(name)?);
        command
            .args(arguments)
            .env_clear()
            .envs(variables.iter().copied())
            .current_dir(folder);
        Self::spawn(name, command)
    }

    /// Starts any command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(name: &str, mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (sender, lines) = watch::channel(0);
        let output = Arc::<Mutex<Vec<String>>>::default();
        let stdout = child.stdout.take().context("no stdout")?;
        let stderr = child.stderr.take().context("no stderr")?;
        let sender = Arc::new(sender);
        tokio::spawn(collect(stdout, Arc::clone(&output), Arc::clone(&sender)));
        tokio::spawn(collect(stderr, Arc::clone(&output), sender));
        Ok(Self {
            name: name.to_owned(),
            child,
            lines,
            output,
        })
    }

    /// Waits until the process logs that it is ready, and returns its address.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub async fn ready(&mut self) -> anyhow::Result<SocketAddr> {
        let line = self
            .line(|line| {
                serde_json::from_str::<Value>(line).is_ok_and(|record| record["message"] == "ready")
            })
            .await?;
        let record: Value = serde_json::from_str(&line)?;
        let address = record["address"].as_str().context("no address")?;
        Ok(address.parse()?)
    }

    /// Waits for a line of output.
    ///
    /// # Errors
    /// When the process ends without it, or takes too long.
    pub async fn line(&mut self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        loop {
            let lines = self.output();
            if let Some(line) = lines.iter().skip(seen).find(|line| wanted(line)) {
                return Ok(line.clone());
            }
            seen = lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            let change = tokio::time::timeout(left, self.lines.changed()).await;
            if !matches!(change, Ok(Ok(()))) {
                bail!("{} did not print the line: {:#?}", self.name, self.output());
            }
        }
    }

    /// The output of the process so far.
    #[must_use]
    pub fn output(&self) -> Vec<String> {
        self.output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.running()?;
        kill(Pid::from_raw(id.try_into()?), signal).context("cannot signal")
    }

    /// Kills the process with SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.ended().await?;
        Ok(())
    }

    /// Asks the process to stop, and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.ended().await
    }

    /// Waits until the process ends by itself.
    ///
    /// # Errors
    /// When it does not end in time.
    pub async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .with_context(|| format!("{} does not end", self.name))?;
        // The last output may still be in the pipe, which a remaining child process may keep open.
        let written = async { while self.lines.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(LAST_WORDS, written).await;
        Ok(status?)
    }

    /// Processor time so far, also of threads that have ended.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cpu(self.running()?)
    }

    /// Resident memory in bytes.
    ///
    /// # Errors
    /// When the process has ended, or the system has no /proc.
    pub fn memory(&self) -> anyhow::Result<u64> {
        memory(self.running()?, "VmRSS:")
    }

    /// The largest resident memory so far, in bytes.
    ///
    /// # Errors
    /// When the process has ended, or the system has no /proc.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        memory(self.running()?, "VmHWM:")
    }

    fn running(&self) -> anyhow::Result<u32> {
        self.id()
            .with_context(|| format!("{} has ended", self.name))
    }
}

async fn collect(
    stream: impl AsyncRead + Unpin,
    output: Arc<Mutex<Vec<String>>>,
    lines: Arc<watch::Sender<usize>>,
) {
    let mut reader = BufReader::new(stream).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(line);
        lines.send_modify(|count| *count += 1);
    }
}

/// Processor time of a process so far, also of threads that have ended.
pub(crate) fn cpu(id: u32) -> anyhow::Result<Duration> {
    let id = Pid::from_raw(id.try_into()?);
    Ok(clock_getcpuclockid(id)?.now()?.into())
}

/// A size of /proc/ID/status, in bytes.
pub(crate) fn memory(id: u32, name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("no {name}"))?;
    Ok(kib.parse::<u64>()? * 1024)
}
