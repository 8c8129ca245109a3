//! Preparation before the run: waits for the target, and registers the first accounts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tracing::Instrument as _;

use crate::{Config, visit::World};

/// Delay between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// Number of accounts that are registered concurrently: enough to be fast, and too few to be a
/// load.
const AT_A_TIME: u16 = 4;

/// Waits until the target is ready, and registers the first accounts.
///
/// # Errors
/// When the target is not ready in time, or refuses an account for as long.
pub(crate) async fn prepare(world: &Arc<World>, config: &Config) -> anyhow::Result<()> {
    let wait = config.wait;
    let started = Instant::now();
    while !world.target.is_ready().await {
        anyhow::ensure!(
            started.elapsed() < wait,
            "{} did not become ready within {}",
            config.target,
            humantime::format_duration(wait),
        );
        tokio::time::sleep(PAUSE).await;
    }

    let mut registrars = JoinSet::new();
    for registrar in 0..AT_A_TIME {
        let world = Arc::clone(world);
        let share = (registrar..config.accounts)
            .step_by(usize::from(AT_A_TIME))
            .len();
        registrars.spawn(
            async move {
                for _ in 0..share {
                    register(&world, wait).await?;
                }
                anyhow::Ok(())
            }
            .instrument(tracing::info_span!(parent: None, "prepare")),
        );
    }
    while let Some(outcome) = registrars.join_next().await {
        outcome??;
    }
    Ok(())
}

async fn register(world: &World, wait: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        match world.settle(0).await {
            Ok(_) => return Ok(()),
            Err(kind) => anyhow::ensure!(
                started.elapsed() < wait,
                "cannot register an account: {kind}"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
