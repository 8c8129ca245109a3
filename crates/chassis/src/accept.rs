//! Accepts connections.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

/// The pause after a failed accept. Without it, a process without a free file descriptor would
/// spin, because the connection stays in the queue.
const PAUSE: Duration = Duration::from_secs(1);

/// Time without a failure after which the next failure is logged again.
const QUIET: Duration = Duration::from_secs(60);

/// A listener with retries.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: TcpListener,
    failed: Option<Instant>,
}

impl Acceptor {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            failed: None,
        }
    }

    /// The next connection. Nagle's algorithm is off, so small answers are sent at once.
    pub(crate) async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
                    }
                    return (stream, peer);
                }
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    if self.failed.is_none_or(|last| last.elapsed() > QUIET) {
                        tracing::error!(%error, "cannot accept connections; retrying each second");
                    }
                    self.failed = Some(Instant::now());
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Whether the error is about one client, which disconnected while it waited in the queue.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
    )
}
