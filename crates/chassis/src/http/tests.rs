use std::sync::Mutex;

use axum::routing::get;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
};

use super::*;
use crate::stop::DRAIN;

/// Deadline of each wait, longer than any step of the tests takes.
const PATIENCE: Duration = Duration::from_secs(20);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Limits that are never reached.
const WIDE: ConnectionLimits = ConnectionLimits {
    connections: 100,
    first: PATIENCE,
    idle: PATIENCE,
};

struct Server {
    address: SocketAddr,
    faults: Arc<Mutex<Vec<Fault>>>,
    stop: oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
    /// Releases the answers to `/slow`.
    go: watch::Sender<bool>,
}

impl Server {
    async fn start(limits: ConnectionLimits) -> Self {
        let (go, gone) = watch::channel(false);
        let slow = get(async move || {
            let mut gone = gone.clone();
            let _ = gone.wait_for(|gone| *gone).await;
            "slow"
        });
        let router = Router::new()
            .route("/", get(async || "fast"))
            .route("/slow", slow);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap_or_default() };
        let faults = Arc::<Mutex<Vec<_>>>::default();
        let noted = Arc::clone(&faults);
        let note = Arc::new(move |peer: SocketAddr, fault| {
            assert!(peer.ip().is_loopback());
            noted.lock().unwrap().push(fault);
        });
        let done = tokio::spawn(serve_within(limits, router, listener, stopped, note));
        Self {
            address,
            faults,
            stop,
            done,
            go,
        }
    }

    /// The faults, once there are this many.
    async fn faults(&self, count: usize) -> Vec<Fault> {
        let wait = async {
            while self.faults.lock().unwrap().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
        self.faults.lock().unwrap().clone()
    }

    async fn open(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes()
}

/// The bytes that arrive until the server closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset closes the connection too.
    let _ = timeout(PATIENCE / 2, stream.read_to_end(&mut bytes))
        .await
        .expect("the server closes the connection in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads an answer whose body ends with this text.
async fn answer(stream: &mut TcpStream, last: &str) {
    let mut bytes = Vec::new();
    while !bytes.ends_with(last.as_bytes()) {
        let read = timeout(PATIENCE, stream.read_buf(&mut bytes));
        assert_ne!(read.await.unwrap().unwrap(), 0, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let server = Server::start(ConnectionLimits {
        first: Duration::from_millis(20),
        ..WIDE
    })
    .await;
    for bytes in [b"", &b"GET / HTTP/1.1\r\nhost"[..], b"PRI * HT", PREFACE] {
        rest(server.open(bytes).await).await;
    }
}

#[tokio::test]
async fn idle_connections_are_closed_and_others_are_not() {
    let server = Server::start(ConnectionLimits {
        idle: Duration::from_millis(20),
        ..WIDE
    })
    .await;
    let mut slow = server.open(&request("/slow")).await;
    assert!(
        rest(server.open(&request("/")).await)
            .await
            .ends_with("fast")
    );
    server.go.send(true).unwrap();
    answer(&mut slow, "slow").await;
}

/// HTTP/1 has a limit of its own for the head of the next request, HTTP/2 has not.
#[tokio::test]
async fn an_idle_http_2_connection_is_closed_after_its_request() {
    let server = Server::start(ConnectionLimits {
        // The first check comes at the end of this time, and must find the request.
        first: Duration::from_secs(1),
        idle: Duration::from_millis(20),
        ..WIDE
    })
    .await;
    // HEADERS with the end of stream 1: GET, http, / and the authority x (RFC 7541, appendix A).
    let head = b"\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01x";
    let stream = server.open(&[PREFACE, head].concat()).await;
    let received = rest(stream).await;
    assert!(received.contains("fast"), "{received:?}");
}

#[tokio::test]
async fn idle_connections_make_room_for_new_ones() {
    let server = Server::start(ConnectionLimits {
        connections: 3,
        ..WIDE
    })
    .await;
    let mut slow = server.open(&request("/slow")).await;
    for _ in 0..5 {
        let mut kept = server.open(&request("/")).await;
        answer(&mut kept, "fast").await;
        let silent = server.open(b"").await;
        let mut other = server.open(&request("/")).await;
        answer(&mut other, "fast").await;
        rest(kept).await;
        drop(silent);
    }
    server.go.send(true).unwrap();
    answer(&mut slow, "slow").await;
}

#[tokio::test]
async fn a_stop_answers_requests_and_waits_for_nothing_else() {
    let server = Server::start(WIDE).await;
    let slow = server.open(&request("/slow")).await;
    let mut kept = server.open(&request("/")).await;
    answer(&mut kept, "fast").await;
    let mut http2 = server.open(PREFACE).await;
    http2.read_u8().await.unwrap();
    let _mute = [server.open(b"").await, server.open(b"GET /").await, http2];
    server.stop.send(()).unwrap();
    rest(kept).await;
    assert!(!server.done.is_finished(), "a request is under way");
    server.go.send(true).unwrap();
    assert!(rest(slow).await.ends_with("slow"));
    timeout(DRAIN / 2, server.done).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(WIDE).await;
    let head = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nlong: {}\r\n\r\n",
        "x".repeat(2 * HEAD_BYTES as usize)
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may close the connection before it has read all.
    let _ = stream.write_all(head.as_bytes()).await;
    assert!(!rest(stream).await.contains("200 OK"));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    let answer = rest(server.open(many.as_bytes()).await).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(server.faults(2).await, [Fault::Head; 2]);
}

#[tokio::test]
async fn clients_of_other_protocols_are_noted() {
    let server = Server::start(WIDE).await;
    // The start of a ClientHello: a record of a handshake, TLS 1.0 for compatibility.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for bytes in [
        &hello[..],
        &hello[..1],
        b"\x80\x01\x00\x01",
        b"SSH-2.0-x\r\n\r\n",
    ] {
        rest(server.open(bytes).await).await;
    }
    // Neither a request nor a connection without one is a fault.
    let mut kept = server.open(&request("/")).await;
    answer(&mut kept, "fast").await;
    drop(server.open(b"GET / HT").await);
    drop(server.open(PREFACE).await);
    use Fault::{Protocol, Tls};
    assert_eq!(server.faults(4).await, [Tls, Tls, Protocol, Protocol]);
}
