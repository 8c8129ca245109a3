//! The status page and the health endpoints.

use std::{
    future::IntoFuture as _,
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use reqwest::StatusCode;
use tokio::net::TcpListener;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    auth::{Asked, TOKEN},
    harness::Frontend,
};

#[tokio::test]
async fn every_part_has_a_row_with_its_state_as_text() {
    // Accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = Frontend::start(&[]).await;
    let checks = format!(
        "--status-checks=web=http://{other}/health/ready,missing=http://{other}/nowhere,\
         grpc=grpc://{other},mute=http://{silent}/,deaf=grpc://{silent}",
        other = other.address,
        silent = silent.local_addr().unwrap(),
    );
    let frontend = Frontend::start(&["--user-service-address=127.0.0.1:1", &checks]).await;
    let started = Instant::now();
    let page = frontend.get("/status").await;
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "asked one by one"
    );
    assert_eq!(page.status, StatusCode::OK);
    let names = page.texts("tbody th");
    let states = page.texts("tbody .state");
    let rows: Vec<_> = names
        .iter()
        .map(String::as_str)
        .zip(states.iter().map(String::as_str))
        .collect();
    assert_eq!(
        rows,
        [
            ("frontend", "Ready"),
            ("auth", "Ready"),
            ("user", "Not ready"),
            ("web", "Ready"),
            ("missing", "Not ready"),
            ("grpc", "Ready"),
            ("mute", "No answer"),
            ("deaf", "No answer"),
        ]
    );
    assert_eq!(page.texts(".lead"), ["4 parts are not ready."]);
}

#[tokio::test]
async fn a_part_with_several_instances_has_the_number_of_those_that_are_ready() {
    // Accepts connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let (one, two) = (Frontend::start(&[]).await, Frontend::start(&[]).await);
    let args = [
        format!("--auth-service-address={},{}", one.address, two.address),
        format!(
            "--user-service-address={},127.0.0.1:1,{}",
            one.address, two.address
        ),
        format!(
            "--status-checks=one=grpc://{},name=grpc://localhost:{}",
            one.address,
            one.address.port()
        ),
    ];
    let args = args.each_ref().map(String::as_str);
    let frontend = Frontend::start_alone(&args, Asked::default()).await;
    let page = frontend.get("/status").await;
    assert_eq!(
        page.texts("tbody .state"),
        ["Ready", "Ready: 2 of 2", "2 of 3 ready", "Ready", "Ready"]
    );
    assert_eq!(page.texts(".lead"), ["One part is not ready."]);
    assert_eq!(page.texts("tbody .not-ready"), ["2 of 3 ready"]);

    let args = [
        "--auth-service-address=127.0.0.1:1,127.0.0.1:2".to_owned(),
        format!("--user-service-address={silent},127.0.0.1:1"),
    ];
    let args = args.each_ref().map(String::as_str);
    let frontend = Frontend::start_alone(&args, Asked::default()).await;
    let page = frontend.get("/status").await;
    assert_eq!(
        page.texts("tbody .state"),
        ["Ready", "Not ready: 0 of 2", "No answer: 0 of 2"]
    );
}

#[tokio::test]
async fn everyone_may_see_the_status_by_default() {
    let frontend = Frontend::start(&[]).await;
    let page = frontend.get("/status").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.has("nav a[href='/status']"));
    assert!(frontend.get("/").await.has("main a[href='/status']"));
    assert_eq!(frontend.asked.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn the_status_can_be_limited_to_signed_in_readers() {
    let frontend = Frontend::start(&["--status-page=signed-in"]).await;
    let page = frontend.get_as("/status", TOKEN).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.texts("nav [aria-current=page]"), ["Status"]);
    assert!(page.has("tbody tr"));

    for page in [
        frontend.get("/status").await,
        frontend.get_as("/status", "expired").await,
    ] {
        assert_eq!(page.status, StatusCode::SEE_OTHER);
        assert_eq!(page.header("location"), "/login");
        assert_eq!(page.text, "");
    }
    assert_eq!(
        frontend.asked.calls(),
        [format!("me {TOKEN}"), "me expired".to_owned()]
    );

    // No page links to it.
    for path in ["/", "/login", "/activity", "/nowhere"] {
        let page = frontend.get(path).await;
        assert!(!page.text.contains("/status"), "{path}");
    }
}

