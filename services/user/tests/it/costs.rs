//! Hashes with other costs than the current ones.

use diesel::{RunQueryDsl as _, SqliteConnection, sql_query, sql_types::Text};
use testing::eventually;

use crate::harness::{CHEAP, PASSWORD, Service, created, verify};

const OTHER: [&str; 2] = ["--hash-memory=16", "--hash-iterations=2"];

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    password_hash: String,
}

fn hash_of(database: &mut SqliteConnection, email: &str) -> String {
    sql_query("SELECT password_hash FROM users WHERE email = ?")
        .bind::<Text, _>(email)
        .get_result::<Row>(database)
        .unwrap()
        .password_hash
}

#[tokio::test]
async fn a_sign_in_rehashes_the_password_in_the_background() {
    let service = Service::with(&CHEAP).await;
    created(&service.client, "ann@example.com").await;
    created(&service.client, "bob@example.com").await;
    let service = Service::again(service.folder, &OTHER).await;
    let (mut client, mut database) = (service.client.clone(), service.database());
    let before = ["ann@example.com", "bob@example.com"].map(|email| hash_of(&mut database, email));

    client
        .verify_password(verify("bob@example.com", "another password"))
        .await
        .unwrap_err();
    client
        .verify_password(verify("ann@example.com", PASSWORD))
        .await
        .unwrap();
    let renewed = eventually("the hash is renewed", async || {
        let hash = hash_of(&mut database, "ann@example.com");
        (hash != before[0]).then_some(hash)
    })
    .await;
    assert!(
        renewed.starts_with("$argon2id$v=19$m=16,t=2,p=1$"),
        "{renewed}"
    );
    assert_eq!(hash_of(&mut database, "bob@example.com"), before[1]);

    // The new hash matches the same password, and is not replaced again.
    for _ in 0..2 {
        client
            .verify_password(verify("ann@example.com", PASSWORD))
            .await
            .unwrap();
        assert_eq!(hash_of(&mut database, "ann@example.com"), renewed);
    }
}
