//! Benchmark of the cost of telemetry for the most frequent call, `Me`: off, on, and with a collector
//! that is dead, refuses data or hangs. Part of `just bench`.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use e2e::{
    Collector, System,
    collector::{Answer, sink},
    compare::{Candidate, compare},
    measure::{drive, print, wanted},
    system::sign_up,
};
use proto::auth::v1::MeRequest;

const CALLERS: usize = 64;
const ROUNDS: usize = 30;
const ROUND: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if wanted()?.is_none() {
        return Ok(());
    }
    let refusing = Collector::start_at("127.0.0.1:0", Answer::Refuse).await?;
    let hanging = Collector::start_at("127.0.0.1:0", Answer::Hang).await?;
    let mut candidates = Vec::new();
    let mut people = HashMap::new();
    for (name, endpoint) in [
        ("off", None),
        ("off again", None),
        ("on", Some(sink().await?)),
        ("on, dead collector", Some("http://127.0.0.1:1".to_owned())),
        ("on, refusing collector", Some(refusing.endpoint())),
        ("on, hanging collector", Some(hanging.endpoint())),
    ] {
        let system = match &endpoint {
            None => System::start(&[("OTEL_SDK_DISABLED", "true")]).await?,
            Some(endpoint) => System::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).await?,
        };
        people.insert(system.auth_address, sign_up(system.auth_address).await?);
        candidates.push(Candidate::new(name, system));
    }
    let me = async |system: &System| {
        let (client, token) = people.get(&system.auth_address).context("nobody")?.clone();
        drive(CALLERS, ROUND, move |_, _| {
            let (mut client, token) = (client.clone(), token.clone());
            async move { client.me(MeRequest { token }).await.map(drop) }
        })
        .await
    };
    print(&compare("telemetry", &mut candidates, ROUNDS, me).await?)
}
