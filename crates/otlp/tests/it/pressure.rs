//! Many requests at once.

use std::{fs, io::Write as _, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use otlp::Limits;
use prost::Message as _;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, task::JoinSet, time::sleep};

use crate::server::{Response, Server, span, start};

const HEADERS: &[&str] = &[
    "content-type: application/x-protobuf",
    "content-encoding: gzip",
];

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024
}

/// Zeros that unpack to this many bytes.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; bytes]).unwrap();
    encoder.finish().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn compressed_bombs_do_not_add_up() {
    let server = Arc::new(start(Limits::default()).await);
    // A trailer may lie about the size, so some of these claim to be small.
    let honest = bomb(80 << 20);
    let mut lying = honest.clone();
    let length = lying.len();
    lying[length - 4..].copy_from_slice(&100_u32.to_le_bytes());
    let before = resident();

    let mut peak = before;
    let mut clients = JoinSet::new();
    for number in 0..40 {
        let body = if number % 2 == 0 {
            honest.clone()
        } else {
            lying.clone()
        };
        let server = Arc::clone(&server);
        clients.spawn(async move { server.post(HEADERS, &body).await.status() });
    }
    let mut statuses = Vec::new();
    loop {
        peak = peak.max(resident());
        tokio::select! {
            status = clients.join_next() => match status {
                Some(status) => statuses.push(status.unwrap()),
                None => break,
            },
            () = sleep(Duration::from_millis(5)) => {}
        }
    }
    assert!(
        statuses
            .iter()
            .all(|status| [400, 413, 503].contains(status)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&413), "{statuses:?}");
    let grown = (peak - before) >> 20;
    // One bomb at a time, and the doubling of its buffer.
    assert!(grown < 250, "{grown} MiB");
    assert_eq!(server.post(HEADERS, &gzip(1)).await.status(), 200);
}

fn gzip(id: u8) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&span(id).encode_to_vec()).unwrap();
    encoder.finish().unwrap()
}

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
        let answer = server.post(&HEADERS[..1], &span(1).encode_to_vec()).await;
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
