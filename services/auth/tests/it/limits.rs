//! The limits on failed sign-ins and on registrations.

use std::time::Duration;

use testing::{eventually, fields};
use tonic::{Code, Status};

use crate::{
    fake::Fake,
    harness::{
        Client, PASSWORD, SECRET, Service, is_valid, login, login_from, register, register_from,
        registered, retry_delay, start_user,
    },
};

const WRONG: &str = "another password";

/// The address of registrations.
const HOME: &str = "203.0.113.7";

/// Signs in with a wrong password. The attempts must not be limited.
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

/// Signs in with the right password, which must be limited. Returns the delay.
async fn wait(client: &Client, address: &str, email: &str) -> Duration {
    let outcome = client
        .clone()
        .login(login_from(address, email, PASSWORD))
        .await;
    retry_delay(&outcome.unwrap_err())
}

/// Registers an account from an address, whose network becomes a known network of the account.
async fn registered_from(client: &Client, address: &str, email: &str) {
    let request = register_from(address, email, PASSWORD);
    client.clone().register(request).await.unwrap();
}

/// Signs in with the right password, which must not be limited.
async fn enter(client: &Client, address: &str, email: &str) {
    let request = login_from(address, email, PASSWORD);
    let outcome = client.clone().login(request).await;
    assert!(outcome.is_ok(), "{address}: {outcome:?}");
}

