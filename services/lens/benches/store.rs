//! Benchmark of the store: insertions, lists and searches in a store of 256 MiB: `cargo bench -p lens`.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use e2e::samples::{BATCH, in_one_trace, logs, spans};
use lens::{
    query::{Filter, Unsupported},
    store::{Page, Store, TraceId},
};
use prost::Message as _;

const MIB: usize = 1024 * 1024;
const LIMIT: usize = 256 * MIB;
const SPANS: usize = 200_000;
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
