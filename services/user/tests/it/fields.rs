//! Missing and malformed fields. The answer names each.

use proto::user::v1::{GetUserRequest, VerifyPasswordRequest};
use testing::fields;
use tonic::Code;

use crate::harness::{PASSWORD, Service, by_email, by_id, create, create_as, created, verify};

const BAD_EMAILS: [&str; 6] = [
    "",
    "   ",
    "ann",
    "ann@example",
    "ann@exa mple.com",
    "Ann <ann@example.com>",
];

#[tokio::test]
async fn every_call_with_an_email_refuses_a_bad_one() {
    let mut client = Service::start().await.client;
    let huge = format!("{}@example.com", "a".repeat(32 << 10));
    let long = format!("{}@example.com", "a".repeat(243));
    for email in BAD_EMAILS.iter().copied().chain([&*huge, &*long]) {
        let outcome = client.create_user(create(email, PASSWORD)).await;
        assert_eq!(fields(&outcome.unwrap_err()), ["email"]);
        let outcome = client.verify_password(verify(email, PASSWORD)).await;
        assert_eq!(fields(&outcome.unwrap_err()), ["email"]);
        let outcome = client.get_user(by_email(email)).await;
        assert_eq!(fields(&outcome.unwrap_err()), ["email"]);
    }
}

#[tokio::test]
async fn the_longest_email_is_accepted() {
    let client = Service::start().await.client;
    let local = "a".repeat(64);
    let label = "b".repeat(63);
    let email = format!("{local}@{label}.{label}.{}.example", "c".repeat(53));
    assert_eq!(email.len(), 254);
    created(&client, &email).await;
}

#[tokio::test]
async fn a_password_of_a_bad_length_is_refused() {
    let mut client = Service::start().await.client;
    for password in ["", "1234567", &"x".repeat(129), &"x".repeat(32 << 10)] {
        let outcome = client
            .create_user(create("ann@example.com", password))
            .await;
        let status = outcome.unwrap_err();
        assert_eq!(fields(&status), ["password"]);
        assert!(
            password.is_empty() || !status.message().contains(password),
            "the answer contains the password"
        );
    }
    for password in ["", &"x".repeat(32 << 10)] {
        let outcome = client
            .verify_password(verify("ann@example.com", password))
            .await;
        assert_eq!(fields(&outcome.unwrap_err()), ["password"]);
    }
}

#[tokio::test]
async fn passwords_of_the_minimum_and_the_maximum_length_are_accepted() {
    let mut client = Service::start().await.client;
    for (name, password) in [
        ("short", "12345678".to_owned()),
        ("long", "x".repeat(128)),
        ("wide", "𓀀".repeat(128)),
        ("odd", " \0\n\u{7f}ü☃ ".repeat(2)),
    ] {
        let email = format!("{name}@example.com");
        client.create_user(create(&email, &password)).await.unwrap();
        client
            .verify_password(verify(&email, &password))
            .await
            .unwrap();
        let almost = &password[..password.len() - password.chars().last().unwrap().len_utf8()];
        let outcome = client.verify_password(verify(&email, almost)).await;
        assert_eq!(outcome.unwrap_err().code(), Code::Unauthenticated, "{name}");
    }
}

#[tokio::test]
async fn an_id_that_is_not_a_uuid_is_refused() {
    let mut client = Service::start().await.client;
    for id in ["1", "not-a-uuid", "0190a6a8-3f5c-7c3a-8f6e-0123456789zz"] {
        let outcome = client.create_user(create_as(id, "ann@example.com")).await;
        assert_eq!(fields(&outcome.unwrap_err()), ["user_id"]);
        let outcome = client.get_user(by_id(id)).await;
        assert_eq!(fields(&outcome.unwrap_err()), ["id"]);
    }
    let outcome = client.get_user(by_id("")).await;
    assert_eq!(fields(&outcome.unwrap_err()), ["id"]);
    let outcome = client.get_user(GetUserRequest { key: None }).await;
    assert_eq!(fields(&outcome.unwrap_err()), ["key"]);
}

#[tokio::test]
async fn all_bad_fields_are_named_at_once() {
    let mut client = Service::start().await.client;
    let mut request = create_as("x", "ann");
    request.password = "short".to_owned();
    let status = client.create_user(request).await.unwrap_err();
    assert_eq!(fields(&status), ["email", "password", "user_id"]);
    for field in ["email: ", "password: ", "user_id: "] {
        assert!(status.message().contains(field), "{status:?}");
    }
    let status = client
        .verify_password(VerifyPasswordRequest::default())
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["email", "password"]);
}
