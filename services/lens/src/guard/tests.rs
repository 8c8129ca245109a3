use axum::{
    Router,
    body::{Body, to_bytes},
    middleware,
    routing::any,
};
use tower::ServiceExt as _;

use super::*;

const SECRET: &str = "a-secret-of-this-test";

fn settings(arguments: &[&str]) -> Settings {
    testing::settings::<crate::Config>(arguments).settings
}

fn guard(arguments: &[&str], address: &str) -> Arc<Guard> {
    Arc::new(Guard::new(&settings(arguments), address.parse().unwrap()).unwrap())
}

fn pages(guard: Arc<Guard>) -> Router {
    Router::new()
        .route("/traces", any(async || "a page"))
        .layer(middleware::from_fn_with_state(guard, reading))
}

fn request(uri: &str, headers: &[(&str, &str)]) -> Request {
    let builder = headers.iter().fold(Request::builder(), |builder, header| {
        builder.header(header.0, header.1)
    });
    builder.uri(uri).body(Body::empty()).unwrap()
}

async fn status(router: &Router, request: Request) -> u16 {
    let response = router.clone().oneshot(request).await.unwrap();
    response.status().as_u16()
}

#[tokio::test]
async fn pages_are_served_under_own_names_only() {
    let arguments = ["--lens-allowed-hosts=lens, Other.example"];
    let router = pages(guard(&arguments, "127.0.0.1:8086"));
    for (host, expected) in [
        ("localhost:8086", 200),
        ("LOCALHOST", 200),
        ("app.localhost:8086", 200),
        ("127.0.0.1:8086", 200),
        ("192.0.2.7", 200),
        ("[::1]:8086", 200),
        ("lens:8086", 200),
        ("other.example.", 200),
        ("evil.example:8086", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 400),
        ("a b", 400),
    ] {
        let request = request("/traces", &[("host", host)]);
        assert_eq!(status(&router, request).await, expected, "{host}");
    }
    assert_eq!(status(&router, request("/traces", &[])).await, 400);
    // HTTP/2 has an authority.
    let rebound = request("http://evil.example/traces", &[("host", "localhost")]);
    assert_eq!(status(&router, rebound).await, 421);
}

#[tokio::test]
async fn other_sites_cannot_change_anything() {
    let router = pages(guard(&[], "127.0.0.1:8086"));
    for (site, expected) in [
        ("cross-site", 403),
        ("same-site", 403),
        ("same-origin", 200),
    ] {
        let mut request = request(
            "/traces",
            &[("host", "localhost"), ("sec-fetch-site", site)],
        );
        *request.method_mut() = Method::POST;
        assert_eq!(status(&router, request).await, expected, "{site}");
    }
}

#[tokio::test]
async fn a_token_is_shown_by_a_link_a_cookie_or_a_header() {
    let token = format!("--lens-token={SECRET}");
    let router = pages(guard(&[&token], "127.0.0.1:8086"));
    let host = ("host", "localhost");
    let bearer = format!("bearer {SECRET}");
    let cookie = format!("other=1; {COOKIE}={SECRET}");
    let longer = format!("Bearer {SECRET}x");
    for (header, expected) in [
        (("authorization", bearer.as_str()), 200),
        (("cookie", cookie.as_str()), 200),
        (("authorization", longer.as_str()), 401),
        (("authorization", SECRET), 401),
        (("cookie", "lens_token="), 401),
        (("cookie", "lens_token"), 401),
    ] {
        let request = request("/traces", &[host, header]);
        assert_eq!(status(&router, request).await, expected, "{header:?}");
    }

    let link = format!("/traces?q=a%20b&token={SECRET}");
    let response = router
        .clone()
        .oneshot(request(&link, &[host]))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()[header::LOCATION], "/traces?q=a+b");
    let set = response.headers()[header::SET_COOKIE].to_str().unwrap();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict"),
        "{set}"
    );
    let set = set.split(';').next().unwrap();
    let entered = request("/traces", &[host, ("cookie", set)]);
    assert_eq!(status(&router, entered).await, 200);

    let refused = router
        .oneshot(request("/traces?token=x", &[host]))
        .await
        .unwrap();
    let page = to_bytes(refused.into_body(), usize::MAX).await.unwrap();
    assert!(!String::from_utf8_lossy(&page).contains(SECRET));
}

#[test]
fn beyond_loopback_there_is_always_a_token() {
    for (address, expected) in [
        ("127.0.0.1:1", false),
        ("[::1]:1", false),
        ("[::ffff:127.0.0.1]:1", false),
        ("0.0.0.0:1", true),
        ("[::]:1", true),
        ("192.0.2.7:1", true),
    ] {
        assert_eq!(guard(&[], address).token.is_some(), expected, "{address}");
    }
    let (one, other) = (guard(&[], "0.0.0.0:1"), guard(&[], "0.0.0.0:1"));
    assert_ne!(one.token, other.token);
}

