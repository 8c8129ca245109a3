//! The open sockets on other systems, which do not list them. A port that accepts a connection counts as in use.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// Time limit for a connection over loopback.
const PATIENCE: Duration = Duration::from_millis(200);

/// The open TCP sockets.
#[derive(Debug)]
pub struct Sockets;

#[expect(clippy::unused_self, reason = "as on Linux")]
impl Sockets {
    /// Does nothing: each call below tries a connection.
    #[must_use]
    pub fn read() -> Self {
        Self
    }

    /// Whether a process listens on the port. It tries to connect, because on some systems a port can be bound at one
    /// address although another process listens on all addresses.
    #[must_use]
    pub fn listens(&self, port: u16) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        TcpStream::connect_timeout(&address, PATIENCE).is_ok_and(|stream| {
            // If the system chooses the target as the source port, the connection reaches itself.
            stream.local_addr().ok() != stream.peer_addr().ok()
        })
    }

    /// The process that has the port, which is unknown here.
    #[must_use]
    pub fn holder(&self, _port: u16) -> Option<String> {
        None
    }
}
