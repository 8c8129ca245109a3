//! The operations on accounts.

use std::time::{Duration, Instant, SystemTime};

use diesel::RunQueryDsl as _;
use futures_util::future::join_all;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::harness::{
    CHEAP, Client, PASSWORD, Service, by_email, by_id, create, create_as, created, parts, verify,
};

const UUID: &str = "0190a6a8-3f5c-7c3a-8f6e-0123456789ab";
const OTHER_UUID: &str = "0190a6a8-3f5c-7c3a-8f6e-0123456789ac";

#[tokio::test]
async fn an_account_is_found_by_id_and_by_email_and_its_password_verified() {
    let mut client = Service::start().await.client;
    let before = SystemTime::now();
    let user = created(&client, "Ann@Example.com").await;

    assert_eq!(user.email, "ann@example.com");
    let created_at = SystemTime::try_from(user.created_at.unwrap()).unwrap();
    assert!(created_at >= before - Duration::from_millis(1) && created_at <= SystemTime::now());
    assert_eq!(
        uuid::Uuid::parse_str(&user.id).unwrap().get_version_num(),
        7
    );

    let found = client.get_user(by_id(&user.id)).await.unwrap();
    assert_eq!(found.into_inner().user, Some(user.clone()));
    for spelling in ["ann@example.com", "ANN@example.COM", " Ann@Example.com\t"] {
        let found = client.get_user(by_email(spelling)).await.unwrap();
        assert_eq!(found.into_inner().user.as_ref(), Some(&user), "{spelling}");
        let verified = client
            .verify_password(verify(spelling, PASSWORD))
            .await
            .unwrap();
        assert_eq!(
            verified.into_inner().user.as_ref(),
            Some(&user),
            "{spelling}"
        );
    }
}

#[tokio::test]
async fn an_account_is_found_by_any_spelling_of_its_uuid() {
    let mut client = Service::start().await.client;
    let user = created(&client, "ann@example.com").await;
    for spelling in [user.id.to_uppercase(), user.id.replace('-', "")] {
        let found = client.get_user(by_id(&spelling)).await.unwrap();
        assert_eq!(found.into_inner().user.as_ref(), Some(&user), "{spelling}");
    }
}

#[tokio::test]
async fn all_spellings_of_an_email_are_one_account() {
    let service = Service::start().await;
    let mut client = service.client;
    created(&client, "jörg@example.com").await;
    for spelling in [
        "jörg@example.com",
        "JÖRG@EXAMPLE.COM",
        " Jörg@example.com ",
        "jo\u{308}rg@example.com",
    ] {
        let status = client
            .create_user(create(spelling, "another password"))
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists, "{spelling}");
        assert_eq!(status.message(), "the email is taken");
    }
    // The account still has its first password.
    client
        .verify_password(verify("jörg@example.com", PASSWORD))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_account_with_an_email_that_is_not_normalised_is_found() {
    let service = Service::start().await;
    let (mut client, mut database) = (service.client.clone(), service.database());
    let mut stored_as = |stored: &str, now: &str| {
        let query = diesel::sql_query("UPDATE users SET email = ? WHERE email = ?");
        let query = query.bind::<diesel::sql_types::Text, _>(stored.to_owned());
        let query = query.bind::<diesel::sql_types::Text, _>(now.to_owned());
        assert_eq!(query.execute(&mut database).unwrap(), 1);
    };
    let composed = created(&client, "j\u{f6}rg@example.com").await;
    stored_as("jo\u{308}rg@example.com", "j\u{f6}rg@example.com");
    let ann = created(&client, "ann@ex\u{e4}mple.de").await;
    stored_as("ann@xn--exmple-cua.de", "ann@ex\u{e4}mple.de");

    for (typed, user) in [
        ("JO\u{308}RG@example.com", &composed),
        ("ann@XN--exmple-cua.de", &ann),
    ] {
        let found = client.verify_password(verify(typed, PASSWORD)).await;
        assert_eq!(
            found.unwrap().into_inner().user.unwrap().id,
            user.id,
            "{typed}"
        );
        let taken = client.create_user(create(typed, PASSWORD)).await;
        assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists, "{typed}");
    }
    // If both forms have an account, each is found by its exact email.
    let newer = created(&client, "j\u{f6}rg@example.com").await;
    for (typed, user) in [
        ("jo\u{308}rg@example.com", &composed),
        ("j\u{f6}rg@example.com", &newer),
    ] {
        let found = client.get_user(by_email(typed)).await.unwrap();
        assert_eq!(found.into_inner().user.unwrap().id, user.id, "{typed}");
    }
}

#[tokio::test]
async fn a_repeated_creation_with_the_same_id_has_the_same_answer() {
    let mut client = Service::start().await.client;
    let request = create_as(UUID, "ann@example.com");
    let first = client.create_user(request.clone()).await.unwrap();
    let first = first.into_inner();
    assert_eq!(first.user.as_ref().unwrap().id, UUID);

    let again = client.create_user(request).await.unwrap();
    assert_eq!(again.into_inner(), first);
    let differently_spelt = create_as(&UUID.to_uppercase(), " ANN@example.com");
    let again = client.create_user(differently_spelt).await.unwrap();
    assert_eq!(again.into_inner(), first);
}

