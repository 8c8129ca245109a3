//! The forms to register and to sign in: each outcome.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use crate::{
    auth::{Asked, PASSWORD, TOKEN},
    harness::{Frontend, Page},
};

const FORM: &str = "application/x-www-form-urlencoded";

/// Asserts that the form is shown again with the email as it was typed, and without the password.
fn assert_kept(page: &Page, email: &str, password: &str) {
    assert_eq!(page.attribute("#email", "value").as_deref(), Some(email));
    assert_eq!(page.attribute("#password", "value"), None);
    assert!(!page.text.contains(password), "the password is echoed");
    assert!(page.has("[role=alert] li"));
    assert!(page.texts("title")[0].starts_with("Error: "));
    assert_eq!(page.header("set-cookie"), "");
    assert_eq!(page.texts("[autofocus]").len(), 1);
}

#[tokio::test]
async fn success_opens_a_session_and_leads_to_the_account() {
    let frontend = Frontend::start(&[]).await;
    for path in ["/register", "/login"] {
        let page = frontend
            .post(
                path,
                &[("email", "ada@example.org"), ("password", PASSWORD)],
            )
            .await;
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        assert_eq!(page.header("location"), "/account");
        assert_eq!(page.header("cache-control"), "no-store");
        let cookie = page.header("set-cookie");
        let rest = cookie.strip_prefix(&format!("session={TOKEN}; ")).unwrap();
        let age = rest
            .strip_prefix("Path=/; HttpOnly; SameSite=Lax; Max-Age=")
            .unwrap();
        assert!((86_390..=86_400).contains(&age.parse().unwrap()), "{age}");
    }
}

#[tokio::test]
async fn with_https_the_cookie_is_bound_to_host_and_tls() {
    let frontend = Frontend::start(&["--public-url=https://example.org"]).await;
    let page = frontend
        .post(
            "/login",
            &[("email", "ada@example.org"), ("password", PASSWORD)],
        )
        .await;
    let cookie = page.header("set-cookie");
    assert!(
        cookie.starts_with(&format!("__Host-session={TOKEN}; Path=/; HttpOnly; ")),
        "{cookie}"
    );
    assert!(cookie.contains("; Secure;"), "{cookie}");
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(page.header("strict-transport-security"), "max-age=31536000");
}

#[tokio::test]
async fn each_invalid_field_has_its_message() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend
        .post("/register", &[("email", "ada"), ("password", "geheim7")])
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_kept(&page, "ada", "geheim7");
    assert_eq!(
        page.texts("#email-error"),
        ["Must be an address such as name@example.org."]
    );
    assert_eq!(
        page.texts("#password-error"),
        ["Must have 8 to 128 characters."]
    );
    for (field, described_by) in [
        ("#email", "email-error"),
        ("#password", "password-error password-hint"),
    ] {
        assert_eq!(
            page.attribute(field, "aria-invalid").as_deref(),
            Some("true")
        );
        assert_eq!(
            page.attribute(field, "aria-describedby").as_deref(),
            Some(described_by)
        );
    }
    assert!(page.has("#email[autofocus]"));
    assert_eq!(page.texts("[role=alert] a[href='#email']").len(), 1);
}

#[tokio::test]
async fn only_the_wrong_field_is_marked() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend
        .post(
            "/register",
            &[("email", "ada@example.org"), ("password", "geheim7")],
        )
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(page.attribute("#email", "aria-invalid"), None);
    assert!(page.has("#password[autofocus]"));
}

#[tokio::test]
async fn missing_fields_are_sent_to_auth_and_unknown_ones_are_ignored() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend.post("/login", &[("colour", "blue")]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(page.has("#email-error") && page.has("#password-error"));

    let page = frontend
        .post(
            "/login",
            &[
                ("colour", "blue"),
                ("email", "ada@example.org"),
                ("password", PASSWORD),
            ],
        )
        .await;
    assert_eq!(page.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_email_get_the_same_message() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend
        .post(
            "/login",
            &[("email", "Ada@Example.org"), ("password", "geheimnis")],
        )
        .await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert_kept(&page, "Ada@Example.org", "geheimnis");
    assert_eq!(
        page.texts("[role=alert] li"),
        ["The email or the password is wrong."]
    );
    assert!(!page.has(".error"));
}

#[tokio::test]
async fn a_taken_email_is_a_message_of_the_email_field() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend
        .post(
            "/register",
            &[("email", "taken@example.org"), ("password", PASSWORD)],
        )
        .await;
    assert_eq!(page.status, StatusCode::CONFLICT);
    assert_kept(&page, "taken@example.org", PASSWORD);
    assert_eq!(
        page.texts("#email-error"),
        ["An account with this email already exists."]
    );
    assert!(page.has("#email[autofocus]"));
}

#[tokio::test]
async fn too_many_attempts_get_the_time_of_the_next_try() {
    let frontend = Frontend::start(&[]).await;
    for path in ["/register", "/login"] {
        let page = frontend
            .post(
                path,
                &[("email", "busy@example.org"), ("password", PASSWORD)],
            )
            .await;
        assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(page.header("retry-after"), "90");
        assert_kept(&page, "busy@example.org", PASSWORD);
        assert_eq!(
            page.texts("[role=alert] li"),
            ["Too many attempts. Try again in 90 seconds."]
        );
    }
}

#[tokio::test]
async fn the_email_is_kept_if_a_service_behind_auth_is_down() {
    let frontend = Frontend::start(&[]).await;
    for path in ["/register", "/login"] {
        let page = frontend
            .post(
                path,
                &[("email", "down@example.org"), ("password", PASSWORD)],
            )
            .await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_kept(&page, "down@example.org", PASSWORD);
        assert!(page.texts("[role=alert] li")[0].contains("does not answer"));
    }
    assert_eq!(
        frontend.asked.calls().len(),
        2,
        "a call that may have acted is not repeated"
    );
}