#[tokio::test]
async fn a_limited_status_is_not_shown_if_auth_does_not_answer() {
    let args = [
        "--status-page=signed-in",
        "--auth-service-address=127.0.0.1:1",
    ];
    let frontend = Frontend::start_alone(&args, Asked::default()).await;
    let page = frontend.get_as("/status", TOKEN).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page.texts("h1"), ["Your session cannot be checked"]);
    assert!(page.has("main a[href='/status']") && !page.has("tbody"));
    assert_eq!(page.header("set-cookie"), "");
}

#[tokio::test]
async fn health_is_served_over_http_and_grpc() {
    let frontend = Frontend::start(&[]).await;
    assert_eq!(frontend.get("/health/live").await.status, StatusCode::OK);
    assert_eq!(frontend.get("/health/ready").await.status, StatusCode::OK);
    let url = format!("http://{}", frontend.address);
    for service in ["", "frontend"] {
        chassis::health::check(&url, service).await.unwrap();
    }

    // `Watch` is not served: a client could open any number of its streams.
    let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let refused = health.watch(HealthCheckRequest::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_stop_waits_for_open_requests_and_refuses_new_ones() {
    let frontend = Frontend::start(&[]).await;
    let slow = tokio::spawn(
        frontend
            .form(
                "/login",
                &[("email", "slow@example.org"), ("password", "correct horse")],
            )
            .send(),
    );
    while frontend.asked.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let url = format!("http://{}", frontend.address);
    frontend.stop.send(()).unwrap();
    let answer = slow.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    frontend.done.await.unwrap().unwrap();
    assert!(chassis::health::check(&url, "").await.is_err());
}

/// A server that answers `GET /api/v2/alerts` as Alertmanager does.
#[expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]
async fn alertmanager(alerts: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/api/v2/alerts", get(move || async move { alerts }));
    tokio::spawn(axum::serve(listener, app).into_future());
    address
}

#[tokio::test]
async fn firing_alerts_are_shown_with_their_runbooks() {
    let address = alertmanager(
        r#"[
            {"labels": {"alertname": "DiskFills", "severity": "warning"},
             "annotations": {"summary": "The disk <fills>", "runbook_url": "docs/runbooks/disk-fills.md"},
             "startsAt": "2026-01-02T03:04:05.678Z"},
            {"labels": {"alertname": "TargetDown", "severity": "critical"},
             "annotations": {"summary": "loki does not answer", "description": "For a minute.",
                             "runbook_url": "https://example.org/runbooks/target-down"},
             "startsAt": "2026-01-02T04:00:00Z"}
        ]"#,
    )
    .await;
    let frontend = Frontend::start(&[&format!("--alertmanager-url=http://{address}")]).await;
    let page = frontend.get("/status").await;
    assert_eq!(
        page.texts(".lead a[href='#alerts']"),
        ["2 alerts are firing"]
    );
    assert_eq!(
        page.texts("li h3"),
        ["loki does not answer", "The disk <fills>"]
    );
    assert_eq!(page.texts("li .state"), ["Critical", "Warning"]);
    assert_eq!(page.texts("li > p:not(.from)"), ["For a minute."]);
    assert_eq!(
        page.texts("li time"),
        [
            "2 January 2026, 04:00:00 UTC",
            "2 January 2026, 03:04:05 UTC"
        ]
    );
    assert_eq!(
        page.texts("li .from a[href='https://example.org/runbooks/target-down']"),
        ["Runbook"]
    );
    assert_eq!(
        page.texts("li code"),
        ["TargetDown", "DiskFills", "docs/runbooks/disk-fills.md"]
    );
}

#[tokio::test]
async fn the_page_tells_no_alerts_from_no_answer() {
    let quiet = format!("--alertmanager-url=http://{}/", alertmanager("[]").await);
    let page = Frontend::start(&[&quiet]).await.get("/status").await;
    assert_eq!(page.texts("h2 + p"), ["No alerts are firing."]);
    assert!(page.texts(".lead a").is_empty());

    let odd = alertmanager("<p>not Alertmanager").await;
    for wrong in [format!("http://{odd}"), "http://127.0.0.1:1".to_owned()] {
        let frontend = Frontend::start(&[&format!("--alertmanager-url={wrong}")]).await;
        let said = frontend.get("/status").await.texts("h2 + p");
        assert_eq!(
            said,
            ["Alertmanager does not answer, so alerts cannot be shown."]
        );
    }

    let without = Frontend::start(&[]).await.get("/status").await;
    assert!(
        without.texts("h2").is_empty(),
        "no Alertmanager is configured"
    );
}
