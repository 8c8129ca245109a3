//! The target of the load: the frontend's forms over HTTP, or auth over gRPC.
//!
//! Both have the same interface, so journeys do not depend on the protocol.

use std::{borrow::Cow, fmt, net::Ipv4Addr, str::FromStr, time::Duration};

use reqwest::Url;
use tonic::transport::Uri;
use tracing::Instrument as _;

use crate::journey::Verdict;

mod grpc;
mod http;

/// The address of the target.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Address {
    /// The frontend: `http://HOST:PORT`.
    Http(Url),
    /// Auth: `grpc://HOST:PORT`. The URI has the scheme `http`, as tonic requires.
    Grpc(Uri),
}

/// The error of a text that is not an [`Address`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not of the form http://HOST:PORT (the frontend) or grpc://HOST:PORT (auth)")]
pub(crate) struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (is_grpc, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("grpc", rest)) => (true, rest),
            _ => return Err(AddressError),
        };
        let Ok(url) = format!("http://{rest}").parse::<Url>() else {
            return Err(AddressError);
        };
        // The target is printed and logged, so it must not hold a password. A path would be
        // ignored.
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if !bare {
            return Err(AddressError);
        }
        if !is_grpc {
            return Ok(Self::Http(url));
        }
        url.as_str()
            .parse()
            .map_or(Err(AddressError), |uri| Ok(Self::Grpc(uri)))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => write!(f, "{}", url.as_str().trim_end_matches('/')),
            Self::Grpc(uri) => match uri.authority() {
                Some(authority) => write!(f, "grpc://{authority}"),
                None => write!(f, "grpc://"),
            },
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

/// A client of the target.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    protocol: Protocol,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Protocol {
    Http(http::Frontend),
    Grpc(grpc::Auth),
}

impl Target {
    /// A client that connects at the first request. `idle` is the limit of idle connections.
    pub(crate) fn new(address: &Address, timeout: Duration, idle: usize) -> anyhow::Result<Self> {
        let protocol = match address {
            Address::Http(url) => Protocol::Http(http::Frontend::new(url.clone(), idle)?),
            Address::Grpc(uri) => Protocol::Grpc(grpc::Auth::new(uri.clone())),
        };
        Ok(Self { protocol, timeout })
    }

    /// Whether the target reports that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let ready = async {
            match &self.protocol {
                Protocol::Http(frontend) => frontend.is_ready().await,
                Protocol::Grpc(auth) => auth.is_ready().await,
            }
        };
        tokio::time::timeout(self.timeout, ready)
            .await
            .unwrap_or(false)
    }

    /// Sends a request with the client address `from`, and waits for the whole answer.
    pub(crate) async fn send(&self, request: Request<'_>, from: Ipv4Addr) -> Reply {
        let answer = async {
            match &self.protocol {
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
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("http://a/".parse(), "http://a".parse::<Address>());
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
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text:?}");
        }
    }
}
