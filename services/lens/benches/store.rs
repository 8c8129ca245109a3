//! Benchmark of the store: insertions, lists and searches in a store of 256 MiB: `cargo bench -p lens`.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use lens::{
    query::{Filter, Unsupported},
    store::{Page, Store, TraceId},
};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status},
};
use prost::Message as _;

const MIB: usize = 1024 * 1024;
const LIMIT: usize = 256 * MIB;
const SPANS: usize = 200_000;
/// Number of records in a request, which is the batch size of the SDKs.
const BATCH: usize = 512;
/// Number of spans in a trace.
const DEPTH: u64 = 8;
const SERVICES: [&str; 4] = ["frontend", "auth", "user", "mailer"];
/// Number of runs of each query.
const RUNS: usize = 40;

fn main() -> std::io::Result<()> {
    // `cargo test --benches` runs this too, with --test, to see that it builds.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let mut table = Table::new()?;
    let before = resident();

    let store = Store::new(LIMIT);
    let mut number = 0;
    let mut size = 0;
    let mut took = Duration::ZERO;
    for _ in 0..SPANS.div_ceil(BATCH) {
        let request = spans(&mut number);
        size += request.encoded_len();
        let start = Instant::now();
        store.insert_traces(&request);
        took += start.elapsed();
    }
    let stored = store.stats();
    table.row("size of a span", format!("{} B", size / number as usize))?;
    let rate = number as f64 / took.as_secs_f64();
    table.row("spans stored", format!("{rate:.0} /s"))?;
    let each = stored.bytes / stored.spans.records as usize;
    table.row("memory of a span", format!("{each} B"))?;

    let mut log_number = 0;
    let mut took = Duration::ZERO;
    let mut size = 0;
    while store.stats().logs.evicted == 0 {
        store.insert_traces(&spans(&mut number));
        let request = logs(&mut log_number);
        size += request.encoded_len();
        let start = Instant::now();
        store.insert_logs(&request);
        took += start.elapsed();
    }
    table.row(
        "size of a log record",
        format!("{} B", size / log_number as usize),
    )?;
    let rate = log_number as f64 / took.as_secs_f64();
    table.row("log records stored", format!("{rate:.0} /s"))?;
    let stats = store.stats();
    table.row("spans in the store", stats.spans.records.to_string())?;
    table.row("log records in the store", stats.logs.records.to_string())?;
    table.row("memory counted", format!("{} MiB", stats.bytes / MIB))?;
    if let (Some(before), Some(now)) = (before, resident()) {
        table.row("memory resident", format!("{} MiB", (now - before) / MIB))?;
    }

    for (what, filter) in [
        ("traces: all", ""),
        ("traces: service and error", "service:mailer status:error"),
        ("traces: no such duration", "duration>=5000000h"),
        ("traces: attribute", "http.route:\"/users/{id}\""),
        ("traces: no such attribute", "http.route:/none"),
        ("traces: number", "http.response.status_code>=500"),
        ("traces: without an attribute", "-http.request.method:GET"),
    ] {
        let filter = parse(filter)?.to_trace_filter().map_err(failed)?;
        table.query(&store, what, |store| {
            store.traces(&filter, &page()).rows.len()
        })?;
    }
    for (what, filter) in [
        ("logs: all", ""),
        ("logs: level", "level:error"),
        ("logs: no such level", "level:fatal"),
        ("logs: frequent text", "\"signed in\""),
        ("logs: rare text", "\"number 7 of a rare kind\""),
        ("logs: no such text", "\"nothing of the kind\""),
        ("logs: without a text", "-request"),
    ] {
        let filter = parse(filter)?.to_log_filter().map_err(failed)?;
        table.query(&store, what, |store| {
            store.logs(&filter, &page()).rows.len()
        })?;
    }
    table.query(&store, "spans in columns", |store| {
        let spans = store.spans_in(0..u64::MAX);
        spans
            .iter()
            .filter(|span| span.error && span.service == "auth")
            .count()
    })?;
    let mut large = 0;
    for _ in 0..50_000 / BATCH {
        store.insert_traces(&in_one_trace(spans(&mut number)));
        large += BATCH;
    }
    let large_trace = TraceId::from_bytes(&[7; 16]);
    table.query(
        &store,
        &format!("outline of a trace of {large} spans"),
        |store| {
            let outline = large_trace.and_then(|id| store.outline(id));
            outline.map_or(0, |outline| {
                outline.spans().map(|span| span.name.len().min(1)).sum()
            })
        },
    )?;
    table.query(&store, "200 spans of it", |store| {
        let outline = large_trace.and_then(|id| store.outline(id));
        outline.map_or(0, |outline| outline.read(20_000..20_200).len())
    })?;
    table.query(&store, &format!("trace of {large} spans"), |store| {
        let trace = large_trace.and_then(|id| store.trace(id));
        trace.map_or(0, |trace| trace.spans.len())
    })
}

