//! Tests of publishing the schema to a registry.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::harness::{Cluster, Service, eventually, parse};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n{\"id\":1}";

const REDIRECT: &str = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\n\
    content-length: 0\r\nconnection: close\r\n\r\n";

/// A registry that records each request and answers with these texts in turn. It repeats the last one.
async fn registry(answers: &'static [&str]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests: Arc<Mutex<Vec<String>>> = Arc::default();
    let received = Arc::clone(&requests);
    tokio::spawn(async move {
        for index in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let complete = |request: &[u8]| {
                let text = String::from_utf8_lossy(request);
                let (head, body) = text.split_once("\r\n\r\n")?;
                let line = head
                    .lines()
                    .find(|line| line.starts_with("content-length"))?;
                let length: usize = line.split(": ").nth(1)?.parse().ok()?;
                (body.len() >= length).then_some(())
            };
            while complete(&request).is_none() {
                stream.read_buf(&mut request).await.unwrap();
            }
            let text = String::from_utf8(request).unwrap();
            received.lock().unwrap().push(text);
            let answer = answers[index.min(answers.len() - 1)];
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, requests)
}

#[tokio::test]
async fn a_redirect_of_the_registry_is_not_followed_and_the_request_is_retried() {
    let (url, requests) = registry(&[REDIRECT, OK]).await;
    let cluster = Cluster::start();
    let args = [
        "--kafka-brokers",
        &cluster.brokers,
        "--schema-registry-url",
        &format!("{url}/a/path/"),
    ];
    let service = Service::start(&parse(&args));
    eventually(async || requests.lock().unwrap().len() == 3).await;
    service.stop().await;
    for request in requests.lock().unwrap().iter() {
        assert!(
            request.starts_with("POST /a/path/subjects/otelix."),
            "{request}"
        );
    }
}

#[tokio::test]
async fn the_schema_is_published_for_each_topic() {
    let (url, requests) = registry(&[OK]).await;
    let cluster = Cluster::start();
    let args = [
        "--kafka-brokers",
        &cluster.brokers,
        "--schema-registry-url",
        &url,
    ];
    let service = Service::start(&parse(&args));
    eventually(async || requests.lock().unwrap().len() == 2).await;
    service.stop().await;
    let requests = requests.lock().unwrap().clone();
    for (request, topic) in requests.iter().zip(["otelix.user.v1", "otelix.auth.v1"]) {
        let line = format!("POST /subjects/{topic}-value/versions HTTP/1.1\r\n");
        assert!(request.starts_with(&line), "{request}");
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["schemaType"], "PROTOBUF");
        assert!(
            body["schema"]
                .as_str()
                .unwrap()
                .contains("message UserRegistered {")
        );
    }
}
