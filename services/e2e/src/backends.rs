//! The real OpenTelemetry Collector, Prometheus, Loki, Tempo and Kafka, with the project's own
//! configuration.
//!
//! Each start has ports of its own, so it disturbs neither a stack that runs nor another test. The
//! programs are those on PATH, else those that `.ci/backends/build` has built.

mod clients;

use std::{
    collections::BTreeMap,
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
use reqwest::Client;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

pub use self::clients::{LogLine, Loki, Prometheus, Tempo};
use crate::system::eventually;

/// How long a program may take to get ready, on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(60);

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Whatever telemetry goes through or to.
pub const TELEMETRY: &[&str] = &["otelcol", "prometheus", "loki", "tempo"];

/// What events go through.
pub const KAFKA: &str = "kafka";

/// How each program is started. Ports are those of the configuration, here too.
static PROGRAMS: [Program; 5] = [
    Program {
        name: "otelcol",
        commands: &["otelcol", "otelcol-contrib"],
        config: "configs/otel-collector/config.yaml",
        before: None,
        arguments: &["--config={config}"],
        ready: "http://127.0.0.1:13133/",
    },
    Program {
        name: "prometheus",
        commands: &["prometheus"],
        config: "configs/prometheus/prometheus.yaml",
        before: None,
        arguments: &[
            "--config.file={config}",
            "--storage.tsdb.path={data}/prometheus",
            "--web.listen-address=127.0.0.1:9090",
            "--web.enable-otlp-receiver",
            "--web.enable-remote-write-receiver",
            "--enable-feature=exemplar-storage",
        ],
        ready: "http://127.0.0.1:9090/-/ready",
    },
    Program {
        name: "loki",
        commands: &["loki"],
        config: "configs/loki/loki.yaml",
        before: None,
        arguments: &["-config.file={config}", "-config.expand-env=true"],
        ready: "http://127.0.0.1:3100/ready",
    },
    Program {
        name: "tempo",
        commands: &["tempo"],
        config: "configs/tempo/tempo.yaml",
        before: None,
        arguments: &["-config.file={config}", "-config.expand-env=true"],
        ready: "http://127.0.0.1:3200/ready",
    },
    Program {
        name: KAFKA,
        commands: &["kafka-server-start.sh"],
        config: "configs/kafka/server.properties",
        before: Some((
            "kafka-storage.sh",
            &[
                "format",
                "--config",
                "{config}",
                "--cluster-id",
                "b3RlbGl4LWUyZS10ZXN0cw",
                "--ignore-formatted",
            ],
        )),
        arguments: &["{config}"],
        ready: "tcp://127.0.0.1:9092",
    },
];

/// The backends, running. Dropped, they are killed.
#[derive(Debug)]
pub struct Backends {
    /// Where Prometheus answers.
    pub prometheus: Prometheus,
    /// Where Loki answers.
    pub loki: Loki,
    /// Where Tempo answers.
    pub tempo: Tempo,
    folder: PathBuf,
    ports: Ports,
    running: BTreeMap<&'static str, Child>,
    http: Client,
}

impl Backends {
    /// The commands of these programs that this machine lacks; empty where all can start.
    #[must_use]
    pub fn missing(wanted: &[&str]) -> Vec<&'static str> {
        programs(wanted)
            .filter(|program| program.find().is_none())
            .filter_map(|program| program.commands.first().copied())
            .collect()
    }

    /// Starts those of these programs that this machine has, and waits until they are ready.
    /// Configuration, data and logs go to this folder.
    ///
    /// # Errors
    /// When one does not get ready.
    pub async fn start(folder: &Path, wanted: &[&str]) -> anyhow::Result<Self> {
        let mut ports = Ports::default();
        let http = Client::new();
        let mut backends = Self {
            prometheus: Prometheus::new(ports.rewrite("http://127.0.0.1:9090")?, http.clone()),
            loki: Loki::new(ports.rewrite("http://127.0.0.1:3100")?, http.clone()),
            tempo: Tempo::new(ports.rewrite("http://127.0.0.1:3200")?, http.clone()),
            folder: folder.to_owned(),
            ports,
            running: BTreeMap::new(),
            http,
        };
        let present: Vec<_> = programs(wanted)
            .filter(|program| program.find().is_some())
            .collect();
        for program in &present {
            backends.spawn(program).await?;
        }
        for program in &present {
            backends.ready(program).await?;
        }
        Ok(backends)
    }

    /// Where the collector receives OTLP by gRPC.
    ///
    /// # Errors
    /// When no port is free.
    pub fn otlp_grpc(&mut self) -> anyhow::Result<String> {
        self.ports.rewrite("http://127.0.0.1:4317")
    }

    /// Where the collector receives OTLP by HTTP, without the path of a signal.
    ///
    /// # Errors
    /// When no port is free.
    pub fn otlp_http(&mut self) -> anyhow::Result<String> {
        self.ports.rewrite("http://127.0.0.1:4318")
    }

    /// Where Kafka's clients begin, as HOST:PORT.
    ///
    /// # Errors
    /// When no port is free.
    pub fn kafka(&mut self) -> anyhow::Result<String> {
        self.ports.rewrite("127.0.0.1:9092")
    }

    /// Kills one of them as a loss of power would, and waits until it is gone.
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

    /// Starts one again, on the ports and with the data that it had, and waits until it is ready.
    ///
    /// # Errors
    /// When there is no such program, or it does not get ready.
    pub async fn start_again(&mut self, name: &str) -> anyhow::Result<()> {
        let program = programs(&[name])
            .next()
            .with_context(|| format!("no program {name}"))?;
        self.spawn(program).await?;
        self.ready(program).await
    }

    async fn spawn(&mut self, program: &Program) -> anyhow::Result<()> {
        let name = program.name;
        let file = program
            .find()
            .with_context(|| format!("{name} is missing"))?;
        let data = self.folder.join("data");
        fs::create_dir_all(&data)?;
        let config = fs::read_to_string(Path::new(ROOT).join(program.config))?;
        let path = self.folder.join(format!("{name}.yaml"));
        fs::write(&path, self.ports.rewrite(&config)?)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(name))?;
        let mut command = |file: &Path, arguments: &[&str]| -> anyhow::Result<Command> {
            let mut command = Command::new(file);
            for argument in arguments {
                let argument = argument
                    .replace("{config}", &path.to_string_lossy())
                    .replace("{data}", &data.to_string_lossy());
                command.arg(self.ports.rewrite(&argument)?);
            }
            command
                .env("OTELIX_DATA", &data)
                .current_dir(&self.folder)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log.try_clone()?)
                .kill_on_drop(true);
            Ok(command)
        };
        if let Some((before, arguments)) = program.before {
            let status = command(&file.with_file_name(before), arguments)?
                .status()
                .await?;
            ensure!(status.success(), "{before}: {status}");
        }
        let child = command(&file, program.arguments)?
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        self.running.insert(name, child);
        Ok(())
    }

    async fn ready(&mut self, program: &Program) -> anyhow::Result<()> {
        let name = program.name;
        let url = self.ports.rewrite(program.ready)?;
        let log = self.log(name);
        let child = self.running.get_mut(name).context("it does not run")?;
        let mut ended = None;
        let ready = eventually(PATIENCE, async || {
            ended = child.try_wait()?;
            if ended.is_some() {
                return Ok(());
            }
            match url.strip_prefix("tcp://") {
                Some(address) => drop(TcpStream::connect(address).await?),
                None => drop(self.http.get(&url).send().await?.error_for_status()?),
            }
            Ok(())
        });
        let ready = ready.await;
        if ready.is_err() || ended.is_some() {
            let log = fs::read_to_string(log).unwrap_or_default();
            bail!("{name} is not ready ({ended:?}, {ready:?}): {log}");
        }
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }
}

