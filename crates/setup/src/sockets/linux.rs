//! The open sockets of the system, on Linux.

use std::net::{IpAddr, Ipv4Addr};

use procfs::{
    net::{TcpNetEntry, TcpState},
    process::{FDTarget, Process},
};

/// The open TCP sockets at one moment.
#[derive(Debug)]
pub struct Sockets(Vec<TcpNetEntry>);

impl Sockets {
    /// Reads the sockets now.
    #[must_use]
    pub fn read() -> Self {
        let tables = [procfs::net::tcp(), procfs::net::tcp6()];
        Self(tables.into_iter().flatten().flatten().collect())
    }

    /// Whether a process listens on the port, at an address that accepts connections to 127.0.0.1.
    #[must_use]
    pub fn listens(&self, port: u16) -> bool {
        self.on(port).any(|socket| {
            let address = socket.local_address.ip();
            // `[::]` may accept IPv6 alone. If it accepts IPv4 too, binding the port fails anyway.
            socket.state == TcpState::Listen && address.to_canonical().is_ipv4()
        })
    }

    /// The process that has the port. A listener comes first, then a process with a connection from the port.
    #[must_use]
    pub fn holder(&self, port: u16) -> Option<String> {
        let socket = self
            .on(port)
            .filter(|socket| socket.inode != 0)
            .min_by_key(|socket| socket.state != TcpState::Listen)?;
        let found = procfs::process::all_processes()
            .ok()?
            .flatten()
            .find(|process| has(process, socket.inode));
        let Some(process) = found else {
            return Some(format!("a process of another user ({})", socket.uid));
        };
        let name = match process.stat() {
            Ok(stat) => stat.comm,
            Err(_) => "a process without a name".to_owned(),
        };
        Some(format!("{name} (pid {})", process.pid()))
    }

    fn on(&self, port: u16) -> impl Iterator<Item = &TcpNetEntry> {
        self.0.iter().filter(move |socket| {
            let address = socket.local_address;
            let is_ours = match address.ip().to_canonical() {
                IpAddr::V4(ip) => ip == Ipv4Addr::LOCALHOST || ip.is_unspecified(),
                IpAddr::V6(ip) => ip.is_unspecified(),
            };
            address.port() == port && is_ours
        })
    }
}

fn has(process: &Process, inode: u64) -> bool {
    process.fd().is_ok_and(|mut descriptors| {
        descriptors.any(|descriptor| {
            descriptor.is_ok_and(|it| matches!(it.target, FDTarget::Socket(of) if of == inode))
        })
    })
}
