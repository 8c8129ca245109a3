//! The processes of `process-compose.yaml` without their supervisor. Commands, environment, probes and
//! dependencies come from that file, and the configurations from `configs/`.
//!
//! Each stack has ports of its own, so it disturbs neither a running stack nor another test. Programs come
//! from PATH, or else from the cache of `.ci/backends/build`.

mod clients;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use preflight::PORTS;
use reqwest::Client;
use tokio::process::{Child, Command};

pub use self::clients::{LogLine, Loki, Prometheus, Tempo};
use crate::{
    compose::{Compose, Described, ROOT, find},
    process::{self, binary},
    system::eventually,
};

/// Time limit for a program to become ready, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The files of the stack. Kafka replaces Redpanda, which machines without Nix do not have.
pub const FILES: &[&str] = &["process-compose.yaml", "process-compose.kafka.yaml"];

/// The file that adds Pyroscope to them.
pub const PROFILES: &str = "process-compose.profiles.yaml";

/// The process that stores profiles. With it, a stack has [`PROFILES`].
pub const PYROSCOPE: &str = "pyroscope";

/// The processes that forward or store telemetry.
pub const TELEMETRY: &[&str] = &["otel-collector", "admission", "prometheus", "loki", "tempo"];

/// The process of the broker.
pub const BROKER: &str = "broker";

/// The services and the load generator.
pub const SERVICES: &[&str] = &["user", "auth", "frontend", "loadgen"];

/// Running processes of the stack. They are killed when it is dropped.
#[derive(Debug)]
pub struct Stack {
    /// The client of Prometheus.
    pub prometheus: Prometheus,
    /// The client of Loki.
    pub loki: Loki,
    /// The client of Tempo.
    pub tempo: Tempo,
    folder: PathBuf,
    compose: Compose,
    variables: BTreeMap<String, String>,
    running: BTreeMap<String, Child>,
    http: Client,
}

impl Stack {
    /// The variables of this stack: its folders and its ports.
    #[must_use]
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The programs of these processes that this machine lacks; empty if all can start.
    #[must_use]
    pub fn missing(wanted: &[&str]) -> Vec<String> {
        let Ok(compose) = Compose::read(&files(wanted), &BTreeMap::new()) else {
            return vec!["process-compose.yaml".to_owned()];
        };
        wanted
            .iter()
            .filter_map(|name| compose.processes.get(*name))
            .filter(|process| !is_there(process))
            .filter_map(|process| process.programs().into_iter().next())
            .collect()
    }

    /// Starts those of these processes whose programs this machine has, and waits until they are
    /// ready. Configuration, data and logs go to this folder.
    ///
    /// # Errors
    /// When a process does not become ready.
    pub async fn start(folder: &Path, wanted: &[&str]) -> anyhow::Result<Self> {
        Self::start_with(folder, wanted, &[]).await
    }

    /// Like [`Self::start`], with more variables.
    ///
    /// # Errors
    /// When a process does not become ready.
    pub async fn start_with(
        folder: &Path,
        wanted: &[&str],
        more: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut variables = variables(folder)?;
        let more = more.iter();
        variables.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let compose = Compose::read(&files(wanted), &variables)?;
        let http = Client::new();
        let url = |port: &str| -> anyhow::Result<String> {
            let port = variables.get(port).context("no such port")?;
            Ok(format!("http://127.0.0.1:{port}"))
        };
        let mut stack = Self {
            prometheus: Prometheus::new(url("PROMETHEUS_PORT")?, http.clone()),
            loki: Loki::new(url("LOKI_PORT")?, http.clone()),
            tempo: Tempo::new(url("TEMPO_PORT")?, http.clone()),
            folder: folder.to_owned(),
            compose,
            variables,
            running: BTreeMap::new(),
            http,
        };
        let mut waiting: Vec<&str> = wanted
            .iter()
            .copied()
            .filter(|name| stack.compose.processes.get(*name).is_some_and(is_there))
            .collect();
        if waiting.is_empty() {
            return Ok(stack);
        }
        stack.prepare(&waiting).await?;
        while !waiting.is_empty() {
            let may_start = |name: &&str| stack.waits_for(name, &waiting).is_empty();
            let (next, later): (Vec<&str>, Vec<&str>) =
                waiting.iter().partition(|name| may_start(name));
            ensure!(!next.is_empty(), "these wait for each other: {later:?}");
            for name in &next {
                stack.spawn(name)?;
            }
            for name in &next {
                stack.ready(name).await?;
            }
            waiting = later;
        }
        Ok(stack)
    }

