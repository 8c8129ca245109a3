//! The life of a session.

use std::time::{Duration, SystemTime};

use proto::auth::v1::{LoginRequest, RegisterRequest};
use testing::Process;
use tonic::Code;

use crate::harness::{
    PASSWORD, SECRET, Service, binary, client, is_valid, login, logout, me, register, registered,
    start_user,
};

#[tokio::test]
async fn a_session_opens_with_a_registration_or_a_sign_in_and_ends_with_a_sign_out() {
    let mut client = Service::start().await.client;
    let before = SystemTime::now();

    let answer = client.register(register("Ann@example.com", PASSWORD)).await;
    let answer = answer.unwrap().into_inner();
    let (session, user) = (answer.session.unwrap(), answer.user.unwrap());
    assert_eq!(user.email, "ann@example.com");
    let expires_at = SystemTime::try_from(session.expires_at.unwrap()).unwrap();
    let day = Duration::from_secs(24 * 60 * 60);
    assert!(expires_at + Duration::from_secs(1) > before + day);
    assert!(expires_at <= SystemTime::now() + day);

    let answer = client.me(me(&session.token)).await.unwrap().into_inner();
    assert_eq!(answer.user.as_ref(), Some(&user));
    assert_eq!(answer.expires_at, session.expires_at);

    let answer = client.login(login(" ANN@example.com", PASSWORD)).await;
    let answer = answer.unwrap().into_inner();
    assert_eq!(answer.user.as_ref(), Some(&user));
    let second = answer.session.unwrap().token;
    assert_ne!(second, session.token);

    client.logout(logout(&session.token)).await.unwrap();
    assert!(!is_valid(&client, &session.token).await);
    assert!(is_valid(&client, &second).await, "they are independent");
    client.logout(logout(&second)).await.unwrap();
    assert!(!is_valid(&client, &second).await);
}

#[tokio::test]
async fn a_session_can_be_revoked_twice() {
    let mut client = Service::start().await.client;
    let (token, _) = registered(&client, "ann@example.com").await;
    for _ in 0..2 {
        client.logout(logout(&token)).await.unwrap();
        assert!(!is_valid(&client, &token).await);
    }
}

#[tokio::test]
async fn a_sign_in_revokes_the_session_that_it_replaces() {
    let mut client = Service::start().await.client;
    let (first, _) = registered(&client, "ann@example.com").await;
    let replacing = |token: &str, password: &str| LoginRequest {
        replaced_token: token.to_owned(),
        ..login("ann@example.com", password)
    };
    let refused = client.login(replacing(&first, "another password")).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    assert!(is_valid(&client, &first).await, "none was opened");

    let answer = client.login(replacing(&first, PASSWORD)).await.unwrap();
    let second = answer.into_inner().session.unwrap().token;
    assert!(!is_valid(&client, &first).await);
    assert!(is_valid(&client, &second).await);

    let request = RegisterRequest {
        replaced_token: second.clone(),
        ..register("bob@example.com", PASSWORD)
    };
    let answer = client.register(request).await.unwrap();
    let third = answer.into_inner().session.unwrap().token;
    assert!(!is_valid(&client, &second).await);

    // A sign-in succeeds even if the token to replace has no open session.
    for token in [&second, "x", "a.b.c"] {
        client.login(replacing(token, PASSWORD)).await.unwrap();
    }
    assert!(is_valid(&client, &third).await);
}

#[tokio::test]
async fn sessions_and_their_revocations_survive_a_kill() {
    let users = start_user().await;
    let folder = tempfile::tempdir().unwrap();
    let start = || Process::start(binary(folder.path(), users).env("JWT_SECRET", SECRET));

    let mut process = start();
    let mut client = client(process.address().await);
    let (open, _) = registered(&client, "ann@example.com").await;
    let (revoked, _) = registered(&client, "bob@example.com").await;
    client.logout(logout(&revoked)).await.unwrap();
    drop(process);

    let mut process = start();
    let client = crate::harness::client(process.address().await);
    assert!(is_valid(&client, &open).await);
    assert!(!is_valid(&client, &revoked).await);
}

#[tokio::test]
async fn a_revocation_by_one_instance_holds_for_another() {
    let users = start_user().await;
    let first = Service::before(users, &[]).await;
    let database = first.folder.path().join("auth.db");
    let database = format!("--db-path={}", database.display());
    let (token, _) = registered(&first.client, "ann@example.com").await;
    let second = Service::before(users, &[&database]).await;
    assert!(is_valid(&second.client, &token).await);
    first.client.clone().logout(logout(&token)).await.unwrap();
    assert!(!is_valid(&second.client, &token).await);
}

#[tokio::test]
async fn a_session_whose_account_is_gone_is_not_valid() {
    let first = Service::before(start_user().await, &[]).await;
    let (token, _) = registered(&first.client, "ann@example.com").await;
    // A new user service has no accounts.
    let second = Service::again(first.folder, start_user().await, &[]).await;
    assert!(!is_valid(&second.client, &token).await);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_email_have_the_same_answer() {
    let mut client = Service::start().await.client;
    registered(&client, "ann@example.com").await;
    for (email, password) in [
        ("ann@example.com", "another password"),
        ("bob@example.com", PASSWORD),
        ("bob@example.com", "x"),
    ] {
        let status = client.login(login(email, password)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        assert_eq!(status.message(), "wrong email or password");
        assert!(status.details().is_empty());
    }
}
