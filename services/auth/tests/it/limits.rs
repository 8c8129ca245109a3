//! Sign-ins that fail too often.

use std::time::Duration;

use tonic::Code;

use crate::harness::{
    Client, PASSWORD, Service, fields, login, login_from, registered, retry_delay,
};

const WRONG: &str = "another password";

/// Lets sign-ins fail that must not be limited yet.
async fn fail(client: &Client, address: &str, emails: &[&str]) {
    for email in emails {
        let outcome = client
            .clone()
            .login(login_from(address, email, WRONG))
            .await;
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{email}: {status:?}");
    }
}

/// How long this sign-in is told to wait, with the right password even.
async fn wait(client: &Client, address: &str, email: &str) -> Duration {
    let outcome = client
        .clone()
        .login(login_from(address, email, PASSWORD))
        .await;
    retry_delay(&outcome.unwrap_err())
}

#[tokio::test]
async fn an_account_is_limited_wherever_its_attempts_come_from() {
    let mut client = Service::with(&["--failed-logins-per-account=3"])
        .await
        .client;
    registered(&client, "ann@example.com").await;
    registered(&client, "bob@example.com").await;

    fail(&client, "192.0.2.1", &["ann@example.com"]).await;
    fail(&client, "192.0.2.2", &["ANN@example.com"]).await;
    fail(&client, "2001:db8::1", &[" ann@example.com"]).await;
    for address in ["", "192.0.2.1", "192.0.2.99"] {
        for email in ["ann@example.com", "Ann@Example.com\n"] {
            let delay = wait(&client, address, email).await;
            assert!(delay > Duration::ZERO && delay <= Duration::from_secs(20));
        }
    }
    let outcome = client.login(login("ann@example.com", WRONG)).await;
    let status = outcome.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(status.message(), "too many attempts");

    client
        .login(login("bob@example.com", PASSWORD))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_email_is_limited_like_a_known_one() {
    let client = Service::with(&["--failed-logins-per-account=2"])
        .await
        .client;
    fail(&client, "", &["bob@example.com", "bob@example.com"]).await;
    assert!(wait(&client, "", "bob@example.com").await <= Duration::from_secs(30));
}

#[tokio::test]
async fn an_address_is_limited_whatever_accounts_it_tries() {
    let mut client = Service::with(&["--failed-logins-per-address=3"])
        .await
        .client;
    registered(&client, "ann@example.com").await;

    let emails = ["bob@example.com", "eve@example.com", "kim@example.com"];
    fail(&client, "192.0.2.1", &emails).await;
    for address in ["192.0.2.1", "::ffff:192.0.2.1"] {
        let delay = wait(&client, address, "ann@example.com").await;
        assert!(delay > Duration::ZERO && delay <= Duration::from_secs(20));
    }
    for address in ["192.0.2.2", "2001:db8::1", ""] {
        client
            .login(login_from(address, "ann@example.com", PASSWORD))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn an_ipv6_network_is_limited_as_one_address() {
    let mut client = Service::with(&["--failed-logins-per-address=2"])
        .await
        .client;
    registered(&client, "ann@example.com").await;
    fail(&client, "2001:db8::1", &["bob@example.com"]).await;
    fail(&client, "2001:db8::2:1", &["bob@example.com"]).await;
    wait(&client, "2001:db8::3", "ann@example.com").await;
    client
        .login(login_from("2001:db8:0:1::1", "ann@example.com", PASSWORD))
        .await
        .unwrap();
}

#[tokio::test]
async fn without_an_address_the_connection_counts() {
    let client = Service::with(&["--failed-logins-per-address=2"])
        .await
        .client;
    registered(&client, "ann@example.com").await;
    fail(&client, "", &["bob@example.com", "eve@example.com"]).await;
    wait(&client, "", "ann@example.com").await;
    wait(&client, "127.0.0.1", "ann@example.com").await;
}

#[tokio::test]
async fn what_succeeds_or_is_malformed_is_never_limited() {
    let limits = [
        "--failed-logins-per-account=1",
        "--failed-logins-per-address=1",
    ];
    let mut client = Service::with(&limits).await.client;
    registered(&client, "ann@example.com").await;
    for _ in 0..30 {
        client
            .login(login("ann@example.com", PASSWORD))
            .await
            .unwrap();
        let outcome = client.login(login("ann", "")).await;
        assert_eq!(fields(&outcome.unwrap_err()), ["email", "password"]);
    }
}

#[tokio::test]
async fn attempts_at_the_same_moment_do_not_slip_through() {
    let client = Service::with(&["--failed-logins-per-account=3"])
        .await
        .client;
    registered(&client, "ann@example.com").await;
    let outcomes = futures_util::future::join_all((0..20).map(|_| {
        let mut client = client.clone();
        async move { client.login(login("ann@example.com", WRONG)).await }
    }))
    .await;
    let mut made = 0;
    for outcome in outcomes {
        let status = outcome.unwrap_err();
        if status.code() == Code::Unauthenticated {
            made += 1;
        } else {
            retry_delay(&status);
        }
    }
    assert_eq!(made, 3);
}

#[tokio::test]
async fn a_malformed_address_is_named() {
    let mut client = Service::start().await.client;
    registered(&client, "ann@example.com").await;
    let huge = "1".repeat(32 << 10);
    for address in [
        "localhost",
        "192.0.2",
        "192.0.2.1:80",
        "2001:db8::/64",
        " ",
        &huge,
    ] {
        let outcome = client
            .login(login_from(address, "ann@example.com", PASSWORD))
            .await;
        assert_eq!(fields(&outcome.unwrap_err()), ["client_address"]);
    }
}

#[tokio::test]
async fn right_passwords_at_the_same_moment_all_pass() {
    let client = Service::with(&["--failed-logins-per-account=3"])
        .await
        .client;
    registered(&client, "ann@example.com").await;
    let attempts: Vec<_> = (0..50)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.login(login("ann@example.com", PASSWORD)).await })
        })
        .collect();
    for attempt in attempts {
        attempt.await.unwrap().unwrap();
    }
}
