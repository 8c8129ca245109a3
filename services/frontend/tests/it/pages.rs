//! Properties of all pages, and the files that they load.

use reqwest::{Method, StatusCode};

use crate::{
    auth::TOKEN,
    harness::{Frontend, Page},
};

#[tokio::test]
async fn the_start_page_redirects_to_the_account_if_there_is_a_session() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.has("main a[href='/register']"));
    assert!(page.has("main a[href='/login']"));

    let page = frontend.get_as("/", TOKEN).await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
    assert_eq!(page.header("location"), "/account");
}

#[tokio::test]
async fn every_response_has_the_security_headers() {
    let frontend = Frontend::start(&[]).await;
    for path in [
        "/",
        "/login",
        "/account",
        "/status",
        "/activity",
        "/nowhere",
        "/assets/style.css",
        "/health/ready",
    ] {
        let page = frontend.get(path).await;
        assert_eq!(
            page.header("content-security-policy"),
            "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; \
             img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        assert_eq!(page.header("referrer-policy"), "same-origin");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
        assert!(page.headers.contains_key("permissions-policy"));
        assert!(!page.headers.contains_key("strict-transport-security"));
        if path != "/assets/style.css" {
            assert_eq!(page.header("cache-control"), "no-store", "{path}");
        }
    }
}

#[tokio::test]
async fn every_page_is_accessible() {
    let frontend = Frontend::start(&[]).await;
    for path in [
        "/",
        "/login",
        "/register",
        "/status",
        "/activity",
        "/nowhere",
    ] {
        let page = frontend.get(path).await;
        assert_eq!(page.attribute("html", "lang").as_deref(), Some("en"));
        assert_eq!(page.texts("h1").len(), 1, "{path}");
        assert!(page.has("a.skip[href='#main']") && page.has("main#main"));
        assert!(page.texts("title")[0].ends_with(" · otelix"));
        assert!(!page.text.contains("<script") && !page.text.contains(" style="));
        let inputs = page.texts("input").len();
        assert_eq!(page.texts("label[for]").len(), inputs, "{path}");
    }
    let page = frontend.get("/login").await;
    assert_eq!(page.texts("nav [aria-current=page]"), ["Sign in"]);
}

#[tokio::test]
async fn an_unknown_path_has_an_error_page() {
    let frontend = Frontend::start(&[]).await;
    for path in ["/nowhere", "/login/", "/assets/x.css", "/%ff", "//", "/%00"] {
        let page = frontend.get(path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(page.texts("h1"), ["Page not found"]);
    }
}

#[tokio::test]
async fn an_unsupported_method_has_an_error_page() {
    let frontend = Frontend::start(&[]).await;
    for (method, path, allow) in [
        (Method::GET, "/logout", "POST"),
        (Method::POST, "/", "GET,HEAD"),
        (Method::DELETE, "/login", "GET,HEAD,POST"),
    ] {
        let page = Page::of(frontend.request(method, path)).await;
        assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(page.header("allow"), allow);
        assert_eq!(page.texts("h1").len(), 1);
    }
}

#[tokio::test]
async fn assets_are_cached_until_they_change() {
    let frontend = Frontend::start(&[]).await;
    let home = frontend.get("/").await;
    for (link, media_type) in [
        ("link[rel=stylesheet]", "text/css; charset=utf-8"),
        ("link[rel=icon]", "image/svg+xml"),
    ] {
        let href = home.attribute(link, "href").unwrap();
        let page = frontend.get(&href).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.header("content-type"), media_type);
        assert_eq!(
            page.header("cache-control"),
            "public, max-age=31536000, immutable"
        );

        let plain = href.split('?').next().unwrap();
        let known = frontend
            .request(Method::GET, plain)
            .header("if-none-match", page.header("etag"));
        let known = Page::of(known).await;
        assert_eq!(known.status, StatusCode::NOT_MODIFIED);
        assert_eq!(known.text, "");
        assert_eq!(known.header("cache-control"), "no-cache");
        assert_eq!(known.header("etag"), page.header("etag"));

        for (path, known) in [
            // The URL of other content.
            (
                format!("{plain}?v=0"),
                page.header("etag").replace("v=", "v=x"),
            ),
            (plain.to_owned(), "\"\"".to_owned()),
        ] {
            let request = frontend.request(Method::GET, &path);
            let other = Page::of(request.header("if-none-match", known)).await;
            assert_eq!(other.status, StatusCode::OK);
            assert_eq!(other.text, page.text);
            assert_eq!(other.header("cache-control"), "no-cache");
            assert_eq!(other.header("etag"), page.header("etag"));
        }
    }
}

#[tokio::test]
async fn the_files_are_embedded_in_the_program() {
    let frontend = Frontend::start(&[]).await;
    for (name, content) in [
        ("style.css", include_str!("../../assets/style.css")),
        ("activity.js", include_str!("../../assets/activity.js")),
    ] {
        let path = format!("/assets/{name}");
        let page = frontend.get(&path).await;
        assert_eq!(page.text, content, "{name}");
        let head = frontend.request(Method::HEAD, &path).send().await;
        assert_eq!(head.unwrap().headers()["etag"], page.header("etag"));
    }
}

#[tokio::test]
async fn oversized_headers_end_the_request_and_not_the_server() {
    let frontend = Frontend::start(&[]).await;
    let request = frontend
        .request(Method::GET, "/account")
        .header("cookie", format!("session={}", "x".repeat(1 << 20)));
    if let Ok(response) = request.send().await {
        assert!(response.status().is_client_error(), "{}", response.status());
    }
    assert_eq!(frontend.get("/").await.status, StatusCode::OK);
}
