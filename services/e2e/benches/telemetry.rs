//! What telemetry costs the busiest call, `Me`: switched off, switched on, and with a collector that
//! is dead, refuses or hangs. Part of `just bench`.
//!
//! All run side by side and take turns in short rounds, so that what else the machine does falls
//! on all alike. The ratios are of one round each, to the mean of both that are off; the median of
//! them counts.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use e2e::{
    Collector, System,
    collector::{Answer, sink},
    measure::{Sample, drive, print, table},
};
use proto::auth::v1::{MeRequest, RegisterRequest, auth_service_client::AuthServiceClient};
use tonic::transport::Channel;

const CALLERS: usize = 64;
const ROUNDS: usize = 30;
const ROUND: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --benches` runs this too, with --test: then it is enough that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    ensure!(
        !cfg!(debug_assertions),
        "measure the release build: cargo bench"
    );
    let refusing = Collector::start_at("127.0.0.1:0", Answer::Refuse).await?;
    let hanging = Collector::start_at("127.0.0.1:0", Answer::Hang).await?;
    let mut candidates = Vec::new();
    for (name, endpoint) in [
        ("off", None),
        ("off again", None),
        ("on", Some(sink().await?)),
        ("on, dead collector", Some("http://127.0.0.1:1".to_owned())),
        ("on, refusing collector", Some(refusing.endpoint())),
        ("on, hanging collector", Some(hanging.endpoint())),
    ] {
        candidates.push(Candidate::start(name, endpoint).await?);
    }

    for round in 0..ROUNDS {
        // Another one begins each time.
        let count = candidates.len();
        for turn in 0..count {
            candidates[(round + turn) % count].round().await?;
        }
    }

    let mut report = table([
        "telemetry",
        "calls/s",
        "of off",
        "p99 ms",
        "of off",
        "\u{b5}s processor a call",
        "of off",
        "user MB",
        "auth MB",
    ]);
    let [off, again, ..] = candidates.as_slice() else {
        bail!("no candidates");
    };
    for candidate in &candidates {
        let value = |figure: fn(&Round) -> f64| median(candidate.rounds.iter().map(figure));
        let ratio = |figure: fn(&Round) -> f64| {
            let off = off.rounds.iter().zip(&again.rounds);
            let off = off.map(|(one, other)| (figure(one) + figure(other)) / 2.0);
            let rounds = candidate.rounds.iter().zip(off);
            median(rounds.map(|(this, off)| figure(this) / off))
        };
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        report.add_row([
            candidate.name.to_owned(),
            format!("{:.0}", value(|round| round.calls.rate)),
            format!("{:.3}", ratio(|round| round.calls.rate)),
            format!("{:.2}", value(|round| round.calls.p99) * 1e3),
            format!("{:.3}", ratio(|round| round.calls.p99)),
            format!("{:.1}", value(|round| round.processor) * 1e6),
            format!("{:.3}", ratio(|round| round.processor)),
            megabytes(candidate.system.user.memory()?),
            megabytes(candidate.system.auth.memory()?),
        ]);
    }
    print(&report)
}

/// The services with one setting of telemetry.
struct Candidate {
    name: &'static str,
    system: System,
    auth: Channel,
    token: String,
    rounds: Vec<Round>,
}

struct Round {
    calls: Sample,
    /// Seconds of processor time that `auth` and `user` spent on a call.
    processor: f64,
}

impl Candidate {
    async fn start(name: &'static str, endpoint: Option<String>) -> anyhow::Result<Self> {
        let system = match &endpoint {
            None => System::start(&[("OTEL_SDK_DISABLED", "true")]).await?,
            Some(endpoint) => System::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]).await?,
        };
        let auth = Channel::from_shared(format!("http://{}", system.auth_address))?
            .tcp_nodelay(true)
            .connect()
            .await?;
        let request = RegisterRequest {
            email: "bench@example.com".to_owned(),
            password: "correct horse battery".to_owned(),
        };
        let answer = AuthServiceClient::new(auth.clone())
            .register(request)
            .await?;
        let session = answer.into_inner().session.context("no session")?;
        Ok(Self {
            name,
            system,
            auth,
            token: session.token,
            rounds: Vec::new(),
        })
    }

    async fn round(&mut self) -> anyhow::Result<()> {
        let before = self.processor()?;
        let (auth, token) = (self.auth.clone(), self.token.clone());
        let calls = drive(CALLERS, ROUND, move |_, _| {
            let mut client = AuthServiceClient::new(auth.clone());
            let token = token.clone();
            async move { client.me(MeRequest { token }).await.map(drop) }
        })
        .await?;
        let spent = self.processor()? - before;
        self.rounds.push(Round {
            processor: spent.as_secs_f64() / calls.count as f64,
            calls,
        });
        Ok(())
    }

    fn processor(&self) -> anyhow::Result<Duration> {
        Ok(self.system.user.cpu()? + self.system.auth.cpu()?)
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