#[tokio::test]
async fn an_account_is_limited_wherever_its_attempts_come_from() {
    let mut client = Service::with(&["--failed-logins-per-account=3"])
        .await
        .client;
    registered_from(&client, HOME, "ann@example.com").await;
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
async fn failures_from_other_networks_do_not_limit_a_known_network() {
    let client = Service::with(&["--failed-logins-per-account=3"])
        .await
        .client;
    let ann = "ann@example.com";
    registered_from(&client, HOME, ann).await;
    enter(&client, "2001:db8:0:7::1", ann).await;
    fail(&client, "192.0.2.1", &[ann; 3]).await;

    for address in [HOME, "203.0.113.8", "::ffff:203.0.113.7", "2001:db8:0:7::2"] {
        for spelling in [ann, " ANN@example.com"] {
            enter(&client, address, spelling).await;
        }
    }
    for address in ["192.0.2.1", "203.0.112.7", "2001:db8:0:8::1", ""] {
        wait(&client, address, ann).await;
    }
    // The network is not known to other accounts.
    fail(&client, HOME, &["bob@example.com"; 3]).await;
    wait(&client, HOME, "bob@example.com").await;
}

#[tokio::test]
async fn failures_from_a_known_network_limit_that_network_only() {
    let client = Service::with(&["--failed-logins-per-account=3"])
        .await
        .client;
    let ann = "ann@example.com";
    registered_from(&client, HOME, ann).await;
    enter(&client, "2001:db8:0:7::1", ann).await;
    fail(&client, HOME, &[ann; 2]).await;
    fail(&client, "203.0.113.8", &[ann]).await;
    wait(&client, HOME, ann).await;
    enter(&client, "2001:db8:0:7::1", ann).await;
    enter(&client, "192.0.2.1", ann).await;
}

#[tokio::test]
async fn attempts_refused_by_the_limit_of_an_account_do_not_count_for_their_address() {
    let limits = [
        "--failed-logins-per-account=1",
        "--failed-logins-per-address=2",
    ];
    let client = Service::with(&limits).await.client;
    registered_from(&client, HOME, "ann@example.com").await;
    registered_from(&client, HOME, "bob@example.com").await;
    fail(&client, "192.0.2.1", &["ann@example.com"]).await;
    for _ in 0..5 {
        wait(&client, "192.0.2.2", "ann@example.com").await;
    }
    fail(&client, "192.0.2.2", &["bob@example.com"]).await;
    fail(&client, "192.0.2.2", &["eve@example.com"]).await;
    wait(&client, "192.0.2.2", "kim@example.com").await;
}

#[tokio::test]
async fn known_networks_survive_a_restart_and_a_rotation_and_are_stored_as_hashes() {
    let users = start_user().await;
    let limits = "--failed-logins-per-account=1";
    let ann = "ann@example.com";
    let service = Service::before(users, &[limits]).await;
    registered_from(&service.client, HOME, ann).await;

    let service = Service::again(service.folder, users, &[limits]).await;
    fail(&service.client, "192.0.2.1", &[ann]).await;
    wait(&service.client, "192.0.2.1", ann).await;
    enter(&service.client, HOME, ann).await;

    let other = "--jwt-secret=another secret, of thirty-two bytes or more too";
    let previous = format!("--jwt-previous-secret={SECRET}");
    let service = Service::again(service.folder, users, &[limits, other, &previous]).await;
    fail(&service.client, "192.0.2.1", &[ann]).await;
    enter(&service.client, HOME, ann).await;
    // That sign-in has stored the network with the new secret.
    let service = Service::again(service.folder, users, &[limits, other]).await;
    fail(&service.client, "192.0.2.1", &[ann]).await;
    enter(&service.client, HOME, ann).await;

    let mut files = 0;
    for entry in std::fs::read_dir(service.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("ann@") && !text.contains("203.0.113"));
        files += usize::from(text.contains("known_networks"));
    }
    assert!(files > 0, "the table is in another file");
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
async fn an_address_is_limited_across_accounts() {
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
async fn without_a_client_address_the_peer_address_counts() {
    let client = Service::with(&["--failed-logins-per-address=2"])
        .await
        .client;
    registered(&client, "ann@example.com").await;
    fail(&client, "", &["bob@example.com", "eve@example.com"]).await;
    wait(&client, "", "ann@example.com").await;
    wait(&client, "127.0.0.1", "ann@example.com").await;
}

#[tokio::test]
async fn successful_and_malformed_sign_ins_do_not_count() {
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
async fn concurrent_attempts_do_not_exceed_the_limit() {
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

/// Cancels a sign-in while the user service checks the password. Then lets the check end.
async fn cancel(client: &Client, fake: &Fake, email: &'static str) {
    fake.hold(true);
    let calls = fake.calls() + 1;
    let mut caller = client.clone();
    let call = tokio::spawn(async move {
        let request = login_from("192.0.2.1", email, PASSWORD);
        caller.login(request).await.map(drop)
    });
    eventually("the check is under way", async || {
        (fake.calls() == calls).then_some(())
    })
    .await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    // The service receives the cancellation before this call.
    assert!(!is_valid(client, "no token").await);
    fake.hold(false);
}

#[tokio::test]
async fn a_cancelled_sign_in_counts_only_if_its_password_was_wrong() {
    let fake = Fake::new(|call| {
        let wrong = Status::unauthenticated("wrong email or password");
        Some(if call < 2 { Ok(()) } else { Err(wrong) })
    });
    let limits = [
        "--failed-logins-per-account=1",
        "--failed-logins-per-address=1",
    ];
    let client = Service::before(fake.start().await, &limits).await.client;
    cancel(&client, &fake, "ann@example.com").await;
    enter(&client, "192.0.2.1", "ann@example.com").await;

    cancel(&client, &fake, "bob@example.com").await;
    wait(&client, "192.0.2.2", "bob@example.com").await;
    wait(&client, "192.0.2.1", "eve@example.com").await;
    assert_eq!(fake.calls(), 3);
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

/// The outcome of a registration from an address.
async fn try_registration(client: &Client, address: &str, email: &str) -> Result<(), Status> {
    let request = register_from(address, email, PASSWORD);
    client.clone().register(request).await.map(drop)
}

#[tokio::test]
async fn registrations_are_limited_by_address_whether_they_succeed_or_not() {
    let client = Service::with(&["--registrations-per-address=3"])
        .await
        .client;
    let from = async |address, email| try_registration(&client, address, email).await;
    from("192.0.2.1", "ann@example.com").await.unwrap();
    for _ in 0..2 {
        let taken = from("192.0.2.1", "ann@example.com").await.unwrap_err();
        assert_eq!(taken.code(), Code::AlreadyExists);
    }
    for (address, email) in [
        ("192.0.2.1", "ann@example.com"),
        ("::ffff:192.0.2.1", "bob@example.com"),
    ] {
        let status = from(address, email).await.unwrap_err();
        assert_eq!(status.message(), "too many attempts");
        let delay = retry_delay(&status);
        assert!(delay > Duration::from_secs(19 * 60) && delay <= Duration::from_secs(20 * 60));
    }
    for (address, email) in [
        ("192.0.2.2", "bob@example.com"),
        ("2001:db8::1", "eve@example.com"),
        ("2001:db8::2", "kim@example.com"),
        ("2001:db8::3", "zoe@example.com"),
    ] {
        from(address, email).await.unwrap();
    }
    let status = from("2001:db8::4", "lea@example.com").await.unwrap_err();
    retry_delay(&status);
    // The limit on registrations does not apply to sign-ins.
    let login = login_from("192.0.2.1", "ann@example.com", PASSWORD);
    client.clone().login(login).await.unwrap();
}

#[tokio::test]
async fn a_malformed_registration_does_not_count_and_its_address_is_checked() {
    let mut client = Service::with(&["--registrations-per-address=1"])
        .await
        .client;
    for _ in 0..3 {
        let outcome = client.register(register("ann", "short")).await;
        assert_eq!(fields(&outcome.unwrap_err()), ["email", "password"]);
    }
    let outcome = try_registration(&client, "localhost", "ann@example.com").await;
    assert_eq!(fields(&outcome.unwrap_err()), ["client_address"]);
    registered(&client, "ann@example.com").await;
    // Without a client address, the peer address counts.
    for address in ["", "127.0.0.1"] {
        let outcome = try_registration(&client, address, "bob@example.com").await;
        retry_delay(&outcome.unwrap_err());
    }
}

#[tokio::test]
async fn a_flood_of_registrations_from_one_address_is_refused_at_once() {
    let fake = Fake::new(|_| None);
    let client = Service::before(fake.start().await, &["--registrations-per-address=3"])
        .await
        .client;
    let running: Vec<_> = (0..3)
        .map(|index| {
            let client = client.clone();
            let email = format!("{index}@example.com");
            tokio::spawn(async move { try_registration(&client, "", &email).await })
        })
        .collect();
    eventually("they are under way", async || {
        (fake.calls() == 3).then_some(())
    })
    .await;
    let outcome = try_registration(&client, "", "ann@example.com").await;
    retry_delay(&outcome.unwrap_err());
    assert!(running.iter().all(|call| !call.is_finished()));
}

#[tokio::test]
async fn concurrent_right_passwords_all_pass() {
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
