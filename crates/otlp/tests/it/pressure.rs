//! Many requests at once.

use std::{sync::Arc, time::Duration};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use otlp::Limits;
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::server::{Response, Server, sized, span, start};

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
    // When the memory for requests of this size is used up, a client is told to retry, and not refused for good.
    let large = sized(4_000_000);
    let answer = until(&server, &large, 503).await;
    assert!(answer.head.contains("retry-after: 1\r\n"), "{answer:?}");
    // The rest of the memory serves small requests.
    assert_eq!(
        server
            .post(PROTOBUF, &span(1).encode_to_vec())
            .await
            .status(),
        200
    );
    drop(held);
    until(&server, &large, 200).await;
}

/// Sends a request until this is the status of the answer.
async fn until(server: &Server, request: &ExportTraceServiceRequest, status: u16) -> Response {
    let body = request.encode_to_vec();
    for _ in 0..100 {
        let answer = server.post(PROTOBUF, &body).await;
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

/// Clients that send a whole request before they read would otherwise see a broken connection.
#[tokio::test]
async fn clients_that_send_everything_first_read_why_they_are_refused() {
    let limit = 8 << 20;
    let server = start(Limits { request: limit }).await;
    let body = vec![0; 3 * limit];
    let wrong_type = server.post(&["content-type: text/plain"], &body).await;
    assert_eq!(wrong_type.status(), 415);
    let wrong_path = server.send("POST", "/v1/trace", PROTOBUF, &body).await;
    assert_eq!(wrong_path.status(), 404);
    let wrong_method = server.send("PUT", "/v1/traces", PROTOBUF, &body).await;
    assert_eq!(wrong_method.status(), 405);
    assert_eq!(server.post(PROTOBUF, &body).await.status(), 413);
}

#[tokio::test]
async fn a_size_above_the_limit_is_refused_before_it_arrives() {
    let server = start(Limits::default()).await;
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: x\r\n{expect}content-type: application/x-protobuf\r\ncontent-length: 99999999999\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        let read = timeout(Duration::from_secs(10), stream.read_exact(&mut answer));
        read.await.unwrap().unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}

/// Requests that arrive at the same time do not hold parts of the memory that each of them needs as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_four_mebibytes_do_not_stop_each_other() {
    let server = Arc::new(start(Limits::default()).await);
    let body = Arc::new(sized(4 << 20).encode_to_vec());
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        let (server, body) = (Arc::clone(&server), Arc::clone(&body));
        clients.spawn(async move { server.post(PROTOBUF, &body).await.status() });
    }
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
}
