//! What Linux tells of its sockets.

use std::net::{IpAddr, Ipv4Addr};

use procfs::{
    net::{TcpNetEntry, TcpState},
    process::{FDTarget, Process},
};

/// The sockets of this moment, as far as they may be seen.
#[derive(Debug)]
pub struct Sockets(Vec<TcpNetEntry>);

impl Sockets {
    /// The sockets of now.
    #[must_use]
    pub fn read() -> Self {
        let tables = [procfs::net::tcp(), procfs::net::tcp6()];
        Self(tables.into_iter().flatten().flatten().collect())
    }

    /// Whether anybody listens there, at an address that takes what is sent to 127.0.0.1.
    #[must_use]
    pub fn listens(&self, port: u16) -> bool {
        self.on(port).any(|socket| {
            let address = socket.local_address.ip();
            // `[::]` may be for IPv6 alone, and if it is not, the port cannot be bound anyway.
            socket.state == TcpState::Listen && address.to_canonical().is_ipv4()
        })
    }

    /// Who has the port: who listens, else who calls somebody from it.
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
