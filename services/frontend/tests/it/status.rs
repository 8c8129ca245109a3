//! The status page and the health endpoints.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use tokio::net::TcpListener;

use crate::harness::Frontend;

#[tokio::test]
async fn every_part_has_a_row_with_its_state_in_words() {
    // Accepts connections and says nothing.
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
async fn health_is_answered_in_both_languages() {
    let frontend = Frontend::start(&[]).await;
    assert_eq!(frontend.get("/health/live").await.status, StatusCode::OK);
    assert_eq!(frontend.get("/health/ready").await.status, StatusCode::OK);
    let url = format!("http://{}", frontend.address);
    chassis::health::check(&url).await.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_requests_and_takes_no_more() {
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
    assert!(chassis::health::check(&url).await.is_err());
}
