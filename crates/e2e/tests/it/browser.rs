//! Tests of the pages in a real browser.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{
    Collector, System,
    browser::{Browser, missing},
};
use events::Broker;
use fantoccini::{Client, Locator};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;
use reqwest::{StatusCode, redirect::Policy};

use crate::trial_with;

const PASSWORD: &str = "correct horse battery";

/// Deadline of each wait.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_with(
            "browser::a_person_registers_signs_out_and_signs_in_again",
            missing(),
            async || {
                let system = System::start(&[]).await?;
                let browser = Browser::start(true).await?;
                registers_signs_out_and_signs_in(&browser.client, &system).await
            },
        ),
        trial_with(
            "browser::registering_and_signing_in_work_without_javascript",
            missing(),
            async || {
                let system = System::start(&[]).await?;
                let browser = Browser::start(false).await?;
                registers_signs_out_and_signs_in(&browser.client, &system).await
            },
        ),
        trial_with(
            "browser::a_mistake_is_explained_beside_its_field",
            missing(),
            mistakes_are_explained,
        ),
        trial_with(
            "browser::typed_text_is_kept_when_a_service_is_down",
            missing(),
            typed_text_survives,
        ),
        trial_with(
            "browser::the_pages_work_by_keyboard_alone",
            missing(),
            works_by_keyboard,
        ),
        trial_with(
            "browser::every_instance_shows_new_activity_at_once",
            missing(),
            activity_is_seen,
        ),
        trial_with(
            "browser::a_refused_stream_is_shown_and_opened_later",
            missing(),
            refused_stream_is_shown,
        ),
        trial_with(
            "browser::the_activity_page_works_without_javascript",
            missing(),
            activity_is_seen_without_javascript,
        ),
    ]
}

async fn registers_signs_out_and_signs_in(page: &Client, system: &System) -> anyhow::Result<()> {
    page.goto(&system.url("/register")).await?;
    fill(page, "ann@example.com", PASSWORD).await?;
    wait_for_path(page, "/account").await?;
    shows(page, "ann@example.com").await?;
    let trace = trace_id(page).await?;
    ensure!(
        trace.len() == 32 && trace.chars().all(|c| c.is_ascii_hexdigit()),
        "{trace}"
    );

    let cookies = page.get_all_cookies().await?;
    let cookie = cookies.first().context("no cookie")?;
    ensure!(cookie.http_only() == Some(true), "{cookie:?}");

    sign_out(page).await?;
    page.goto(&system.url("/account")).await?;
    wait_for_path(page, "/login").await?;

    fill(page, "Ann@Example.com", PASSWORD).await?;
    wait_for_path(page, "/account").await?;
    shows(page, "ann@example.com").await?;
    ensure!(trace_id(page).await? != trace, "two pages have one trace");
    sign_out(page).await
}

async fn mistakes_are_explained() -> anyhow::Result<()> {
    let system = System::start(&[]).await?;
    let browser = Browser::start(true).await?;
    let page = &browser.client;

    page.goto(&system.url("/register")).await?;
    // The browser's own validation is switched off, because the server must not rely on it.
    page.execute("document.forms[0].noValidate = true", vec![])
        .await
        .ok();
    fill(page, "ann@example", "short").await?;
    let email = page
        .wait()
        .for_element(Locator::Css("input[name=email][aria-invalid=true]"))
        .await?;
    ensure!(
        email.prop("value").await?.as_deref() == Some("ann@example"),
        "the email is kept"
    );
    let described = email
        .attr("aria-describedby")
        .await?
        .context("no description")?;
    let mut texts = String::new();
    for id in described.split_whitespace() {
        texts += &page.find(Locator::Id(id)).await?.text().await?;
    }
    ensure!(texts.contains("email address"), "{texts}");
    let password = page.find(Locator::Css("input[name=password]")).await?;
    ensure!(
        password.prop("value").await?.as_deref() == Some(""),
        "the password is not kept"
    );
    let focused = page.active_element().await?;
    ensure!(
        focused.attr("name").await?.as_deref() == Some("email"),
        "focus is elsewhere"
    );

    page.goto(&system.url("/login")).await?;
    fill(page, "nobody@example.com", PASSWORD).await?;
    page.wait()
        .for_element(Locator::Css("[role=alert]"))
        .await?;
    shows(page, "nobody@example.com").await.ok();
    ensure!(!page.source().await?.contains(PASSWORD));
    Ok(())
}