#[tokio::test]
async fn senders_show_their_token_in_a_header() {
    let token = format!("--lens-otlp-token={SECRET}");
    let router = Router::new()
        .route("/v1/traces", any(async || "taken"))
        .layer(middleware::from_fn_with_state(
            guard(&[&token], "127.0.0.1:8086"),
            sending,
        ));
    let bearer = format!("Bearer {SECRET}");
    let shown = request("/v1/traces", &[("authorization", &bearer)]);
    assert_eq!(status(&router, shown).await, 200);
    let refused = router.clone().oneshot(request("/v1/traces", &[]));
    let refused = refused.await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers()[header::WWW_AUTHENTICATE], "Bearer");
    assert_eq!(code_of(refused).await, 16);
    let call = request("/v1/traces", &[("content-type", "application/grpc")]);
    let answer = router.clone().oneshot(call).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "16");
    let mut question = request("/v1/traces", &[]);
    *question.method_mut() = Method::OPTIONS;
    assert_eq!(status(&router, question).await, 200);
}

/// The code of a `google.rpc.Status` in JSON.
async fn code_of(response: Response) -> u64 {
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(body["message"].is_string(), "{body}");
    body["code"].as_u64().unwrap()
}

#[tokio::test]
async fn pages_of_other_sites_cannot_send() {
    let router = Router::new()
        .route("/v1/traces", any(async || "taken"))
        .layer(middleware::from_fn_with_state(
            guard(&[], "127.0.0.1:8086"),
            sending,
        ));
    let post = |headers: &[(&str, &str)]| {
        let mut request = request("/v1/traces", headers);
        *request.method_mut() = Method::POST;
        request
    };
    let host = ("host", "localhost:4318");
    for (headers, expected) in [
        // Programs.
        (&[host][..], 200),
        (&[], 200),
        // Pages of this machine, with and without a proxy before this receiver.
        (&[host, ("origin", "http://localhost:3000")], 200),
        (
            &[
                host,
                ("origin", "http://localhost:3000"),
                ("sec-fetch-site", "same-site"),
            ],
            200,
        ),
        (&[host, ("origin", "http://[::1]:5173")], 200),
        (
            &[
                host,
                ("origin", "https://shop.example"),
                ("sec-fetch-site", "same-origin"),
            ],
            200,
        ),
        (
            &[
                ("host", "192.0.2.7:5173"),
                ("origin", "http://192.0.2.7:5173"),
            ],
            200,
        ),
        // Other sites.
        (&[host, ("origin", "https://evil.example")], 403),
        (&[host, ("origin", "http://localhost.evil.example")], 403),
        (&[host, ("origin", "null")], 403),
        (&[host, ("origin", "")], 403),
        (&[host, ("sec-fetch-site", "cross-site")], 403),
    ] {
        let request = post(headers);
        assert_eq!(status(&router, request).await, expected, "{headers:?}");
    }
    let evil = ("origin", "https://evil.example");
    let refused = router.clone().oneshot(post(&[host, evil])).await.unwrap();
    assert_eq!(code_of(refused).await, 7);
    let call = post(&[host, evil, ("content-type", "application/grpc")]);
    let refused = router.clone().oneshot(call).await.unwrap();
    assert_eq!(refused.headers()["grpc-status"], "7");
    // CORS answers the question whether a page may send.
    let mut question = post(&[host, evil]);
    *question.method_mut() = Method::OPTIONS;
    assert_eq!(status(&router, question).await, 200);
}

#[test]
fn secrets_that_fit_nowhere_are_refused() {
    let long = "x".repeat(257);
    for bad in [
        "",
        "short",
        "with space in it",
        "quote\"in the secret",
        &long,
    ] {
        assert!(bad.parse::<Token>().is_err(), "{bad}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let argument = format!("--lens-token-file={}", file.display());
    assert!(settings(&[&argument]).token().is_err());
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let token = settings(&[&argument]).token().unwrap().unwrap();
    assert!(token.is(SECRET));
    assert_eq!(format!("{token:?}"), "Token(..)");
}

#[test]
fn the_link_with_the_secret_has_an_address_for_clients() {
    let token: Token = SECRET.parse().unwrap();
    for (address, host) in [
        ("0.0.0.0:8086", "127.0.0.1:8086"),
        ("[::]:8086", "[::1]:8086"),
        ("192.0.2.7:80", "192.0.2.7:80"),
    ] {
        let expected = format!("http://{host}/?token={SECRET}");
        assert_eq!(link(address.parse().unwrap(), &token), expected);
    }
}
