//! The events of accounts.

use events::{Data, USER_TOPIC};
use proto::events::v1::UserRegistered;
use testing::Listener;
use tonic::Code;
use uuid::Uuid;

use crate::harness::{CHEAP, PASSWORD, Service, create, create_as, created};

#[tokio::test]
async fn each_account_has_one_event_and_a_refused_registration_none() {
    let listener = Listener::start(USER_TOPIC);
    let broker = listener.argument();
    let service = Service::with(&[&CHEAP[..], &[&broker]].concat()).await;
    let mut client = service.client.clone();

    let ann = created(&client, "ann@example.com").await;
    let refused = client
        .create_user(create("ann@example.com", PASSWORD))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::AlreadyExists);
    let id = Uuid::now_v7().to_string();
    for _ in 0..2 {
        // The second call is a repetition.
        let bob = create_as(&id, "bob@example.com");
        client.create_user(bob).await.unwrap();
    }
    let cid = created(&client, "cid@example.com").await;

    let events = listener.events(3).await;
    assert_eq!(events.len(), 3, "{events:#?}");
    for (event, user_id) in events.iter().zip([ann.id, id, cid.id]) {
        assert_eq!(event.source, "user");
        assert_eq!(event.subject.unwrap().to_string(), user_id);
        assert_eq!(event.data, Data::UserRegistered(UserRegistered { user_id }));
    }
}