    /// The processes among `others` that must be ready before this one starts.
    fn waits_for(&self, name: &str, others: &[&str]) -> Vec<String> {
        let process = self.compose.processes.get(name);
        let needed = process.into_iter().flat_map(|it| it.depends_on.keys());
        needed
            .filter(|needed| others.contains(&needed.as_str()))
            .cloned()
            .collect()
    }

    /// The URL for OTLP over gRPC of the collector.
    #[must_use]
    pub fn otlp_grpc(&self) -> String {
        format!("http://{}", self.address("OTEL_COLLECTOR_OTLP_GRPC_PORT"))
    }

    /// The URL for OTLP over HTTP of the collector, without the path of a signal.
    #[must_use]
    pub fn otlp_http(&self) -> String {
        format!("http://{}", self.address("OTEL_COLLECTOR_OTLP_HTTP_PORT"))
    }

    /// The address of the broker as HOST:PORT.
    #[must_use]
    pub fn broker(&self) -> String {
        self.address("BROKER_PORT")
    }

    /// The address behind a variable of the stack's ports, as HOST:PORT.
    #[must_use]
    pub fn address(&self, port: &str) -> String {
        let port = self.variables.get(port).map_or("0", String::as_str);
        format!("127.0.0.1:{port}")
    }

    /// Processor time of a process so far.
    ///
    /// # Errors
    /// When it does not run.
    pub fn cpu(&self, name: &str) -> anyhow::Result<Duration> {
        process::cpu(self.id(name)?)
    }

    /// Resident memory of a process in bytes.
    ///
    /// # Errors
    /// When it does not run, or the system has no /proc.
    pub fn memory(&self, name: &str) -> anyhow::Result<u64> {
        process::memory(self.id(name)?, "VmRSS:")
    }

    fn id(&self, name: &str) -> anyhow::Result<u32> {
        let child = self.running.get(name);
        let id = child.and_then(Child::id);
        id.with_context(|| format!("{name} does not run"))
    }

    /// Kills a process with SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let mut child = self
            .running
            .remove(name)
            .with_context(|| format!("{name} does not run"))?;
        child.kill().await?;
        Ok(())
    }

    /// Restarts a process on the same ports and data, and waits until it is ready.
    ///
    /// # Errors
    /// When there is no such process, or it does not become ready.
    pub async fn start_again(&mut self, name: &str) -> anyhow::Result<()> {
        self.spawn(name)?;
        self.ready(name).await
    }

    /// Runs preflight for these processes.
    async fn prepare(&self, wanted: &[&str]) -> anyhow::Result<()> {
        let only = format!("--only={}", wanted.join(","));
        let output = self
            .command(&format!("exec preflight --broker=kafka {only}"))?
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stdout);
        let failed = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}{failed}");
        Ok(())
    }

    /// A command as process-compose runs it.
    fn command(&self, command: &str) -> anyhow::Result<Command> {
        let mut shell = Command::new("bash");
        shell
            .args(["-c", command])
            .envs(&self.variables)
            .envs(pairs(&self.compose.environment))
            .env("PATH", path()?)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        Ok(shell)
    }

    fn described(&self, name: &str) -> anyhow::Result<&Described> {
        let process = self.compose.processes.get(name);
        process.with_context(|| format!("no process {name}"))
    }

    fn spawn(&mut self, name: &str) -> anyhow::Result<()> {
        let process = self.described(name)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name))?;
        let child = self
            .command(process.command.as_deref().context("no command")?)?
            .envs(pairs(&process.environment))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.running.insert(name.to_owned(), child);
        Ok(())
    }

    async fn ready(&mut self, name: &str) -> anyhow::Result<()> {
        let process = self.described(name)?;
        let probe = process.readiness_probe.clone().context("no probe")?;
        let variables: Vec<_> = process.environment.clone();
        let mut ended = None;
        let mut child = self.running.remove(name).context("it does not run")?;
        let ready = eventually(PATIENCE, async || {
            ended = child.try_wait()?;
            if ended.is_some() {
                return Ok(());
            }
            if let Some(page) = &probe.http_get {
                let url = format!("http://{}:{}{}", page.host, page.port, page.path);
                self.http.get(url).send().await?.error_for_status()?;
            }
            if let Some(exec) = &probe.exec {
                let status = self
                    .command(&exec.command)?
                    .envs(pairs(&variables))
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .await?;
                ensure!(status.success(), "{}: {status}", exec.command);
            }
            Ok(())
        });
        let ready = ready.await;
        if ready.is_err() || ended.is_some() {
            let log = fs::read_to_string(self.log(name)).unwrap_or_default();
            bail!("{name} is not ready ({ended:?}, {ready:?}): {log}");
        }
        self.running.insert(name.to_owned(), child);
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }
}

