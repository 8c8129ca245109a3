//! Accepting connections.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

/// The pause after a failed accept. Without it, a process that is out of file descriptors would
/// spin, as the connection stays in the queue.
const PAUSE: Duration = Duration::from_secs(1);

/// Failures that follow each other within this time are logged once.
const QUIET: Duration = Duration::from_secs(60);

/// Accepts the connections of a listener.
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

    /// The next connection. Small answers leave at once (no Nagle's algorithm).
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
                        tracing::error!(%error, "cannot accept connections; trying again each second");
                    }
                    self.failed = Some(Instant::now());
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Whether the client has gone while it waited in the queue.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset
    )
}