async fn typed_text_survives() -> anyhow::Result<()> {
    let mut system = System::start(&[]).await?;
    let browser = Browser::start(true).await?;
    let page = &browser.client;
    page.goto(&system.url("/register")).await?;

    system.user.signal(Signal::SIGKILL)?;
    system.user.ended().await?;
    fill(page, "ann@example.com", PASSWORD).await?;
    page.wait()
        .for_element(Locator::Css("[role=alert]"))
        .await?;
    let email = page.find(Locator::Css("input[name=email]")).await?;
    ensure!(email.prop("value").await?.as_deref() == Some("ann@example.com"));

    system.restart_user().await?;
    fill(page, "ann@example.com", PASSWORD).await?;
    wait_for_path(page, "/account").await
}

async fn works_by_keyboard() -> anyhow::Result<()> {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    let system = System::start(&[]).await?;
    let browser = Browser::start(true).await?;
    let page = &browser.client;
    page.goto(&system.url("/register")).await?;
    let email = page.find(Locator::Css("input[name=email]")).await?;
    email.send_keys(&format!("ann@example.com{TAB}")).await?;
    let password = page.active_element().await?;
    ensure!(
        password.attr("name").await?.as_deref() == Some("password"),
        "tab order"
    );
    password.send_keys(&format!("{PASSWORD}{ENTER}")).await?;
    wait_for_path(page, "/account").await
}

