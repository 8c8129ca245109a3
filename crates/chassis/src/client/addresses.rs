//! The addresses of a service, as a setting has them.

use std::{collections::BTreeSet, fmt, io, net::SocketAddr, str::FromStr};

use futures_util::future::join_all;
use tonic::transport::Uri;

/// The addresses of the instances of a service: a list of `HOST:PORT` or `http://HOST:PORT`. A name stands for all
/// instances that it resolves to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Addresses(Vec<Address>);

/// One address of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Address(Uri);

impl Addresses {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Address> {
        self.0.iter()
    }

    /// The URL of each instance. A name is resolved now. If it cannot be, the result has the URL with the name, so that a
    /// request to it fails with the reason.
    pub async fn instances(&self) -> Vec<String> {
        let found = join_all(self.iter().map(Address::instances)).await;
        let found: BTreeSet<String> = found.into_iter().flatten().collect();
        found.into_iter().collect()
    }
}

impl FromStr for Addresses {
    type Err = String;

    /// The error is a message for the operator. It does not quote the text, which may hold a password.
    fn from_str(text: &str) -> Result<Self, String> {
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        let addresses = items.iter().enumerate().map(|(index, item)| {
            item.parse().map_err(|reason| match items.len() {
                1 => reason,
                _ => format!("address {} of the list: {reason}", index + 1),
            })
        });
        addresses.collect::<Result<_, _>>().map(Self)
    }
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Self {
        Self(vec![Address(url(address))])
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Address(uri)) in self.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            let authority = uri.authority().map_or("", |authority| authority.as_str());
            write!(formatter, "{separator}{authority}")?;
        }
        Ok(())
    }
}

impl Address {
    /// The URL with the name, if it has one. Calls carry it as their authority.
    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    /// The name or the IP address, without the brackets of IPv6.
    pub(super) fn host(&self) -> &str {
        let host = self.0.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or_default()
    }

    /// The address, if it needs no lookup.
    pub(super) fn ip(&self) -> Option<SocketAddr> {
        let ip = self.host().parse().ok()?;
        Some(SocketAddr::new(ip, self.port()))
    }

    async fn instances(&self) -> Vec<String> {
        let found = match self.ip() {
            Some(address) => vec![address],
            None => lookup(self.host().to_owned(), self.port())
                .await
                .unwrap_or_default(),
        };
        // `localhost` has an address of IPv4 and one of IPv6, and a process often listens on one alone.
        if found.iter().all(|address| address.ip().is_loopback()) {
            return vec![self.0.to_string()];
        }
        found.into_iter().map(|it| url(it).to_string()).collect()
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
            return Err("must not hold a user name or password".to_owned());
        }
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        match (uri.scheme_str(), uri.port_u16()) {
            (Some("http"), Some(1..)) if uri.host() != Some("") && is_bare => Ok(Self(uri)),
            _ => Err("not of the form HOST:PORT or http://HOST:PORT".to_owned()),
        }
    }
}

/// All addresses of a name.
pub(super) async fn lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// The URL of an instance.
pub(super) fn url(address: SocketAddr) -> Uri {
    let url = format!("http://{address}/").parse();
    url.expect("an IP address and a port are the authority of a URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_written() {
        for (text, expected) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("user:8080", "user:8080"),
            ("http://user:8080", "user:8080"),
            ("http://[::1]:8080/", "[::1]:8080"),
            (
                "127.0.0.1:8080, http://user:8180,[::1]:1",
                "127.0.0.1:8080,user:8180,[::1]:1",
            ),
        ] {
            let addresses: Addresses = text.parse().unwrap();
            assert_eq!(addresses.to_string(), expected);
            assert_eq!(expected.parse(), Ok(addresses));
        }
    }

    #[test]
    fn an_invalid_address_is_refused_alone_and_in_a_list() {
        for bad in [
            "",
            "user",
            "https://user:1",
            "http://user:1/x",
            "http://user:1/?x",
            ":1",
            "user:",
            "user:0",
            "user:99999",
            "a b:1",
            "ann@user:1",
            "http://ann:s3cr3t@user:1",
        ] {
            assert!(bad.parse::<Addresses>().is_err(), "{bad}");
            for list in [format!("user:1,{bad}"), format!("user:1,{bad},user:2")] {
                let error = list.parse::<Addresses>().unwrap_err();
                assert!(error.starts_with("address 2 of the list: "), "{error}");
                assert!(!error.contains("s3cr3t"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn each_instance_has_a_url() {
        let instances = async |text: &str| text.parse::<Addresses>().unwrap().instances().await;
        assert_eq!(
            instances("192.0.2.1:1,192.0.2.2:1,192.0.2.1:1,[2001:db8::1]:2").await,
            [
                "http://192.0.2.1:1/",
                "http://192.0.2.2:1/",
                "http://[2001:db8::1]:2/"
            ]
        );
        // One process, whether or not the name has two addresses.
        assert_eq!(instances("localhost:1").await, ["http://localhost:1/"]);
        // RFC 6761 reserves the name, so that it never resolves.
        assert_eq!(
            instances("user.invalid:1").await,
            ["http://user.invalid:1/"]
        );
    }
}
