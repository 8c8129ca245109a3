//! A cluster of three Kafka brokers, which are controllers too. Its configuration is that of the stack, except for what
//! differs between one broker and three.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    compose::ROOT,
    stack::{self, variables},
    system::eventually,
};

/// The number of brokers.
pub const BROKERS: usize = 3;

/// Time limit for a broker to listen, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The id that all brokers of the cluster have in their folders.
const ID: &str = "b3RlbGl4LWNsdXN0ZXIta2";

/// Running brokers. They are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    brokers: Vec<Broker>,
}

#[derive(Debug)]
struct Broker {
    folder: PathBuf,
    port: String,
    running: Option<Child>,
}

impl Cluster {
    /// Starts all brokers, with their data below this folder.
    ///
    /// # Errors
    /// When one does not start.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        let mut ports = Vec::new();
        for _ in 0..BROKERS {
            let mut variables = variables(folder)?;
            let mut port = |name| variables.remove(name).context("no such port");
            ports.push((port("BROKER_PORT")?, port("BROKER_CONTROLLER_PORT")?));
        }
        let voters = (1..).zip(&ports);
        let voters: Vec<_> = voters
            .map(|(id, (_, controller))| format!("{id}@127.0.0.1:{controller}"))
            .collect();
        let mut brokers = Vec::new();
        for (id, (port, controller)) in (1..).zip(ports) {
            let broker = Broker {
                folder: folder.join(format!("broker-{id}")),
                port,
                running: None,
            };
            broker.prepare(id, &controller, &voters.join(",")).await?;
            brokers.push(broker);
        }
        let mut cluster = Self { brokers };
        for broker in &mut cluster.brokers {
            broker.spawn()?;
        }
        for broker in &mut cluster.brokers {
            broker.ready().await?;
        }
        Ok(cluster)
    }

    /// The addresses of all brokers, for `KAFKA_BROKERS`.
    #[must_use]
    pub fn addresses(&self) -> String {
        let addresses = self.brokers.iter();
        let addresses: Vec<_> = addresses
            .map(|broker| format!("127.0.0.1:{}", broker.port))
            .collect();
        addresses.join(",")
    }

    /// Kills a broker, by its number from 0.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        let running = self.brokers[number].running.take();
        running.context("it does not run")?.kill().await?;
        Ok(())
    }

    /// Starts a killed broker again, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub async fn start_again(&mut self, number: usize) -> anyhow::Result<()> {
        self.brokers[number].spawn()?;
        self.brokers[number].ready().await
    }
}

impl Broker {
    /// Writes its configuration, and formats its folder.
    async fn prepare(&self, id: usize, controller: &str, voters: &str) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let listener = format!("PLAINTEXT://127.0.0.1:{}", self.port);
        let listeners = format!("{listener},CONTROLLER://127.0.0.1:{controller}");
        let id = id.to_string();
        let mut different = BTreeMap::from([
            ("node.id", id.as_str()),
            ("controller.quorum.voters", voters),
            ("listeners", &listeners),
            ("advertised.listeners", &listener),
            ("offsets.topic.replication.factor", "3"),
            ("transaction.state.log.replication.factor", "3"),
            ("transaction.state.log.min.isr", "2"),
            ("share.coordinator.state.topic.replication.factor", "3"),
            ("share.coordinator.state.topic.min.isr", "2"),
        ]);
        let common = fs::read_to_string(Path::new(ROOT).join("configs/kafka/server.properties"))?;
        let replaced = |line: &str| {
            let key = line.split('=').next().unwrap_or_default();
            match different.remove(key) {
                Some(value) => format!("{key}={value}\n"),
                None => format!("{line}\n"),
            }
        };
        let text: String = common.lines().map(replaced).collect();
        ensure!(
            different.is_empty(),
            "server.properties lacks {different:?}"
        );
        fs::write(self.configuration(), text)?;
        let mut format = self.command("kafka-storage.sh")?;
        format.args(["format", "--cluster-id", ID, "--config"]);
        let status = format.arg(self.configuration()).status().await?;
        ensure!(status.success(), "{status}: {}", self.said());
        Ok(())
    }

    fn spawn(&mut self) -> anyhow::Result<()> {
        let mut start = self.command("kafka-server-start.sh")?;
        let child = start.arg(self.configuration()).spawn();
        self.running = Some(child.context("cannot start Kafka")?);
        Ok(())
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let address = format!("127.0.0.1:{}", self.port);
        let running = self.running.as_mut().context("it does not run")?;
        let listens = eventually(PATIENCE, async || {
            ensure!(running.try_wait()?.is_none(), "it has ended");
            TcpStream::connect(&address).await?;
            Ok(())
        });
        let listens = listens.await;
        listens.with_context(|| self.said())
    }

    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let settings = Path::new(ROOT).join("configs/kafka/log4j2.yaml");
        let mut command = Command::new(program);
        command
            .env("PATH", stack::path()?)
            .env("OTELIX_DATA", &self.folder)
            .env("KAFKA_HEAP_OPTS", "-Xms128M -Xmx384M")
            .env("LOG_DIR", &self.folder)
            .env("EXTRA_ARGS", "-name kafkaServer")
            .env(
                "KAFKA_LOG4J_OPTS",
                format!("-Dlog4j2.configurationFile={}", settings.display()),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        Ok(command)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("broker.log")
    }

    /// Its log so far.
    fn said(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }
}
