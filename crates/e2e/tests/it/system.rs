//! Tests of the three services when one of them is down.

use std::time::{Duration, Instant};

use anyhow::ensure;
use e2e::{System, system::eventually};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use reqwest::{Client, StatusCode, redirect::Policy};

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "system::a_killed_user_service_is_unavailable_until_it_is_back",
            async || dies_and_comes_back().await,
        ),
        trial(
            "system::calls_of_a_hanging_user_service_fail_in_time",
            async || hangs_and_goes_on().await,
        ),
        trial(
            "system::every_process_stops_cleanly_when_asked_to",
            async || {
                let system = System::start(&[]).await?;
                register(&system, "ann@example.com").await?;
                for process in [system.frontend, system.auth, system.user] {
                    let status = process.stop().await?;
                    ensure!(status.success(), "{status}");
                }
                Ok(())
            },
        ),
        trial("system::the_status_page_shows_what_is_down", async || {
            status_tells_what_is_down().await
        }),
    ]
}

async fn status_tells_what_is_down() -> anyhow::Result<()> {
    let mut system = System::start(&[]).await?;
    ensure!(parts_down(&system).await? == 0);

    system.user.signal(Signal::SIGKILL)?;
    system.user.ended().await?;
    // The frontend caches the answers for a second.
    eventually(Duration::from_secs(5), async || {
        let down = parts_down(&system).await?;
        ensure!(down == 1, "{down} parts are not ready");
        Ok(())
    })
    .await
}

async fn dies_and_comes_back() -> anyhow::Result<()> {
    let mut system = System::start(&[]).await?;
    ensure!(register(&system, "ann@example.com").await? == StatusCode::SEE_OTHER);

    system.user.signal(Signal::SIGKILL)?;
    system.user.ended().await?;
    ensure!(register(&system, "bob@example.com").await? == StatusCode::SERVICE_UNAVAILABLE);

    system.restart_user().await?;
    eventually(Duration::from_secs(5), async || {
        let status = register(&system, "bob@example.com").await?;
        ensure!(status == StatusCode::SEE_OTHER, "{status}");
        Ok(())
    })
    .await?;
    ensure!(login(&system, "ann@example.com").await? == StatusCode::SEE_OTHER);
    Ok(())
}

async fn hangs_and_goes_on() -> anyhow::Result<()> {
    let system = System::start(&[]).await?;
    ensure!(register(&system, "ann@example.com").await? == StatusCode::SEE_OTHER);

    system.user.signal(Signal::SIGSTOP)?;
    let started = Instant::now();
    ensure!(login(&system, "ann@example.com").await? == StatusCode::SERVICE_UNAVAILABLE);
    ensure!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );

    system.user.signal(Signal::SIGCONT)?;
    eventually(Duration::from_secs(10), async || {
        let status = login(&system, "ann@example.com").await?;
        ensure!(status == StatusCode::SEE_OTHER, "{status}");
        Ok(())
    })
    .await
}

async fn parts_down(system: &System) -> anyhow::Result<usize> {
    let page = client()?.get(system.url("/status")).send().await?;
    Ok(page.text().await?.matches("Not ready").count())
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().redirect(Policy::none()).build()?)
}

async fn register(system: &System, email: &str) -> anyhow::Result<StatusCode> {
    post(system, "/register", email).await
}

async fn login(system: &System, email: &str) -> anyhow::Result<StatusCode> {
    post(system, "/login", email).await
}

async fn post(system: &System, path: &str, email: &str) -> anyhow::Result<StatusCode> {
    let form = [("email", email), ("password", "correct horse battery")];
    let response = client()?.post(system.url(path)).form(&form).send().await?;
    Ok(response.status())
}
