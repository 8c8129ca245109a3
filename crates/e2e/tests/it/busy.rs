//! A system under constant load, with valid and invalid input, and the stack that observes it.

use anyhow::{Context as _, bail};
use e2e::{Process, Stack, System};
use events::Broker;
use reqwest::{Client, StatusCode};
use tempfile::TempDir;

use crate::shared::Start;

/// The backends that every dashboard needs.
pub(crate) const BACKENDS: &[&str] = &[
    "otel-collector",
    "admission",
    "prometheus",
    "alertmanager",
    "loki",
    "tempo",
];

/// The process of Grafana, which runs if this machine has it.
pub(crate) const GRAFANA: &str = "grafana";

/// A system under load, and its stack.
pub(crate) struct Busy {
    pub(crate) stack: Stack,
    /// The folder of the stack's data and logs.
    pub(crate) folder: TempDir,
    _load: Process,
    _system: System,
    _broker: Broker,
}

impl Start for Busy {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let wanted = [BACKENDS, &[GRAFANA]].concat();
        let stack = Stack::start(folder.path(), &wanted).await?;
        let broker = Broker::start(6)?;
        let collector = stack.otlp_grpc();
        let system = System::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector),
            ("KAFKA_BROKERS", &broker.address().to_string()),
        ])
        .await?;
        guess(&system).await?;
        let target = system.url("");
        let arguments = [
            "--target",
            &target,
            "--rate=5",
            "--duration=forever",
            "--accounts=2",
        ];
        let environment = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str())];
        let load = Process::start("loadgen", &arguments, &environment, system.folder.path())
            .context("no load")?;
        Ok(Self {
            stack,
            folder,
            _load: load,
            _system: system,
            _broker: broker,
        })
    }
}

/// Tries wrong passwords for an account until the limit refuses an attempt.
async fn guess(system: &System) -> anyhow::Result<()> {
    let http = Client::new();
    for attempt in 0..20 {
        let form = [
            ("email", "victim@example.org"),
            ("password", &format!("a guess, {attempt}")),
        ];
        let answer = http.post(system.url("/login")).form(&form).send().await?;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            return Ok(());
        }
    }
    bail!("no attempt was refused")
}
