//! The networks by which limits identify clients.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The client behind an address: an IPv4 address, or a /64 network of IPv6, since a provider gives
/// each customer a whole /64.
#[must_use]
pub fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(_) => nearby(address).addr(),
    }
}

/// The network in which a client may get a new address: providers sometimes change the IPv4 address of a
/// customer, mostly within the same /24.
#[must_use]
pub fn nearby(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Net::new_assert(address, 24).trunc().into(),
        IpAddr::V6(address) => Ipv6Net::new_assert(address, 64).trunc().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_client() {
        let client = |text: &str| client(text.parse().unwrap());
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn nearby_addresses_are_one_network() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.0/24"),
            ("::ffff:192.0.2.255", "192.0.2.0/24"),
            ("192.0.3.1", "192.0.3.0/24"),
            ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ] {
            assert_eq!(nearby(address.parse().unwrap()).to_string(), expected);
        }
    }
}
