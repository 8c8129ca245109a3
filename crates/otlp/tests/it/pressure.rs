//! Many requests at once.

use std::time::Duration;

use otlp::Limits;
use prost::Message as _;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet, time::sleep};

use crate::server::{Response, Server, span, start};

const PROTOBUF: &[&str] = &["content-type: application/x-protobuf"];

#[tokio::test]
async fn requests_that_stay_incomplete_do_not_fill_the_memory() {
    let server = start(Limits::default()).await;
    let mut held = Vec::new();
    for _ in 0..6 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = "POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 4000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![0; 3_900_000]).await.unwrap();
        held.push(stream);
    }
    // When the memory for small requests is used up, a client is told to retry, and not refused for good.
    let answer = until(&server, 503).await;
    assert!(answer.head.contains("retry-after: 1\r\n"), "{answer:?}");
    drop(held);
    until(&server, 200).await;
}

/// Sends a small request until this is the status of the answer.
async fn until(server: &Server, status: u16) -> Response {
    for _ in 0..100 {
        let answer = server.post(PROTOBUF, &span(1).encode_to_vec()).await;
        if answer.status() == status {
            return answer;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the status is never {status}");
}

#[tokio::test]
async fn a_hundred_clients_are_served_at_once() {
    let server = start(Limits::default()).await;
    let mut clients = JoinSet::new();
    for id in 1..=100 {
        let mut client = server.grpc().await;
        clients.spawn(async move {
            for _ in 0..10 {
                client.export(span(id)).await.unwrap();
            }
        });
    }
    while let Some(outcome) = clients.join_next().await {
        outcome.unwrap();
    }
    let spans = server.sink.spans.lock().unwrap();
    for id in 1..=100 {
        assert_eq!(spans.iter().filter(|span| **span == [id; 8]).count(), 10);
    }
}
