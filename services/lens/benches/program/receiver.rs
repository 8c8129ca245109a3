//! Receivers of OTLP as processes.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use anyhow::Context as _;
use e2e::Process;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tonic::transport::Channel;

/// A running receiver. When it is dropped, it is killed and its data is removed.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) process: Process,
    /// The address that takes OTLP over gRPC.
    otlp: SocketAddr,
    /// The address of the pages, if this is lens.
    pub(crate) pages: Option<SocketAddr>,
    _folder: TempDir,
}

impl Receiver {
    /// Lens with these settings, on free ports.
    pub(crate) async fn lens(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_lens"));
        command.env_clear().current_dir(&folder);
        for port in ["PORT", "OTLP_GRPC_PORT", "OTLP_HTTP_PORT"] {
            command.env(port, "0");
        }
        command
            .env("LOG_FORMAT", "json")
            // As in each way to start lens that the docs have.
            .env("MIMALLOC_PURGE_DELAY", "0")
            .envs(settings.iter().copied());
        let mut process = Process::spawn("lens", command)?;
        let ready = process.line(|line| line.contains("\"ready\"")).await?;
        let ready: Value = serde_json::from_str(&ready)?;
        let pages = ready["address"].as_str().context("no address")?.parse()?;
        let otlp = ready["otlp"].as_str().context("no OTLP addresses")?;
        let otlp = otlp.trim_matches(['[', ']']).split(", ").next();
        Ok(Self {
            process,
            otlp: otlp.context("no OTLP address")?.parse()?,
            pages: Some(pages),
            _folder: folder,
        })
    }

    /// The OpenTelemetry Collector, which writes lines about what it received to stderr.
    pub(crate) async fn collector() -> anyhow::Result<Option<Self>> {
        Self::other(
            "otelcol",
            "exporters: {debug: {verbosity: basic}}",
            "debug",
            "",
        )
        .await
    }

    /// Jaeger with its store in memory, which keeps the newest 100,000 traces.
    pub(crate) async fn jaeger() -> anyhow::Result<Option<Self>> {
        let storage = "exporters: {jaeger_storage_exporter: {trace_storage: memory}}\n\
            extensions: {jaeger_storage: {backends: {memory: {memory: {max_traces: 100000}}}}}";
        Self::other(
            "jaeger",
            storage,
            "jaeger_storage_exporter",
            "jaeger_storage",
        )
        .await
    }

    /// A program that is built of the collector's parts, if it is on PATH.
    async fn other(
        name: &str,
        parts: &str,
        exporter: &str,
        extension: &str,
    ) -> anyhow::Result<Option<Self>> {
        let Some(path) = on_path(name) else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        // It cannot say which port it chose. Another program could take this one before it starts.
        let otlp = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let file = folder.path().join("config.yaml");
        let text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: \"{otlp}\"}}}}}}}}\n{parts}\nservice:\n\
            \x20 telemetry: {{metrics: {{level: none}}}}\n  extensions: [{extension}]\n\
            \x20 pipelines: {{traces: {{receivers: [otlp], exporters: [{exporter}]}}}}\n"
        );
        fs::write(&file, text)?;
        let mut command = Command::new(path);
        command.arg("--config").arg(&file).current_dir(&folder);
        let mut process = Process::spawn(name, command)?;
        process
            .line(|line| line.contains("Everything is ready"))
            .await?;
        Ok(Some(Self {
            process,
            otlp,
            pages: None,
            _folder: folder,
        }))
    }

    /// A new connection.
    pub(crate) async fn connect(&self) -> anyhow::Result<Channel> {
        Ok(Channel::from_shared(format!("http://{}", self.otlp))?
            .tcp_nodelay(true)
            .connect()
            .await?)
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
