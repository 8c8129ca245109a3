//! What a person does, in a real browser.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::{
    System,
    browser::{Browser, missing},
};
use fantoccini::{Client, Locator};
use libtest_mimic::Trial;
use nix::sys::signal::Signal;

use crate::trial_with;

const PASSWORD: &str = "correct horse battery";

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
            "browser::all_of_it_works_without_javascript",
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
            "browser::what_was_typed_survives_a_service_that_is_down",
            missing(),
            typed_text_survives,
        ),
        trial_with(
            "browser::the_pages_work_by_keyboard_alone",
            missing(),
            works_by_keyboard,
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
    // The browser's own checks are for convenience: the server must not rely on them.
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
    e2e::system::eventually(Duration::from_secs(10), async || {
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
