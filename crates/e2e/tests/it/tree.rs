//! Traces as text, so that tests can compare whole traces.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};

/// Every span as a line `service kind name {attributes}` below its parent, with `error` if it has failed. Siblings are
/// in the order of their start. A span whose parent is missing is not indented, and begins with `remote`.
pub(crate) fn tree(spans: &[(String, Span)]) -> String {
    let known: BTreeSet<&[u8]> = spans.iter().map(|(_, span)| &*span.span_id).collect();
    let mut spans: Vec<_> = spans.iter().collect();
    spans.sort_by_key(|(_, span)| span.start_time_unix_nano);
    let mut text = String::new();
    for root in &spans {
        let parent = &root.1.parent_span_id;
        if !known.contains(&**parent) {
            if !parent.is_empty() {
                text.push_str("remote ");
            }
            text.push_str(&branch(root, &spans, 0));
        }
    }
    text
}

fn branch(node: &(String, Span), spans: &[&(String, Span)], depth: usize) -> String {
    let (service, span) = node;
    let kind = match span.kind() {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Internal => "internal",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Unspecified => "unspecified",
    };
    let status = match span.status.clone().unwrap_or_default().code() {
        StatusCode::Unset => "",
        StatusCode::Ok => " ok",
        StatusCode::Error => " error",
    };
    let mut attributes: Vec<_> = span.attributes.iter().map(attribute).collect();
    attributes.sort();
    let attributes = attributes.join(", ");
    let events: String = span.events.iter().map(|_| " event").collect();
    let name = &span.name;
    let mut text = format!("{service} {kind} {name} {{{attributes}}}{status}{events}\n");
    let children = |child: &&&(String, Span)| child.1.parent_span_id == span.span_id;
    for child in spans.iter().filter(children) {
        text.push_str(&"  ".repeat(depth + 1));
        text.push_str(&branch(child, spans, depth + 1));
    }
    text
}

/// The name and value of an attribute; only the name if the value differs in each run.
fn attribute(attribute: &KeyValue) -> String {
    let name = attribute.key.as_str();
    let is_random = matches!(
        name,
        "messaging.message.id"
            | "messaging.kafka.offset"
            | "messaging.destination.partition.id"
            | "server.port"
    );
    let value = attribute.value.as_ref().and_then(|any| any.value.as_ref());
    let value = match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    if is_random || value.starts_with("follower-") {
        return name.to_owned();
    }
    format!("{name}={value}")
}

/// An id in hexadecimal digits.
pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tree of a sign-up without a broker.
pub(crate) fn sign_up() -> String {
    let is_of_event = |line: &&str| line.contains(" producer ") || line.contains(" consumer ");
    let lines = SIGN_UP_WITH_EVENTS.lines();
    lines
        .filter(|line| !is_of_event(line))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The tree of a sign-up, in which the frontend handles the event of each service.
pub(crate) const SIGN_UP_WITH_EVENTS: &str = "\
frontend server POST /register {http.request.method=POST, http.response.status_code=303, \
http.route=/register, url.path=/register, url.scheme=http}
  frontend client auth.v1.AuthService/Register {rpc.method=auth.v1.AuthService/Register, \
rpc.response.status_code=OK, rpc.system.name=grpc, server.address=127.0.0.1, server.port}
    auth server auth.v1.AuthService/Register {rpc.method=auth.v1.AuthService/Register, \
rpc.response.status_code=OK, rpc.system.name=grpc}
      auth client user.v1.UserService/CreateUser {rpc.method=user.v1.UserService/CreateUser, \
rpc.response.status_code=OK, rpc.system.name=grpc, server.address=127.0.0.1, server.port}
        user server user.v1.UserService/CreateUser {rpc.method=user.v1.UserService/CreateUser, \
rpc.response.status_code=OK, rpc.system.name=grpc}
          user client SELECT users {db.collection.name=users, db.namespace=user, \
db.operation.name=SELECT, db.query.summary=SELECT users, db.system.name=sqlite}
          user internal hash password {}
          user client INSERT users {db.collection.name=users, db.namespace=user, \
db.operation.name=INSERT, db.query.summary=INSERT users, db.system.name=sqlite}
          user producer send otelix.user.v1 {messaging.client.id=user, \
messaging.destination.name=otelix.user.v1, messaging.message.id, messaging.operation.name=send, \
messaging.operation.type=send, messaging.system=kafka}
            frontend consumer process otelix.user.v1 {messaging.client.id, \
messaging.destination.name=otelix.user.v1, messaging.destination.partition.id, \
messaging.kafka.offset, messaging.message.id, messaging.operation.name=process, \
messaging.operation.type=process, messaging.system=kafka}
      auth client INSERT sessions {db.collection.name=sessions, db.namespace=auth, \
db.operation.name=INSERT, db.query.summary=INSERT sessions, db.system.name=sqlite}
      auth producer send otelix.auth.v1 {messaging.client.id=auth, \
messaging.destination.name=otelix.auth.v1, messaging.message.id, messaging.operation.name=send, \
messaging.operation.type=send, messaging.system=kafka}
        frontend consumer process otelix.auth.v1 {messaging.client.id, \
messaging.destination.name=otelix.auth.v1, messaging.destination.partition.id, \
messaging.kafka.offset, messaging.message.id, messaging.operation.name=process, \
messaging.operation.type=process, messaging.system=kafka}
";
