//! What a span of a client, producer or consumer says about its other side.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{Kind, Node};

/// The attributes that tell the other side: those of today's conventions, and those before them.
pub(super) const KEYS: [&str; 14] = [
    "db.system.name",
    "db.system",
    "db.namespace",
    "db.name",
    "messaging.destination.name",
    "messaging.destination",
    "messaging.operation.type",
    "messaging.operation",
    "peer.service",
    "server.address",
    "net.peer.name",
    "server.port",
    "net.peer.port",
    "messaging.system",
];

/// The values of [`KEYS`].
pub(super) type Values = [Option<String>; KEYS.len()];

/// The other side of a span.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Other {
    Database {
        system: Pair,
        name: Option<Pair>,
    },
    /// The service writes to the topic.
    Writes(Pair),
    /// The service reads from the topic.
    Reads(Pair),
    /// A name that the client has for a service.
    Service(Pair),
    Address(Pair, Option<String>),
}

/// A key and its value.
pub(super) type Pair = (&'static str, String);

/// The other side. `None` if the span does not tell.
pub(super) fn other(kind: SpanKind, values: Values) -> Option<Other> {
    let mut pairs = KEYS.into_iter().zip(values);
    let mut next = || {
        let (key, value) = pairs.next()?;
        value.map(|value| (key, value))
    };
    // In the order of the keys.
    let system = either(next(), next());
    let namespace = either(next(), next());
    let topic = either(next(), next());
    let operation = either(next(), next());
    let service = next();
    let address = either(next(), next());
    let port = either(next(), next());
    if let Some(system) = system {
        let name = namespace.or(address);
        return Some(Other::Database { system, name });
    }
    if let Some(topic) = topic {
        let reads = match kind {
            SpanKind::Consumer => true,
            SpanKind::Client => operation.is_some_and(|(_, operation)| {
                matches!(&*operation, "receive" | "process" | "deliver" | "settle")
            }),
            _ => false,
        };
        return Some(if reads {
            Other::Reads(topic)
        } else {
            Other::Writes(topic)
        });
    }
    if kind != SpanKind::Client {
        return None;
    }
    if let Some(service) = service {
        return Some(Other::Service(service));
    }
    let port = port.map(|(_, port)| port);
    address.map(|address| Other::Address(address, port))
}

fn either(one: Option<Pair>, other: Option<Pair>) -> Option<Pair> {
    one.or(other)
}

impl Other {
    /// Its node. Services that are known by name are the nodes of these services instead.
    pub(super) fn node(self) -> Node {
        let node = |kind, name, system, pair: Pair| Node {
            kind,
            name,
            system,
            attribute: Some((pair.0.to_owned(), pair.1)),
        };
        match self {
            Self::Database { system, name } => match name {
                Some(name) => node(Kind::Database, name.1.clone(), system.1, name),
                None => node(Kind::Database, String::new(), system.1.clone(), system),
            },
            Self::Writes(topic) | Self::Reads(topic) => {
                node(Kind::Topic, topic.1.clone(), String::new(), topic)
            }
            Self::Service(service) => node(Kind::Peer, service.1.clone(), String::new(), service),
            Self::Address(address, port) => {
                let name = match port.as_deref() {
                    None | Some("80" | "443") => address.1.clone(),
                    Some(port) => format!("{}:{port}", address.1),
                };
                node(Kind::Peer, name, String::new(), address)
            }
        }
    }
}
