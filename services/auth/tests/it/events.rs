//! The events of sessions.

use events::{AUTH_TOPIC, Data};
use proto::{
    auth::v1::LoginRequest,
    events::v1::{
        LoginFailed, LoginFailedReason, LoginMethod, LoginSucceeded, SessionRevoked,
        SessionRevokedReason,
    },
};
use testing::Listener;
use tonic::Code;

use crate::harness::{PASSWORD, Service, login, logout, register, registered};

#[tokio::test]
async fn the_event_of_a_replaced_session_precedes_that_of_the_new_one() {
    let listener = Listener::start(AUTH_TOPIC);
    let broker = listener.argument();
    let service = Service::with(&[&broker]).await;
    let mut client = service.client.clone();
    let (token, user) = registered(&client, "ann@example.com").await;
    for _ in 0..2 {
        let request = LoginRequest {
            replaced_token: token.clone(),
            ..login("ann@example.com", PASSWORD)
        };
        client.login(request).await.unwrap();
    }

    let events = listener.events(4).await;
    let Data::LoginSucceeded(opened) = &events[0].data else {
        panic!("{events:?}");
    };
    let revoked = Data::SessionRevoked(SessionRevoked {
        user_id: user.id,
        session_id: opened.session_id.clone(),
        reason: SessionRevokedReason::Replaced.into(),
    });
    assert_eq!(events[1].data, revoked);
    for event in &events[2..] {
        assert!(matches!(event.data, Data::LoginSucceeded(_)), "{event:?}");
    }
}

#[tokio::test]
async fn each_change_of_a_session_has_an_event() {
    let listener = Listener::start(AUTH_TOPIC);
    let broker = listener.argument();
    let service = Service::with(&[&broker, "--failed-logins-per-account=1"]).await;
    let mut client = service.client.clone();

    let (token, user) = registered(&client, "ann@example.com").await;
    let again = client.register(register("ann@example.com", PASSWORD)).await;
    assert_eq!(again.unwrap_err().code(), Code::AlreadyExists);
    client
        .login(login("ann@example.com", PASSWORD))
        .await
        .unwrap();
    for email in ["ann@example.com", "nobody@example.com"] {
        let wrong = client.login(login(email, "wrong")).await;
        assert_eq!(wrong.unwrap_err().code(), Code::Unauthenticated);
        // The limit refuses this attempt, so it has no event.
        let limited = client.login(login(email, "wrong")).await;
        assert_eq!(limited.unwrap_err().code(), Code::ResourceExhausted);
    }
    for _ in 0..2 {
        // The session is already revoked, so this has no event.
        client.logout(logout(&token)).await.unwrap();
    }

    let events = listener.events(5).await;
    assert_eq!(events.len(), 5, "{events:#?}");
    assert!(events.iter().all(|event| event.source == "auth"));
    let session = |index: usize| match &events[index].data {
        Data::LoginSucceeded(data) => data.session_id.clone(),
        other => panic!("{other:?}"),
    };
    let opened = |index, method: LoginMethod| {
        Data::LoginSucceeded(LoginSucceeded {
            user_id: user.id.clone(),
            session_id: session(index),
            method: method.into(),
        })
    };
    assert_eq!(events[0].data, opened(0, LoginMethod::Registration));
    assert_eq!(events[1].data, opened(1, LoginMethod::Password));
    assert_ne!(session(0), session(1));
    let failed = Data::LoginFailed(LoginFailed {
        reason: LoginFailedReason::WrongCredentials.into(),
    });
    // Failures of known and of unknown emails have the same event.
    assert_eq!(events[2].data, failed);
    assert_eq!(events[3].data, failed);
    let revoked = Data::SessionRevoked(SessionRevoked {
        user_id: user.id.clone(),
        session_id: session(0),
        reason: SessionRevokedReason::Logout.into(),
    });
    assert_eq!(events[4].data, revoked);
    for (index, event) in events.iter().enumerate() {
        let subject = event.subject.map(|id| id.to_string());
        let known = (![2, 3].contains(&index)).then(|| user.id.clone());
        assert_eq!(subject, known);
    }
}
