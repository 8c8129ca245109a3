//! The memory of decompressed requests.
//!
//! It is a program of its own, because the memory of other tests would be measured too.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests and their helpers may panic")]

#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "it/server.rs"]
mod server;

use std::{fs, io::Write as _, sync::Arc, time::Duration};

use flate2::{Compression, write::GzEncoder};
use otlp::Limits;
use prost::Message as _;
use tokio::{task::JoinSet, time::sleep};

use crate::server::{span, start};

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
