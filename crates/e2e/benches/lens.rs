//! Benchmark of what lens costs within `otelix`: calls of `Me` with and without it, and memory and processor time
//! without a call. Part of `just bench`.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use e2e::{
    Process,
    collector::sink,
    compare::{Candidate, Measured, compare},
    measure::{drive, print, table, wanted},
    system::sign_up,
};
use proto::auth::v1::MeRequest;
use tempfile::TempDir;

const CALLERS: usize = 64;
const ROUNDS: usize = 30;
const ROUND: Duration = Duration::from_secs(1);

/// Time in which nobody calls.
const IDLE: Duration = Duration::from_secs(20);

/// `otelix` with its data in a temporary folder.
#[derive(Debug)]
struct Otelix {
    process: Process,
    auth: SocketAddr,
    _folder: TempDir,
}

impl Measured for Otelix {
    fn processes(&self) -> Vec<&Process> {
        vec![&self.process]
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if wanted()?.is_none() {
        return Ok(());
    }
    idle().await?;
    let mut candidates = Vec::new();
    let mut people = HashMap::new();
    let sink = sink().await?;
    for (name, variable) in [
        ("off", ("LENS", "off")),
        ("off again", ("LENS", "off")),
        (
            "telemetry to a sink",
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &sink),
        ),
        ("lens", ("LENS", "on")),
    ] {
        let otelix = start(variable).await?;
        people.insert(otelix.auth, sign_up(otelix.auth).await?);
        candidates.push(Candidate::new(name, otelix));
    }
    let me = async |otelix: &Otelix| {
        let (client, token) = people.get(&otelix.auth).context("nobody")?.clone();
        drive(CALLERS, ROUND, move |_, _| {
            let (mut client, token) = (client.clone(), token.clone());
            async move { client.me(MeRequest { token }).await.map(drop) }
        })
        .await
    };
    print(&compare("otelix", &mut candidates, ROUNDS, me).await?)
}

/// Measures memory and processor time without a call.
async fn idle() -> anyhow::Result<()> {
    let mut report = table(["idle otelix", "MB", "processor s in 20 s"]);
    for (name, lens) in [("without lens", "off"), ("with lens", "on")] {
        let otelix = start(("LENS", lens)).await?;
        // The start itself is not meant.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = otelix.process.cpu()?;
        tokio::time::sleep(IDLE).await;
        let spent = otelix.process.cpu()? - before;
        report.add_row([
            name.to_owned(),
            format!("{:.1}", otelix.process.memory()? as f64 / 1e6),
            format!("{:.2}", spent.as_secs_f64()),
        ]);
    }
    print(&report)
}

async fn start(variable: (&str, &str)) -> anyhow::Result<Otelix> {
    let folder = tempfile::tempdir()?;
    let ports = [
        "PORT",
        "AUTH_PORT",
        "USER_PORT",
        "LENS_PORT",
        "OTLP_GRPC_PORT",
        "OTLP_HTTP_PORT",
    ];
    let mut variables = ports.map(|port| (port, "0")).to_vec();
    // As `cargo run` does it.
    let purge = ("MIMALLOC_PURGE_DELAY", "0");
    variables.extend([("LOG_FORMAT", "json"), purge, variable]);
    let mut process = Process::start("otelix", &[], &variables, folder.path())?;
    let line = process.line(|line| line.starts_with("  gRPC  ")).await?;
    let addresses = line.split_once("auth ").context("no address of auth")?.1;
    let auth = addresses.split(',').next().unwrap_or_default().parse()?;
    Ok(Otelix {
        process,
        auth,
        _folder: folder,
    })
}
