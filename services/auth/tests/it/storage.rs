//! A locked database, and a file that is not a database.

use diesel::{
    QueryableByName, RunQueryDsl as _, connection::SimpleConnection as _, sql_types::Text,
};
use testing::Process;
use tonic::Code;

use crate::harness::{
    PASSWORD, SECRET, Service, binary, is_valid, login, logout, nowhere, register, registered,
};

#[tokio::test]
async fn while_the_database_is_locked_writes_fail_and_reads_succeed() {
    let service = Service::start().await;
    let client = &service.client;
    let (open, _) = registered(client, "ann@example.com").await;
    let (revoked, _) = registered(client, "bob@example.com").await;
    client.clone().logout(logout(&revoked)).await.unwrap();
    let mut other = service.database();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();

    let [mut one, mut two, mut three] = [(); 3].map(|()| client.clone());
    let (logout_outcome, login_outcome, register_outcome) = tokio::join!(
        one.logout(logout(&open)),
        two.login(login("ann@example.com", PASSWORD)),
        three.register(register("eve@example.com", PASSWORD)),
    );
    let refusals = [
        logout_outcome.map(drop),
        login_outcome.map(drop),
        register_outcome.map(drop),
    ];
    for outcome in refusals {
        let status = outcome.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert_eq!(status.message(), "the database is busy");
    }
    assert!(is_valid(client, &open).await, "not signed out");
    assert!(!is_valid(client, &revoked).await);

    other.batch_execute("COMMIT").unwrap();
    client.clone().logout(logout(&open)).await.unwrap();
    assert!(!is_valid(client, &open).await);
    // The registration has created the account but no session.
    client
        .clone()
        .login(login("eve@example.com", PASSWORD))
        .await
        .unwrap();
}

/// If a version changed, databases of earlier releases would run the migration again, or refuse it
/// as unknown.
#[tokio::test]
async fn the_migrations_have_the_versions_that_earlier_databases_have() {
    #[derive(QueryableByName)]
    struct Applied {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let service = Service::start().await;
    registered(&service.client, "ann@example.com").await;
    let mut database = service.database();
    let query =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version");
    let applied: Vec<Applied> = query.load(&mut database).unwrap();
    let versions: Vec<&str> = applied.iter().map(|row| &*row.version).collect();
    assert_eq!(
        versions,
        ["20261123000000", "20261123000001", "20261126000000"]
    );
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth.db");
    std::fs::write(&path, "a letter to a friend\n".repeat(1000)).unwrap();
    let mut command = binary(folder.path(), nowhere());
    let ended = Process::run(command.env("JWT_SECRET", SECRET)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for word in ["auth.db", "not a database"] {
        assert!(ended.stderr.contains(word), "{ended:?}");
    }
}
