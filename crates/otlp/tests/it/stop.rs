//! The stop of a server with requests under way.

use std::time::Duration;

use otlp::Limits;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::server::{span, start};

#[tokio::test]
async fn a_stop_loses_no_acknowledged_request() {
    let server = start(Limits::default()).await;
    server.sink.hold.send_replace(true);
    let mut clients = JoinSet::new();
    for id in 1..=20 {
        let mut client = server.grpc().await;
        clients.spawn(async move { (id, client.export(span(id)).await.is_ok()) });
    }
    let all_wait = async {
        while server.sink.hold.receiver_count() < 20 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), all_wait).await.unwrap();
    server.stop.send(()).unwrap();
    server.sink.hold.send_replace(false);
    let outcomes = clients.join_all().await;
    server.done.await.unwrap();

    let spans = server.sink.spans.lock().unwrap();
    assert_eq!(outcomes.iter().filter(|(_, is_ok)| *is_ok).count(), 20);
    for (id, _) in outcomes {
        assert!(spans.contains(&vec![id; 8]), "{id}");
    }
}
