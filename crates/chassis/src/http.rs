//! HTTP server: limits for the time and number of connections, and a drain at the stop.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use rlimit::Resource;
use telemetry::Service;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tower::{Layer as _, ServiceExt as _};

pub use crate::fault::Fault;
use crate::{
    accept::Acceptor,
    fault::{First, Stream},
    requests::{LINGER, Requests},
    stop::drain,
};

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
struct ConnectionLimits {
    /// Maximum number of open connections. At the limit, idle connections are closed for new ones.
    connections: usize,
    /// Time limit for the first request of a connection to arrive.
    first: Duration,
    /// Time limit for an idle connection, and for the head of each further request.
    idle: Duration,
}

impl ConnectionLimits {
    /// The limits in production. Half of the process's file descriptors stay free for other uses.
    fn new() -> Self {
        let files = Resource::NOFILE.get_soft().unwrap_or(1024);
        Self {
            connections: usize::try_from(files / 2).unwrap_or(usize::MAX).min(4096),
            first: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        }
    }
}

/// Maximum size of a request's head.
const HEAD_BYTES: u32 = 32 << 10;

/// Interval and timeout of the pings on an HTTP/2 connection with a request under way.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// Serves until `stop` ends. Then it accepts no new connections, and waits for the requests under way.
///
/// The wait takes up to [`DRAIN`](crate::stop::DRAIN). The address of a client is in the extensions of
/// its requests, as [`ConnectInfo`].
pub async fn serve(router: Router, listener: TcpListener, stop: impl Future<Output = ()>) {
    serve_noting(router, listener, stop, |_, _| {}).await;
}

/// Like [`serve`], and calls `note` for each connection that ends because its bytes are no request.
///
/// HTTP/1.1 clients get the status 400 or 431 without a body. Over HTTP/2, too large headers are answered with 431, the
/// connection stays, and `note` is not called.
pub async fn serve_noting(
    router: Router,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    note: impl Fn(SocketAddr, Fault) + Send + Sync + 'static,
) {
    let limits = ConnectionLimits::new();
    serve_within(limits, router, listener, stop, Arc::new(note)).await;
}

/// Learns of clients whose bytes are no request.
type Note = Arc<dyn Fn(SocketAddr, Fault) + Send + Sync>;

async fn serve_within(
    limits: ConnectionLimits,
    router: Router,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    note: Note,
) {
    let mut acceptor = Acceptor::new(listener);
    let places = Arc::new(Semaphore::new(limits.connections));
    let pressure = Arc::new(Notify::new());
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();

    let accept = async {
        loop {
            let (stream, peer) = acceptor.accept().await;
            let Some(place) = place(&places, &pressure).await else {
                return;
            };
            while connections.try_join_next().is_some() {}
            let connection = Connection {
                limits,
                requests: Requests::default(),
                pressure: Arc::clone(&pressure),
                stopped: stopped.clone(),
                note: Arc::clone(&note),
                _place: place,
            };
            let work = connection.serve(router.clone(), stream, peer);
            connections.spawn(Service::current().run(work));
        }
    };
    tokio::select! {
        () = accept => {}
        () = stop => {}
    }
    drop(acceptor);
    drop(stopping);
    drain(async { while connections.join_next().await.is_some() {} }).await;
}

/// A place for one more connection. At the limit, this closes idle connections, or waits if none is idle.
async fn place(places: &Arc<Semaphore>, pressure: &Notify) -> Option<OwnedSemaphorePermit> {
    /// Delay between two searches for idle connections.
    const PAUSE: Duration = Duration::from_millis(50);
    if let Ok(place) = Arc::clone(places).try_acquire_owned() {
        return Some(place);
    }
    loop {
        pressure.notify_waiters();
        if let Ok(place) = timeout(PAUSE, Arc::clone(places).acquire_owned()).await {
            return place.ok();
        }
    }
}

struct Connection {
    limits: ConnectionLimits,
    requests: Requests,
    /// Notified when a new connection finds no place.
    pressure: Arc<Notify>,
    /// Closed at the stop.
    stopped: watch::Receiver<()>,
    note: Note,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(mut self, router: Router, stream: TcpStream, peer: SocketAddr) {
        let service = router.map_request(move |mut request: http::Request<_>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        });
        let service = TowerToHyperService::new(self.requests.layer(service));
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_buf_size(HEAD_BYTES as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .max_header_list_size(HEAD_BYTES);
        let first = First::default();
        let stream = TokioIo::new(Stream::new(stream, first.clone()));
        let mut connection = std::pin::pin!(builder.serve_connection(stream, service));

        let mut is_closing = false;
        let mut before = self.requests.at_rest();
        let mut check = Instant::now() + self.limits.first;
        loop {
            tokio::select! {
                outcome = connection.as_mut() => {
                    if let Err(error) = outcome {
                        tracing::trace!(%error, "a connection failed");
                        if let Some(fault) = Fault::of(&*error, &first) {
                            (self.note)(peer, fault);
                        }
                    }
                    return;
                }
                () = self.pressure.notified() => {
                    if self.requests.at_rest().is_some() {
                        return;
                    }
                    continue;
                }
                // Nothing is ever sent, so this is the close of the channel.
                _ = self.stopped.changed(), if !is_closing => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = sleep_until(check) => {
                    let now = self.requests.at_rest();
                    let was_idle = now.is_some() && now == before;
                    if was_idle && is_closing {
                        // No request is under way, and the client does not close the connection.
                        return;
                    }
                    if was_idle {
                        is_closing = true;
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
            before = self.requests.at_rest();
            let pause = if is_closing { LINGER } else { self.limits.idle };
            check = Instant::now() + pause;
        }
    }
}

#[cfg(test)]
mod tests {
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
}
