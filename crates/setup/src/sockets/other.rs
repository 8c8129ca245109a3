//! Where the system does not tell of its sockets, somebody who answers is somebody who listens.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

/// How long loopback takes at most.
const PATIENCE: Duration = Duration::from_millis(200);

/// The sockets of this moment.
#[derive(Debug)]
pub struct Sockets;

#[expect(clippy::unused_self, reason = "as on Linux")]
impl Sockets {
    /// The sockets of now.
    #[must_use]
    pub fn read() -> Self {
        Self
    }

    /// Whether anybody listens there. Binding does not tell everywhere: that a listener has all addresses keeps
    /// nobody from taking one of them.
    #[must_use]
    pub fn listens(&self, port: u16) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        TcpStream::connect_timeout(&address, PATIENCE).is_ok_and(|stream| {
            // One can reach oneself, when the system chooses the port to call from that is called.
            stream.local_addr().ok() != stream.peer_addr().ok()
        })
    }

    /// Who has the port: nobody knows.
    #[must_use]
    pub fn holder(&self, _port: u16) -> Option<String> {
        None
    }
}