/// The files of a stack with these processes.
fn files(wanted: &[&str]) -> Vec<&'static str> {
    let profiles = wanted.contains(&PYROSCOPE).then_some(PROFILES);
    FILES.iter().copied().chain(profiles).collect()
}

/// Splits variables into names and values.
fn pairs(variables: &[String]) -> impl Iterator<Item = (&str, &str)> {
    let variables = variables.iter();
    variables.filter_map(|variable| variable.split_once('='))
}

/// The variables of a new stack: its folders and free ports.
///
/// # Errors
/// When no port is free.
pub fn variables(folder: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let root = Path::new(ROOT);
    let folders = [
        ("OTELIX_CONFIGS", root.join("configs")),
        ("OTELIX_DASHBOARDS", root.join("dashboards")),
        ("OTELIX_RUNBOOKS", root.join("docs/runbooks")),
        ("OTELIX_DATA", folder.join("data")),
    ];
    let mut variables: BTreeMap<String, String> = folders
        .into_iter()
        .map(|(name, folder)| (name.to_owned(), folder.to_string_lossy().into()))
        .collect();
    for port in PORTS {
        variables.insert(port.variable.to_owned(), free_port()?.to_string());
    }
    Ok(variables)
}

/// PATH, with the folder of the workspace's programs before it and the cache of built backends.
///
/// # Errors
/// When the workspace does not build.
pub fn path() -> anyhow::Result<OsString> {
    let program = binary("preflight")?;
    let folder = program.parent().context("no folder")?.to_owned();
    let others = env::split_paths(others());
    Ok(env::join_paths(std::iter::once(folder).chain(others))?)
}

/// PATH and the folders of the built backends.
fn others() -> &'static OsString {
    static PATH: OnceLock<OsString> = OnceLock::new();
    PATH.get_or_init(|| {
        let present = env::var_os("PATH").unwrap_or_default();
        let built = built();
        let all = env::split_paths(&present).chain(env::split_paths(&built));
        env::join_paths(all).unwrap_or_else(|_| present.clone())
    })
}

fn is_there(process: &Described) -> bool {
    // Programs of the workspace are built when they are needed.
    process.is_of_workspace()
        || process
            .programs()
            .iter()
            .any(|program| find(program, others()).is_some())
}

/// The folders of backends that were built before.
fn built() -> OsString {
    let script = Path::new(ROOT).join(".ci/backends/build");
    std::process::Command::new(script)
        .arg("--built")
        .stderr(Stdio::null())
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map(|folders| folders.trim().into())
        .unwrap_or_default()
}

/// A free port. It is below the range of ports that the system assigns, and other test processes begin
/// their search elsewhere. So no other program takes it before its own does.
fn free_port() -> anyhow::Result<u16> {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(101);
    for _ in 0..COUNT {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + offset)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free")
}