#[tokio::test]
async fn a_refused_connection_to_auth_is_reported_at_once() {
    let frontend =
        Frontend::start_alone(&["--auth-service-address=127.0.0.1:1"], Asked::default()).await;
    let started = Instant::now();
    let page = frontend
        .post(
            "/login",
            &[("email", "ada@example.org"), ("password", PASSWORD)],
        )
        .await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_kept(&page, "ada@example.org", PASSWORD);
    assert!(started.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn a_call_to_auth_ends_at_its_deadline() {
    let frontend = Frontend::start(&[]).await;
    let started = Instant::now();
    let page = frontend
        .post(
            "/login",
            &[("email", "hang@example.org"), ("password", PASSWORD)],
        )
        .await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_kept(&page, "hang@example.org", PASSWORD);
    let elapsed = started.elapsed();
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(7)).contains(&elapsed),
        "{elapsed:?}"
    );
}

#[tokio::test]
async fn other_errors_are_an_error_page_without_details() {
    let frontend = Frontend::start(&[]).await;
    for name in ["bug", "odd", "nosession", "badtoken"] {
        let email = format!("{name}@example.org");
        let page = frontend
            .post("/login", &[("email", &email), ("password", PASSWORD)])
            .await;
        assert_eq!(
            page.status,
            StatusCode::INTERNAL_SERVER_ERROR,
            "{name}: {}",
            page.text
        );
        assert_eq!(page.texts("h1"), ["Something went wrong"]);
        assert!(!page.text.contains("secret"));
        assert_eq!(page.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn input_is_escaped() {
    let frontend = Frontend::start(&[]).await;
    let typed = "\"><script>alert(1)</script>";
    let page = frontend
        .post("/register", &[("email", typed), ("password", PASSWORD)])
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!page.text.contains("<script"));
    assert_eq!(page.attribute("#email", "value").as_deref(), Some(typed));
}

#[tokio::test]
async fn auth_gets_the_client_address() {
    let frontend = Frontend::start(&[]).await;
    let fields = [("email", "ada@example.org"), ("password", PASSWORD)];
    for path in ["/login", "/register"] {
        frontend.post(path, &fields).await;
        let forwarded = frontend
            .form(path, &fields)
            .header("x-forwarded-for", "6.6.6.6, 198.51.100.1");
        Page::of(forwarded).await;
    }
    assert_eq!(
        frontend.asked.calls(),
        [
            "login 127.0.0.1",
            "login 198.51.100.1",
            "register 127.0.0.1",
            "register 198.51.100.1"
        ]
    );

    let frontend = Frontend::start(&["--trusted-proxies="]).await;
    let forwarded = frontend
        .form("/login", &fields)
        .header("x-forwarded-for", "198.51.100.1");
    Page::of(forwarded).await;
    assert_eq!(frontend.asked.calls(), ["login 127.0.0.1"]);
}

#[tokio::test]
async fn another_site_cannot_post() {
    let frontend = Frontend::start(&["--public-url=https://example.org"]).await;
    for path in ["/login", "/register", "/logout", "/nowhere"] {
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
            ("origin", "http://example.org"),
            ("origin", "null"),
        ] {
            let request = frontend
                .request(Method::POST, path)
                .header("content-type", FORM)
                .header("cookie", format!("__Host-session={TOKEN}"))
                .header(name, value)
                .body("email=ada%40example.org&password=correct+horse");
            let page = Page::of(request).await;
            assert_eq!(page.status, StatusCode::FORBIDDEN, "{path} {name} {value}");
            assert_eq!(page.header("set-cookie"), "");
        }
    }
    assert_eq!(frontend.asked.calls(), Vec::<String>::new());

    let own = format!("http://{}", frontend.address);
    for origin in [Some("https://example.org"), Some(own.as_str()), None] {
        let mut request = frontend
            .request(Method::POST, "/login")
            .header("content-type", FORM)
            .body("email=ada%40example.org&password=correct+horse");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        assert_eq!(Page::of(request).await.status, StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn a_body_that_is_not_a_form_is_refused_with_a_page() {
    let frontend = Frontend::start(&[]).await;
    let large = vec![b'x'; 1 << 20];
    let nearly = [&b"email="[..], &vec![b'x'; (64 << 10) - 6]].concat();
    let rows: [(&str, Vec<u8>, StatusCode); 8] = [
        (FORM, large, StatusCode::PAYLOAD_TOO_LARGE),
        (FORM, nearly, StatusCode::UNPROCESSABLE_ENTITY),
        (FORM, b"email=\xff\xfe".to_vec(), StatusCode::BAD_REQUEST),
        (FORM, b"password=%ff".to_vec(), StatusCode::BAD_REQUEST),
        (FORM, b"email=a&email=b".to_vec(), StatusCode::BAD_REQUEST),
        (FORM, b"%%%&&==".to_vec(), StatusCode::UNPROCESSABLE_ENTITY),
        (
            "application/json",
            b"{}".to_vec(),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ),
        ("", b"email=a".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
    ];
    for (media_type, body, expected) in rows {
        for path in ["/register", "/login"] {
            let mut request = frontend.request(Method::POST, path).body(body.clone());
            if !media_type.is_empty() {
                request = request.header("content-type", media_type);
            }
            let page = Page::of(request).await;
            assert_eq!(page.status, expected, "{path} {media_type}");
            assert_eq!(page.texts("h1").len(), 1);
            assert!(page.header("content-type").starts_with("text/html"));
        }
    }
}
