//! Tests of the load generator with a thousand journeys, over HTTP and over gRPC.

use anyhow::{Context as _, ensure};
use e2e::{Process, System};
use libtest_mimic::Trial;
use serde_json::Value;

use crate::trial;

/// Hashes that cost little. At the default costs, a slow machine would be overloaded by the sign-ins.
const CHEAP_HASHES: [(&str, &str); 2] = [("HASH_MEMORY_KIB", "1024"), ("HASH_ITERATIONS", "1")];

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "load::a_thousand_journeys_through_the_frontend_go_as_expected",
            async || {
                let system = System::start(&CHEAP_HASHES).await?;
                thousand_journeys(&system, &system.url("")).await
            },
        ),
        trial(
            "load::a_thousand_journeys_through_auth_go_as_expected",
            async || {
                let system = System::start(&CHEAP_HASHES).await?;
                thousand_journeys(&system, &format!("grpc://{}", system.auth_address)).await
            },
        ),
        trial("load::a_service_that_is_down_is_noticed", async || {
            let mut system = System::start(&[]).await?;
            system.user.signal(nix::sys::signal::Signal::SIGKILL)?;
            system.user.ended().await?;
            let arguments = [
                "--target",
                &system.url(""),
                "--count=5",
                "--wait=1s",
                "--json",
            ];
            let mut loadgen = Process::start("loadgen", &arguments, &[], system.folder.path())?;
            let status = loadgen.ended().await?;
            ensure!(
                status.code() == Some(1),
                "{status}: {:#?}",
                loadgen.output()
            );
            Ok(())
        }),
    ]
}

async fn thousand_journeys(system: &System, target: &str) -> anyhow::Result<()> {
    let arguments = [
        "--target",
        target,
        "--count=1000",
        "--rate=40",
        "--duration=forever",
        "--seed=1",
        "--bad=0.2",
        "--json",
    ];
    let mut loadgen = Process::start("loadgen", &arguments, &[], system.folder.path())?;
    let status = loadgen.ended().await?;
    let output = loadgen.output();
    ensure!(status.success(), "{status}: {output:#?}");
    // Only the report goes to stdout, and nothing to stderr.
    let report: Value = serde_json::from_str(&output.join("\n")).context("no report")?;
    ensure!(report["passed"] == true, "{report:#}");
    ensure!(report["total"]["count"] == 1000, "{report:#}");
    let journeys = report["rows"].as_array().context("no rows")?;
    ensure!(
        journeys.len() == 8,
        "each journey, with good and bad input: {report:#}"
    );
    Ok(())
}
