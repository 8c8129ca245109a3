//! Tests that a person follows their own registration through lens, in a real browser.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{
    Process,
    browser::{Browser, missing},
    system::eventually,
};
use fantoccini::{Client, Locator};
use libtest_mimic::Trial;

use crate::trial_with;

/// Deadline of each wait. Metrics are exported every five seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// The ports of `otelix` that must be free.
const PORTS: [&str; 6] = [
    "PORT",
    "AUTH_PORT",
    "USER_PORT",
    "LENS_PORT",
    "OTLP_GRPC_PORT",
    "OTLP_HTTP_PORT",
];

pub(crate) fn trials() -> Vec<Trial> {
    let walk = |name: &str, javascript| {
        trial_with(name, missing(), async move || {
            registration_is_followed(javascript).await
        })
    };
    vec![
        walk("lens::a_registration_is_followed_in_a_browser", true),
        walk("lens::a_registration_is_followed_without_javascript", false),
    ]
}

async fn registration_is_followed(javascript: bool) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let variables = PORTS.map(|port| (port, "0"));
    let mut otelix = Process::start("otelix", &[], &variables, folder.path())?;
    let banner = otelix.line(|line| line.starts_with("  open ")).await?;
    let pages = banner.split_whitespace().nth(1).context("no URL")?;
    let banner = otelix.line(|line| line.starts_with("  lens ")).await?;
    let lens = banner.split_whitespace().nth(1).context("no URL")?;

    let browser = Browser::start(javascript).await?;
    let page = &browser.client;
    page.goto(&format!("{pages}/register")).await?;
    for (field, text) in [
        ("email", "ann@example.com"),
        ("password", "correct horse battery"),
    ] {
        let field = Locator::Css(if field == "email" {
            "input[name=email]"
        } else {
            "input[name=password]"
        });
        page.find(field).await?.send_keys(text).await?;
    }
    page.find(Locator::Css("main form button"))
        .await?
        .click()
        .await?;
    page.wait()
        .at_most(PATIENCE)
        .for_element(Locator::Css("footer a"))
        .await?;

    // The first trace at the foot is that of the registration.
    let foot = page.find(Locator::Css("footer")).await?.text().await?;
    ensure!(foot.contains("signed in by trace"), "{foot}");
    click(page, "footer a").await?;
    let trace = page.current_url().await?;
    ensure!(
        trace.as_str().starts_with(&format!("{lens}/traces/")),
        "{trace}"
    );
    // Its last spans arrive about a second later.
    for text in [
        "POST /register",
        "auth.v1.AuthService/Register",
        "user.v1.UserService/CreateUser",
        "hash password",
        "INSERT users",
        "INSERT sessions",
        "process otelix.user.v1",
        "user created",
    ] {
        shows_soon(page, text).await?;
    }

    // To its log lines, and back.
    click(page, "main a[href^='/logs?']").await?;
    shows_soon(page, "user registered").await?;
    click(page, "a.trace").await?;
    let back = page.current_url().await?;
    ensure!(back.path() == trace.path(), "{back} instead of {trace}");

    // To a metric, and by an exemplar to the trace again.
    click(page, "nav a[href='/metrics']").await?;
    let metric = "a[href='/metrics/user.password.hash.duration']";
    eventually(PATIENCE, async || {
        page.refresh().await?;
        page.find(Locator::Css(metric)).await?;
        Ok(())
    })
    .await?;
    click(page, metric).await?;
    click(page, &format!("table a[href^='{}']", trace.path())).await?;
    shows_soon(page, "hash password").await?;

    let status = otelix.stop().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

async fn click(page: &Client, link: &str) -> anyhow::Result<()> {
    let link = page
        .find(Locator::Css(link))
        .await
        .with_context(|| link.to_owned())?;
    // A click on a link that is off the screen fails.
    let href = link.attr("href").await?.context("no link")?;
    let url = page.current_url().await?.join(&href)?;
    page.goto(url.as_str()).await?;
    Ok(())
}

async fn shows_soon(page: &Client, text: &str) -> anyhow::Result<()> {
    eventually(PATIENCE, async || {
        let body = page.find(Locator::Css("main")).await?.text().await?;
        if !body.contains(text) {
            page.refresh().await?;
        }
        ensure!(body.contains(text), "{text} is not in {body}");
        Ok(())
    })
    .await
}
