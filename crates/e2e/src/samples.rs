//! Telemetry of a shop with several services, for benchmarks.

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};

/// Number of records in a request, which is the batch size of the SDKs.
pub const BATCH: usize = 512;
/// Number of spans in a trace.
pub const DEPTH: u64 = 8;
const SERVICES: [&str; 4] = ["frontend", "auth", "user", "mailer"];

/// Server spans of several services. Each has the next number, from which its ids and times follow.
pub fn spans(number: &mut u64) -> ExportTraceServiceRequest {
    let mut groups: Vec<Vec<Span>> = vec![Vec::new(); SERVICES.len()];
    for _ in 0..BATCH {
        *number += 1;
        groups[(*number % SERVICES.len() as u64) as usize].push(span(*number));
    }
    let resource_spans = groups
        .into_iter()
        .zip(SERVICES)
        .map(|(spans, service)| ResourceSpans {
            resource: Some(resource(service)),
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        })
        .collect();
    ExportTraceServiceRequest { resource_spans }
}

/// A server span of 470 bytes.
#[must_use]
pub fn span(number: u64) -> Span {
    // Ids must not be zero.
    let trace = number / DEPTH + 1;
    let user = random(number) % 10_000;
    let route = ["/users/{id}", "/login", "/cart", "/health"][(random(trace) % 4) as usize];
    let start = 1_700_000_000_000_000_000 + number * 100_000;
    Span {
        trace_id: [random(trace).to_be_bytes(), trace.to_be_bytes()].concat(),
        span_id: random(number).to_be_bytes().into(),
        parent_span_id: match number % DEPTH {
            0 => Vec::new(),
            _ => random(number - 1).to_be_bytes().into(),
        },
        name: format!("GET {route}"),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + random(number) % 200_000_000,
        status: Some(Status {
            code: if random(number).is_multiple_of(50) {
                2
            } else {
                0
            },
            ..Status::default()
        }),
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", route),
            text("url.path", &format!("/users/{user}")),
            text("url.scheme", "https"),
            int("http.response.status_code", 200),
            text("server.address", "shop.example.org"),
            int("server.port", 443),
            text(
                "client.address",
                &format!("10.0.{}.{}", user % 250, number % 250),
            ),
            text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
            text("network.protocol.version", "2"),
            text("session.id", &format!("{:016x}", random(number / 50))),
            int("thread.id", (number % 32) as i64),
        ],
        ..Span::default()
    }
}

/// The same spans, moved to one trace.
#[must_use]
pub fn in_one_trace(mut request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    let groups = request.resource_spans.iter_mut();
    for span in groups.flat_map(|group| &mut group.scope_spans[0].spans) {
        span.trace_id = vec![7; 16];
    }
    request
}

/// Log records of requests.
pub fn logs(number: &mut u64) -> ExportLogsServiceRequest {
    let mut next = || {
        *number += 1;
        record(*number)
    };
    let log_records = (0..BATCH).map(|_| next()).collect();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource("frontend")),
            scope_logs: vec![ScopeLogs {
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

/// A log record of a request.
#[must_use]
pub fn record(number: u64) -> LogRecord {
    let user = random(number) % 10_000;
    let body = match random(number) {
        number if number % 100_000 == 0 => "number 7 of a rare kind".to_owned(),
        number if number % 10 == 0 => format!("user {user} signed in"),
        number => format!("request of user {user} took {} ms", number % 500),
    };
    LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000 + number * 100_000,
        severity_number: if user < 100 { 17 } else { 9 },
        severity_text: "INFO".to_owned(),
        body: text("", &body).value,
        trace_id: [
            random(number / DEPTH).to_be_bytes(),
            (number / DEPTH).to_be_bytes(),
        ]
        .concat(),
        span_id: random(number).to_be_bytes().into(),
        attributes: vec![
            text("code.namespace", "shop::requests"),
            text("code.filepath", "src/requests/finished.rs"),
            int("code.lineno", (user % 300) as i64),
            text(
                "user.id",
                &format!("{user:08x}-{:08x}", random(user) as u32),
            ),
        ],
        ..LogRecord::default()
    }
}

/// The resource of a service.
#[must_use]
pub fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", service),
            text("service.version", "1.4.2"),
            text("host.name", "shop-1"),
        ],
        ..Resource::default()
    }
}

/// An attribute with a text.
#[must_use]
pub fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn int(key: &str, value: i64) -> KeyValue {
    attribute(key, Value::IntValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// A number that looks random, of the generator splitmix64.
fn random(seed: u64) -> u64 {
    let mut number = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
