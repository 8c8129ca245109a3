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

/// Bytes of an HTTP/2 request that a client may send before they are read. They are in memory, for each request.
const WINDOW: u32 = 256 << 10;

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
            .initial_stream_window_size(WINDOW)
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
mod tests;
