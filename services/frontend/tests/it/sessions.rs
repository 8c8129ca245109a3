//! The account page, and the end of a session.

use reqwest::{Method, StatusCode};

use crate::{
    auth::{Asked, PASSWORD, TOKEN},
    harness::{Frontend, Page},
};

const CLEARED: &str = "session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0";

#[tokio::test]
async fn the_account_is_shown_to_its_owner() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend.get_as("/account", TOKEN).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.header("cache-control"), "no-store");
    assert_eq!(page.texts("dd")[0], "ada@example.org");
    assert_eq!(
        page.attribute("time", "datetime").as_deref(),
        Some("2026-01-02T03:04:05Z")
    );
    assert_eq!(
        page.texts("nav li"),
        ["Activity", "Status", "Account", "Sign out"]
    );
    assert!(!page.text.contains(TOKEN));
}

#[tokio::test]
async fn without_a_session_the_account_redirects_to_the_sign_in() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend.get("/account").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.header("location"), "/login");
    assert_eq!(page.header("set-cookie"), "");
}

#[tokio::test]
async fn a_refused_session_is_removed_from_the_browser() {
    let frontend = Frontend::start(&[]).await;
    let huge = "x".repeat(8 << 10);
    for token in ["expired", "", huge.as_str(), "\u{e9}"] {
        let page = frontend.get_as("/account", token).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        assert_eq!(page.header("location"), "/login");
        assert_eq!(page.header("set-cookie"), CLEARED);
    }
    assert_eq!(frontend.asked.calls(), ["me expired"]);
}

#[tokio::test]
async fn a_failure_to_read_the_account_does_not_end_the_session() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend.get_as("/account", "down").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page.header("set-cookie"), "");
    assert!(page.header("retry-after").parse::<u64>().is_ok());
    assert_eq!(page.texts("h1"), ["Your account cannot be shown"]);
    assert_eq!(frontend.asked.calls().len(), 4, "reading is repeated");

    let page = frontend.get_as("/account", "bug").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!page.text.contains("secret"));
}

#[tokio::test]
async fn signing_out_revokes_the_session_and_clears_the_cookie() {
    let frontend = Frontend::start(&[]).await;
    for token in [TOKEN, "expired"] {
        let request = frontend
            .request(Method::POST, "/logout")
            .header("cookie", format!("session={token}"));
        let page = Page::of(request).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        assert_eq!(page.header("location"), "/");
        assert_eq!(page.header("set-cookie"), CLEARED);
    }
    assert_eq!(
        frontend.asked.calls(),
        [format!("logout {TOKEN}"), "logout expired".to_owned()]
    );

    let page = Page::of(frontend.request(Method::POST, "/logout")).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.header("set-cookie"), "");
}

#[tokio::test]
async fn a_new_session_replaces_that_of_the_browser() {
    let frontend = Frontend::start(&[]).await;
    let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
    for (path, cookie) in [
        ("/login", "session=an.old.token"),
        ("/register", "session=an.old.token"),
        ("/login", "session="),
    ] {
        let request = frontend.form(path, &fields).header("cookie", cookie);
        let page = Page::of(request).await;
        assert_eq!(page.header("location"), "/account");
        assert!(
            page.header("set-cookie")
                .starts_with(&format!("session={TOKEN};"))
        );
    }
    assert_eq!(
        frontend.asked.calls(),
        [
            "login 127.0.0.1 instead of an.old.token",
            "register 127.0.0.1 instead of an.old.token",
            "login 127.0.0.1"
        ]
    );
}

#[tokio::test]
async fn a_failed_sign_out_keeps_the_session_and_says_so() {
    let frontend =
        Frontend::start_alone(&["--auth-service-address=127.0.0.1:1"], Asked::default()).await;
    let request = frontend
        .request(Method::POST, "/logout")
        .header("cookie", format!("session={TOKEN}"));
    let page = Page::of(request).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page.header("set-cookie"), "");
    assert_eq!(page.texts("h1"), ["You are not signed out yet"]);
    assert!(page.has("main form[action='/logout']"));
}

#[tokio::test]
async fn with_https_a_cookie_without_the_prefix_is_ignored() {
    let frontend = Frontend::start(&["--public-url=https://example.org"]).await;
    let page = frontend.get_as("/account", TOKEN).await;
    assert_eq!(page.header("location"), "/login");
    assert_eq!(frontend.asked.calls(), Vec::<String>::new());
}