async fn activity_is_seen() -> anyhow::Result<()> {
    let broker = Broker::start(6)?;
    let brokers = broker.address().to_string();
    // Events name traces that are exported.
    let collector = Collector::start().await?;
    let endpoint = collector.endpoint();
    let variables = [
        ("KAFKA_BROKERS", brokers.as_str()),
        ("GRAFANA_URL", "http://grafana.example:3000"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
    ];
    let system = System::start(&variables).await?;
    let (_another, address) = system.another_frontend(&variables).await?;
    let browser = Browser::start(true).await?;
    let page = &browser.client;
    page.goto(&system.url("/activity")).await?;
    link_is(page, "Live").await?;
    // A reload would lose this variable.
    page.execute("window.isSame = true", vec![]).await?;

    register(&system).await?;
    // Two processes made the events, perhaps within a millisecond, so either may be the newer one.
    e2e::system::eventually(PATIENCE, async || {
        let mut states = Vec::new();
        for state in page.find_all(Locator::Css("#events .state")).await? {
            states.push(state.text().await?);
        }
        states.sort();
        let wanted = ["Registered", "Signed in by registering"];
        ensure!(states == wanted, "{states:?}");
        Ok(())
    })
    .await?;
    let same = page.execute("return window.isSame", vec![]).await?;
    ensure!(same == true, "the page was reloaded");
    let mut traces = Vec::new();
    for link in page.find_all(Locator::Css("#events a")).await? {
        let (trace, href) = (link.text().await?, link.attr("href").await?);
        let href = href.context("no link")?;
        ensure!(
            trace.len() == 32
                && href.starts_with("http://grafana.example")
                && href.contains(&trace),
            "{trace}: {href}"
        );
        traces.push(trace);
    }
    ensure!(
        traces.len() == 2 && traces[0] == traces[1],
        "both events come from one request: {traces:?}"
    );
    ensure!(
        !page.source().await?.contains("ann@example.com"),
        "an email is shown"
    );

    // The page as the other instance has rendered it, before any script.
    e2e::system::eventually(PATIENCE, async || {
        let text = reqwest::get(format!("http://{address}/activity")).await?;
        let count = text.text().await?.matches(&traces[0]).count();
        ensure!(count >= 2, "the other instance does not have both events");
        Ok(())
    })
    .await?;

    drop(broker);
    // Another program may get one of its ports and accept connections. Then a client needs long to give up.
    page.wait()
        .at_most(4 * PATIENCE)
        .for_element(Locator::Css("#notice .alert"))
        .await?;
    Ok(())
}

async fn refused_stream_is_shown() -> anyhow::Result<()> {
    let broker = Broker::start(6)?;
    let system = System::start(&[("KAFKA_BROKERS", &broker.address().to_string())]).await?;
    // Opens all streams that one address may have.
    let mut streams = Vec::new();
    loop {
        let stream = reqwest::get(system.url("/activity/events")).await?;
        if stream.status() == StatusCode::TOO_MANY_REQUESTS {
            break;
        }
        ensure!(stream.status() == StatusCode::OK, "{}", stream.status());
        streams.push(stream);
    }
    register(&system).await?;

    let browser = Browser::start(true).await?;
    let page = &browser.client;
    page.goto(&system.url("/activity")).await?;
    link_is(page, "Not live").await?;
    let reload = page.find(Locator::Id("reload")).await?;
    ensure!(reload.is_displayed().await?, "the page cannot be reloaded");
    e2e::system::eventually(PATIENCE, async || {
        page.refresh().await?;
        shows(page, "Registered").await
    })
    .await?;
    link_is(page, "Not live").await?;

    // The script retries within 15 s.
    drop(streams);
    link_is(page, "Live").await?;
    let reload = page.find(Locator::Id("reload")).await?;
    ensure!(!reload.is_displayed().await?);
    Ok(())
}

/// Waits until the page shows this state of its event stream.
async fn link_is(page: &Client, state: &str) -> anyhow::Result<()> {
    e2e::system::eventually(2 * PATIENCE, async || {
        let text = page.find(Locator::Id("link")).await?.text().await?;
        ensure!(text == state, "{text}");
        Ok(())
    })
    .await
}

async fn activity_is_seen_without_javascript() -> anyhow::Result<()> {
    let broker = Broker::start(6)?;
    let system = System::start(&[("KAFKA_BROKERS", &broker.address().to_string())]).await?;
    let browser = Browser::start(false).await?;
    let page = &browser.client;
    page.goto(&system.url("/activity")).await?;
    shows(page, "Nothing has happened yet").await?;
    register(&system).await?;
    e2e::system::eventually(PATIENCE, async || {
        page.find(Locator::Id("reload")).await?.click().await?;
        shows(page, "Registered").await?;
        shows(page, "Signed in by registering").await
    })
    .await
}

/// Creates an account, from another browser.
async fn register(system: &System) -> anyhow::Result<()> {
    let browser = reqwest::Client::builder()
        .redirect(Policy::none())
        .build()?;
    let form = [("email", "ann@example.com"), ("password", PASSWORD)];
    let request = browser.post(system.url("/register")).form(&form);
    let status = request.send().await?.status();
    ensure!(status == StatusCode::SEE_OTHER, "{status}");
    Ok(())
}

async fn fill(page: &Client, email: &str, password: &str) -> anyhow::Result<()> {
    let field = page
        .wait()
        .for_element(Locator::Css("input[name=email]"))
        .await?;
    field.clear().await?;
    field.send_keys(email).await?;
    let field = page.find(Locator::Css("input[name=password]")).await?;
    field.send_keys(password).await?;
    page.find(Locator::Css("main form button"))
        .await?
        .click()
        .await?;
    Ok(())
}

async fn sign_out(page: &Client) -> anyhow::Result<()> {
    page.find(Locator::Css("form[action='/logout'] button"))
        .await?
        .click()
        .await?;
    wait_for_path(page, "/").await
}

async fn wait_for_path(page: &Client, path: &str) -> anyhow::Result<()> {
    e2e::system::eventually(PATIENCE, async || {
        let url = page.current_url().await?;
        ensure!(url.path() == path, "at {url} instead of {path}");
        Ok(())
    })
    .await
}

async fn shows(page: &Client, text: &str) -> anyhow::Result<()> {
    let body = page.find(Locator::Css("body")).await?.text().await?;
    ensure!(body.contains(text), "{text} is not in {body}");
    Ok(())
}

async fn trace_id(page: &Client) -> anyhow::Result<String> {
    let footer = page.find(Locator::Css("footer")).await?.text().await?;
    footer
        .split_whitespace()
        .find(|word| word.len() == 32)
        .map(ToOwned::to_owned)
        .with_context(|| format!("no trace id in {footer}"))
}