#[tokio::test]
async fn a_creation_with_another_id_or_without_an_id_is_not_a_repetition() {
    let mut client = Service::start().await.client;
    client
        .create_user(create_as(UUID, "ann@example.com"))
        .await
        .unwrap();
    for request in [
        create_as(OTHER_UUID, "ann@example.com"),
        create("ann@example.com", PASSWORD),
    ] {
        let status = client.create_user(request).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
    }
    let missing = client.get_user(by_id(OTHER_UUID)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn an_id_of_another_account_is_refused() {
    let mut client = Service::start().await.client;
    client
        .create_user(create_as(UUID, "ann@example.com"))
        .await
        .unwrap();
    let status = client
        .create_user(create_as(UUID, "bob@example.com"))
        .await
        .unwrap_err();
    assert_eq!(testing::fields(&status), ["user_id"]);
    let missing = client.get_user(by_email("bob@example.com")).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_unknown_id_or_email_is_not_found() {
    let mut client = Service::start().await.client;
    for key in [by_id(UUID), by_email("nobody@example.com")] {
        let status = client.get_user(key).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(status.message(), "no such user");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_email_have_the_same_answer() {
    let mut client = Service::start().await.client;
    created(&client, "ann@example.com").await;
    let mut refusal = async |email: &str, password: &str| {
        let status = client.verify_password(verify(email, password)).await;
        let status = status.unwrap_err();
        (parts(&status), status.details().to_vec())
    };
    let wrong_password = refusal("ann@example.com", "another password").await;
    assert_eq!(wrong_password.0.0, Code::Unauthenticated);
    assert_eq!(wrong_password.0.1, "wrong email or password");
    for (email, password) in [
        ("bob@example.com", PASSWORD),
        // No account can have this password. It is wrong and not malformed.
        ("ann@example.com", "x"),
        ("bob@example.com", "x"),
        // Passwords are compared as they are.
        ("ann@example.com", "Correct horse battery"),
        ("ann@example.com", "correct horse battery "),
    ] {
        let other = refusal(email, password).await;
        assert_eq!(
            format!("{other:?}"),
            format!("{wrong_password:?}"),
            "{email} {password}"
        );
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_email_take_the_same_time() {
    const CALLS: usize = 15;
    let client = Service::with(&[]).await.client;
    created(&client, "ann@example.com").await;
    let refused = async |email: &str| {
        let started = Instant::now();
        let outcome = client
            .clone()
            .verify_password(verify(email, "another password"))
            .await;
        assert_eq!(outcome.unwrap_err().code(), Code::Unauthenticated);
        started.elapsed()
    };
    let mut measured = Vec::new();
    // A busy machine can disturb one measurement. A real difference would show in all of them.
    for _ in 0..4 {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for _ in 0..CALLS {
            known.push(refused("ann@example.com").await);
            unknown.push(refused("bob@example.com").await);
        }
        known.sort();
        unknown.sort();
        let (known, unknown) = (known[CALLS / 2], unknown[CALLS / 2]);
        let ratio = unknown.as_secs_f64() / known.as_secs_f64();
        if (0.7..1.0 / 0.7).contains(&ratio) {
            return;
        }
        measured.push((known, unknown));
    }
    panic!("medians (known, unknown) differ: {measured:?}");
}

/// Registers one email `count` times concurrently, each time with a new id. Returns how many
/// registrations succeed.
async fn winners(count: usize, email: &str, clients: &[Client]) -> usize {
    let outcomes = join_all((0..count).map(|index| {
        let mut client = clients[index % clients.len()].clone();
        let request = create_as(&uuid::Uuid::now_v7().to_string(), email);
        tokio::spawn(async move { client.create_user(request).await })
    }))
    .await;
    let mut won = 0;
    for outcome in outcomes {
        match outcome.unwrap() {
            Ok(_) => won += 1,
            Err(status) => assert_eq!(status.code(), Code::AlreadyExists, "{status:?}"),
        }
    }
    won
}

#[tokio::test(flavor = "multi_thread")]
async fn of_concurrent_registrations_of_one_email_one_succeeds() {
    let service = Service::with(&CHEAP).await;
    let clients: Vec<Client> = (0..4).map(|_| service.connect()).collect();
    for (round, count) in [2, 20, 2, 20, 2, 20].into_iter().enumerate() {
        let email = format!("round{round}@example.com");
        assert_eq!(winners(count, &email, &clients).await, 1);
        let mut client = clients[0].clone();
        client
            .verify_password(verify(&email, PASSWORD))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_registrations_with_the_same_id_both_succeed() {
    let client = Service::start().await.client;
    for round in 0..10 {
        let request = create_as(
            &uuid::Uuid::now_v7().to_string(),
            &format!("round{round}@example.com"),
        );
        let outcomes = join_all((0..2).map(|_| {
            let (mut client, request) = (client.clone(), request.clone());
            tokio::spawn(async move { client.create_user(request).await })
        }))
        .await;
        for outcome in outcomes {
            let user = outcome.unwrap().unwrap().into_inner().user.unwrap();
            assert_eq!(user.id, request.user_id);
        }
    }
}

#[tokio::test]
async fn a_refusal_has_only_the_documented_details() {
    let mut client = Service::start().await.client;
    created(&client, "ann@example.com").await;
    let taken = client
        .create_user(create("ann@example.com", PASSWORD))
        .await
        .unwrap_err();
    let missing = client.get_user(by_id(UUID)).await.unwrap_err();
    let wrong = client
        .verify_password(verify("ann@example.com", "another password"))
        .await
        .unwrap_err();
    for status in [taken, missing, wrong] {
        assert!(status.details().is_empty(), "{status:?}");
        assert!(status.check_error_details().is_ok());
    }
}