fn parse(text: &str) -> std::io::Result<Filter> {
    text.parse().map_err(std::io::Error::other)
}

fn failed(unsupported: Vec<Unsupported>) -> std::io::Error {
    let messages = unsupported.into_iter().map(|term| term.to_string());
    std::io::Error::other(messages.collect::<String>())
}

/// The printed table.
struct Table(std::io::Stdout);

impl Table {
    fn new() -> std::io::Result<Self> {
        let mut table = Self(std::io::stdout());
        writeln!(table.0, "| what | figure |\n|---|---|")?;
        Ok(table)
    }

    fn row(&mut self, what: &str, figure: impl std::fmt::Display) -> std::io::Result<()> {
        writeln!(self.0, "| {what} | {figure} |")
    }

    fn query(
        &mut self,
        store: &Store,
        what: &str,
        query: impl Fn(&Store) -> usize,
    ) -> std::io::Result<()> {
        let mut found = 0;
        let mut times: Vec<Duration> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                found = query(store);
                start.elapsed()
            })
            .collect();
        times.sort();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let (median, p95) = (times[RUNS / 2], times[RUNS * 95 / 100]);
        let figure = format!(
            "p50 {:.1} ms, p95 {:.1} ms, {found} found",
            ms(median),
            ms(p95)
        );
        self.row(what, figure)
    }
}

fn page<C>() -> Page<C> {
    Page {
        limit: 50,
        before: None,
    }
}

/// Resident memory of this process, in bytes. `None` where there is no procfs.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Server spans of several services.
fn spans(number: &mut u64) -> ExportTraceServiceRequest {
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

fn span(number: u64) -> Span {
    let trace = number / DEPTH;
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
fn in_one_trace(mut request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    let groups = request.resource_spans.iter_mut();
    for span in groups.flat_map(|group| &mut group.scope_spans[0].spans) {
        span.trace_id = vec![7; 16];
    }
    request
}

fn logs(number: &mut u64) -> ExportLogsServiceRequest {
    let log_records = (0..BATCH)
        .map(|_| {
            *number += 1;
            let user = random(*number) % 10_000;
            let body = match random(*number) {
                number if number % 100_000 == 0 => "number 7 of a rare kind".to_owned(),
                number if number % 10 == 0 => format!("user {user} signed in"),
                number => format!("request of user {user} took {} ms", number % 500),
            };
            LogRecord {
                time_unix_nano: 1_700_000_000_000_000_000 + *number * 100_000,
                severity_number: if user < 100 { 17 } else { 9 },
                severity_text: "INFO".to_owned(),
                body: text("", &body).value,
                trace_id: [
                    random(*number / DEPTH).to_be_bytes(),
                    (*number / DEPTH).to_be_bytes(),
                ]
                .concat(),
                span_id: random(*number).to_be_bytes().into(),
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
        })
        .collect();
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

fn resource(service: &str) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", service),
            text("service.version", "1.4.2"),
            text("host.name", "shop-1"),
        ],
        ..Resource::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
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