/// The programs of these names.
fn programs<'a>(wanted: &'a [&str]) -> impl Iterator<Item = &'static Program> + use<'a> {
    PROGRAMS
        .iter()
        .filter(|program| wanted.contains(&program.name))
}

#[derive(Debug)]
struct Program {
    name: &'static str,
    /// What it is called on PATH; of several, whichever is there.
    commands: &'static [&'static str],
    config: &'static str,
    /// What has to be done first, by a command of the same folder.
    before: Option<(&'static str, &'static [&'static str])>,
    arguments: &'static [&'static str],
    ready: &'static str,
}

impl Program {
    fn find(&self) -> Option<PathBuf> {
        static BUILT: OnceLock<OsString> = OnceLock::new();
        let built = BUILT.get_or_init(built);
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .chain(std::env::split_paths(built))
            .flat_map(|folder| self.commands.iter().map(move |name| folder.join(name)))
            .find(|file| file.is_file())
    }
}

/// The folders of what was built before.
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

/// The port that stands for each port of the configuration.
#[derive(Debug, Default)]
struct Ports(BTreeMap<u16, u16>);

impl Ports {
    fn get(&mut self, port: u16) -> anyhow::Result<u16> {
        if let Some(known) = self.0.get(&port) {
            return Ok(*known);
        }
        let free = free_port()?;
        self.0.insert(port, free);
        Ok(free)
    }

    /// Replaces every port of loopback, and every setting that is a port.
    fn rewrite(&mut self, text: &str) -> anyhow::Result<String> {
        let mut rewritten = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(length) = ["127.0.0.1:", "port: "]
            .iter()
            .filter_map(|mark| Some(rest.find(mark)? + mark.len()))
            .min()
        {
            let (before, after) = rest.split_at(length);
            let digits = after
                .find(|character: char| !character.is_ascii_digit())
                .unwrap_or(after.len());
            let (port, after) = after.split_at(digits);
            rewritten.push_str(before);
            if let Ok(port) = port.parse() {
                rewritten.push_str(&self.get(port)?.to_string());
            }
            rest = after;
        }
        rewritten.push_str(rest);
        Ok(rewritten)
    }
}

/// A port that nothing listens on. It is below those that the system hands out by itself, and other
/// processes begin their search elsewhere, so that nobody takes it before its program does.
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
