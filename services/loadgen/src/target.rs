//! The target of the load: the frontend's forms over HTTP, or auth over gRPC, at one instance or at several in turn.
//!
//! Both have the same interface, so journeys do not depend on the protocol.

use std::{
    borrow::Cow,
    fmt,
    net::Ipv4Addr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chassis::client::Addresses;
use reqwest::Url;
use tracing::Instrument as _;

use crate::journey::Verdict;

mod grpc;
mod http;

/// The addresses of the target's instances. All have the same protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Targets(Vec<Address>);

/// The address of an instance.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Address {
    /// The frontend: `http://HOST:PORT`.
    Http(Url),
    /// Auth: `grpc://HOST:PORT`.
    Grpc(Addresses),
}

/// The error of a text that is not a list of targets.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("not of the form http://HOST:PORT (the frontend) or grpc://HOST:PORT (auth)")]
    Malformed,
    #[error("targets in a list must have one protocol, http:// or grpc://")]
    Mixed,
}

impl FromStr for Targets {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let addresses: Vec<Address> = text
            .split(',')
            .map(|item| item.trim().parse())
            .collect::<Result<_, _>>()?;
        let is_grpc = |address: &Address| matches!(address, Address::Grpc(_));
        if addresses.iter().any(is_grpc) && !addresses.iter().all(is_grpc) {
            return Err(AddressError::Mixed);
        }
        Ok(Self(addresses))
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, address) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{address}")?;
        }
        Ok(())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (is_grpc, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("grpc", rest)) => (true, rest),
            _ => return Err(AddressError::Malformed),
        };
        let Ok(url) = format!("http://{rest}").parse::<Url>() else {
            return Err(AddressError::Malformed);
        };
        // The target is printed and logged, so it must not hold a password. A path would be
        // ignored.
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if !bare {
            return Err(AddressError::Malformed);
        }
        if !is_grpc {
            return Ok(Self::Http(url));
        }
        rest.parse()
            .map_or(Err(AddressError::Malformed), |address| {
                Ok(Self::Grpc(address))
            })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => write!(f, "{}", url.as_str().trim_end_matches('/')),
            Self::Grpc(address) => write!(f, "grpc://{address}"),
        }
    }
}

/// A request to the target.
#[derive(Clone, Copy)]
pub(crate) enum Request<'a> {
    Register { email: &'a str, password: &'a str },
    Login { email: &'a str, password: &'a str },
    Me { token: &'a str },
    Logout { token: &'a str },
}

/// An answer of the target.
pub(crate) struct Reply {
    pub(crate) verdict: Verdict,
    /// The answer in terms of the protocol, for the report.
    pub(crate) kind: Kind,
    /// The token, if a session was opened.
    pub(crate) token: Option<String>,
}

/// The outcome of a request in terms of the protocol.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// An answer, such as `http 503` or `grpc UNAVAILABLE`. It never contains text of the target,
    /// because it is the key of a map, which must stay small.
    Answer(Cow<'static, str>),
    /// No connection could be opened.
    Connect,
    /// No complete answer within the timeout.
    Timeout,
    /// The connection was lost, or the answer violates the protocol.
    Transport,
    /// Never sent: see [`crate::drive`].
    Unsent,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answer(text) => text,
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Unsent => "unsent",
        })
    }
}

impl From<Kind> for Reply {
    /// A reply that is never expected.
    fn from(kind: Kind) -> Self {
        Self {
            verdict: Verdict::Other,
            kind,
            token: None,
        }
    }
}

/// A client of the target. Requests go to its instances in turn, so that each gets the same load whatever its speed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    instances: Arc<[Protocol]>,
    /// The number of requests so far.
    sent: Arc<AtomicUsize>,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Protocol {
    Http(http::Frontend),
    Grpc(grpc::Auth),
}

impl Target {
    /// A client that connects at the first request. `idle` is the limit of idle connections to each instance.
    pub(crate) fn new(targets: &Targets, timeout: Duration, idle: usize) -> anyhow::Result<Self> {
        let instances = targets.0.iter().map(|address| {
            Ok(match address {
                Address::Http(url) => Protocol::Http(http::Frontend::new(url.clone(), idle)?),
                Address::Grpc(address) => Protocol::Grpc(grpc::Auth::new(address)),
            })
        });
        Ok(Self {
            instances: instances.collect::<anyhow::Result<_>>()?,
            sent: Arc::default(),
            timeout,
        })
    }

    /// Whether all instances report that they are ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let ready = async {
            for instance in &*self.instances {
                let is_ready = match instance {
                    Protocol::Http(frontend) => frontend.is_ready().await,
                    Protocol::Grpc(auth) => auth.is_ready().await,
                };
                if !is_ready {
                    return false;
                }
            }
            true
        };
        tokio::time::timeout(self.timeout, ready)
            .await
            .unwrap_or(false)
    }

    /// Sends a request with the client address `from`, and waits for the whole answer.
    pub(crate) async fn send(&self, request: Request<'_>, from: Ipv4Addr) -> Reply {
        let turn = self.sent.fetch_add(1, Ordering::Relaxed) % self.instances.len();
        let answer = async {
            match &self.instances[turn] {
                Protocol::Http(frontend) => frontend.send(request, from).await,
                Protocol::Grpc(auth) => auth.send(request, from).await,
            }
        };
        tokio::time::timeout(self.timeout, answer.in_current_span())
            .await
            .unwrap_or_else(|_| Kind::Timeout.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written() {
        for text in [
            "http://127.0.0.1:8082",
            "grpc://127.0.0.1:8081",
            "http://frontend",
            "grpc://[::1]:8081",
        ] {
            assert_eq!(text.parse::<Targets>().unwrap().to_string(), text);
        }
        assert_eq!("http://a/".parse(), "http://a".parse::<Targets>());
        for (text, expected) in [
            ("http://a:1, http://b:1/", "http://a:1,http://b:1"),
            ("grpc://a:1,grpc://[::1]:2", "grpc://a:1,grpc://[::1]:2"),
        ] {
            assert_eq!(text.parse::<Targets>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn an_invalid_target_is_refused() {
        for text in [
            "",
            "127.0.0.1:8082",
            "https://127.0.0.1",
            "http://",
            "http://a/path",
            "http://a?query",
            "http://somebody:secret@a",
            "grpc://a:99999",
        ] {
            let malformed = Err(AddressError::Malformed);
            assert_eq!(text.parse::<Targets>(), malformed, "{text:?}");
            let list = format!("http://a,{text}");
            assert_eq!(list.parse::<Targets>(), malformed, "{list:?}");
        }
        for mixed in ["http://a:1,grpc://b:1", "grpc://b:1,http://a:1"] {
            assert_eq!(mixed.parse::<Targets>(), Err(AddressError::Mixed));
        }
    }
}
