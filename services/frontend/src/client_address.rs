//! The address of the client, behind any number of proxies.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::config::TrustedProxies;

/// The client's address: that of the peer, or if the peer is a trusted proxy, the right-most entry
/// of `X-Forwarded-For` that is not one.
///
/// The client chooses the entries to the left of that one, so they are ignored.
pub(crate) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    proxies: &TrustedProxies,
) -> IpAddr {
    let mut client = peer.to_canonical();
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        // A value that is not text becomes an unreadable entry, which ends the search.
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .collect();
    for hop in hops.into_iter().rev() {
        if !proxies.contains(client) {
            break;
        }
        let Some(address) = parse(hop.trim()) else {
            break;
        };
        client = address;
    }
    client
}

/// Parses an entry. Some proxies add the client's port.
fn parse(hop: &str) -> Option<IpAddr> {
    hop.parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(
                "x-forwarded-for",
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let proxies = "127.0.0.0/8,::1/128,10.0.0.0/8".parse().unwrap();
        client_address(peer.parse().unwrap(), &headers, &proxies).to_string()
    }

    #[test]
    fn x_forwarded_for_of_an_untrusted_peer_is_ignored() {
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        assert_eq!(client("203.0.113.9", &[]), "203.0.113.9");
    }

    #[test]
    fn the_right_most_untrusted_hop_counts() {
        for (forwarded, expected) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1, 10.1.1.1"], "198.51.100.1"),
            (&["6.6.6.6", "198.51.100.1,10.1.1.1"], "198.51.100.1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:198.51.100.1"], "198.51.100.1"),
            (&["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
        ] {
            assert_eq!(client("127.0.0.1", forwarded), expected, "{forwarded:?}");
            assert_eq!(client("::1", forwarded), expected, "{forwarded:?}");
            assert_eq!(
                client("::ffff:127.0.0.1", forwarded),
                expected,
                "{forwarded:?}"
            );
        }
    }

    #[test]
    fn an_unreadable_entry_ends_the_search() {
        for forwarded in [&["unknown"][..], &[""], &["1.2.3.4, \u{e9}"], &["1.2.3.4,"]] {
            assert_eq!(client("127.0.0.1", forwarded), "127.0.0.1", "{forwarded:?}");
        }
        assert_eq!(client("127.0.0.1", &["6.6.6.6, x, 10.1.1.1"]), "10.1.1.1");
    }
}
