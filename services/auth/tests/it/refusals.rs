//! Refusals of the user service reach the caller with their details.

use std::time::Duration;

use testing::fields;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    fake::Fake,
    harness::{PASSWORD, Service, is_valid, login, register, registered, retry_delay},
};

#[tokio::test]
async fn wrong_fields_are_named() {
    let mut client = Service::start().await.client;
    let outcome = client.register(register("ann", "short")).await;
    let status = outcome.unwrap_err();
    assert_eq!(fields(&status), ["email", "password"]);
    let details = status.get_error_details();
    for violation in &details.bad_request().unwrap().field_violations {
        assert!(!violation.description.is_empty());
        assert!(status.message().contains(&violation.description));
    }

    let huge = "x".repeat(16 << 10);
    let outcome = client.register(register(&huge, &huge)).await;
    assert_eq!(fields(&outcome.unwrap_err()), ["email", "password"]);
    let outcome = client.register(register("ann@example.com", "")).await;
    assert_eq!(fields(&outcome.unwrap_err()), ["password"]);
    let outcome = client.login(login("", PASSWORD)).await;
    assert_eq!(fields(&outcome.unwrap_err()), ["email"]);
    let outcome = client.login(login("ann@example.com", "")).await;
    assert_eq!(fields(&outcome.unwrap_err()), ["password"]);
}

#[tokio::test]
async fn a_taken_email_is_reported() {
    let mut client = Service::start().await.client;
    let (token, _) = registered(&client, "ann@example.com").await;
    let outcome = client.register(register("ANN@example.com", PASSWORD)).await;
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(status.message(), "the email is taken");
    assert!(status.details().is_empty());
    assert!(is_valid(&client, &token).await);
}

#[tokio::test]
async fn an_overload_is_reported_and_does_not_count_as_a_failed_sign_in() {
    let delay = Duration::from_secs(7);
    let fake = Fake::failing(Status::with_error_details(
        Code::ResourceExhausted,
        "busy hashing",
        ErrorDetails::with_retry_info(Some(delay)),
    ));
    let limits = [
        "--failed-logins-per-account=1",
        "--failed-logins-per-address=1",
    ];
    let mut client = Service::before(fake.start().await, &limits).await.client;
    for calls in 1..=3 {
        let outcome = client.login(login("ann@example.com", PASSWORD)).await;
        assert_eq!(retry_delay(&outcome.unwrap_err()), delay);
        assert_eq!(fake.calls(), calls, "not repeated");
    }
    let outcome = client.register(register("ann@example.com", PASSWORD)).await;
    assert_eq!(retry_delay(&outcome.unwrap_err()), delay);
    assert_eq!(fake.calls(), 4, "not repeated");
}
