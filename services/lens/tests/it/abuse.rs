//! Clients that ask for much and take little.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
};
use procfs::process::Process;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{
    harness::{Lens, binary},
    server::text,
};

/// Time limit for the answer to another client.
const SOON: Duration = Duration::from_secs(10);

/// Time limit for memory to be returned to the system. Later, lens closes the connections of clients that took nothing.
const SETTLED: Duration = Duration::from_secs(15);

const MIB: u64 = 1 << 20;

/// The preface of HTTP/2, and empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Resident memory of lens in bytes, and the processor time that it has taken.
fn usage(lens: &Lens) -> (u64, Duration) {
    let stat = Process::new(lens.process.id().cast_signed())
        .unwrap()
        .stat()
        .unwrap();
    let ticks = stat.utime + stat.stime;
    let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
    (
        stat.rss * procfs::page_size(),
        Duration::from_secs_f64(seconds),
    )
}

/// The start of the answer to another client.
async fn other(lens: &Lens, path: &str) -> String {
    let ask = async {
        let mut stream = TcpStream::connect(lens.pages).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..answer.len().min(100)]).into_owned()
    };
    timeout(SOON, ask).await.expect("others are served")
}

/// Stores log records that take about 12 MiB, and do not compress. A system keeps 4 MiB for a connection.
async fn fill(lens: &Lens) {
    let noise = || -> String {
        std::iter::repeat_with(fastrand::alphanumeric)
            .take(8 << 10)
            .collect()
    };
    let mut client = LogsServiceClient::new(testing::channel(lens.otlp));
    for _ in 0..12 {
        let record = || LogRecord {
            time_unix_nano: 1_000,
            body: Some(text(&noise())),
            ..LogRecord::default()
        };
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                scope_logs: vec![ScopeLogs {
                    log_records: std::iter::repeat_with(record).take(128).collect(),
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        };
        client.export(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_neither_block_others_nor_fill_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    // The allocator returns memory at once, so that the answers are measured and not what it keeps.
    let mut command = binary(folder.path());
    let lens = Lens::start_by(command.env("MIMALLOC_PURGE_DELAY", "0")).await;
    fill(&lens).await;
    // The memory of a full answer that is taken at once.
    for path in ["/api/export", "/api/logs?limit=1000", "/logs"] {
        assert!(other(&lens, path).await.starts_with("HTTP/1.1 200 OK"));
    }
    let before = usage(&lens).0;
    let mut readers = Vec::new();
    let mut read = async |path: &str, count: usize| {
        for _ in 0..count {
            let mut stream = TcpStream::connect(lens.pages).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            readers.push(stream);
        }
        sleep(Duration::from_secs(1)).await;
    };
    // More than the answers that are made at the same time.
    read("/api/export", 12).await;
    for path in [
        "/api/export",
        "/api/logs",
        "/api/matches?signal=logs",
        "/logs",
        "/traces",
    ] {
        let answer = other(&lens, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{path}: {answer}");
    }
    // More than the memory for answers.
    for path in ["/api/logs?limit=1000", "/api/export", "/logs"] {
        read(path, 20).await;
    }
    let grown = || usage(&lens).0.saturating_sub(before) / MIB;
    assert!(grown() < 400, "{} MiB", grown());
    // What finds no memory waits for some seconds, and threads that are idle keep memory for as long.
    sleep(SOON).await;
    let began = Instant::now();
    while grown() > 100 {
        assert!(began.elapsed() < SETTLED, "{} MiB", grown());
        sleep(Duration::from_millis(200)).await;
    }
    for path in ["/health/live", "/api/status"] {
        let answer = other(&lens, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{path}: {answer}");
    }
    lens.send(1).await;
    // One byte at a time is slow too, and the answers of those who leave make room.
    readers[0].read_u8().await.unwrap();
    drop(readers);
    let answer = other(&lens, "/api/logs?limit=1000").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_at_once_cost_little() {
    /// Number of streams of a client. Each takes two frames.
    const STREAMS: u32 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let lens = Lens::start(folder.path()).await;
    lens.send(1).await;
    // GET and POST of / by the static table of HPACK (RFC 7541, appendix A), with the authority x.
    let (get, post) = (b"\x82\x86\x84\x41\x01x", b"\x83\x86\x84\x41\x01x");
    for address in [lens.pages, lens.otlp] {
        // The end of the stream, or a body that never comes.
        for (flags, head) in [(0x5, get), (0x4, post)] {
            let before = usage(&lens);
            let mut bytes = PREFACE.to_vec();
            for stream in (1..2 * STREAMS).step_by(2) {
                bytes.extend(frame(1, flags, stream, head));
                // CANCEL
                bytes.extend(frame(3, 0, stream, &8_u32.to_be_bytes()));
            }
            let mut clients = Vec::new();
            for _ in 0..4 {
                let bytes = bytes.clone();
                clients.push(tokio::spawn(async move {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    // lens may close the connection before it has read all.
                    let _ = stream.write_all(&bytes).await;
                    stream
                }));
            }
            let began = Instant::now();
            assert!(other(&lens, "/logs").await.starts_with("HTTP/1.1 200 OK"));
            lens.send(2).await;
            assert!(began.elapsed() < SOON);
            let mut open = Vec::new();
            for client in clients {
                open.push(timeout(SOON, client).await.unwrap().unwrap());
            }
            let after = usage(&lens);
            let grown = after.0.saturating_sub(before.0) / MIB;
            assert!(grown < 64, "{grown} MiB");
            let took = after.1.saturating_sub(before.1);
            assert!(took < SOON, "{took:?}");
            println!("{address} {flags}: {grown} MiB, {took:?}");
        }
    }
}
