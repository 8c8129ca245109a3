//! Compares the size that a store counts with the memory of the process.
//!
//! It is a program of its own, because the memory of other tests would be measured too.
#![cfg(target_os = "linux")]

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

use lens::store::{Stats, Store};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    trace::v1::{ResourceSpans, ScopeSpans, Span, span::Link},
};

/// Number of records in a request.
const BATCH: u64 = 512;
const MIB: usize = 1024 * 1024;
const LIMIT: usize = 64 * MIB;
/// Memory that the store does not count: the requests, the program, and what the allocator keeps.
const ALLOWANCE: usize = 48 * MIB;
/// The same as long as hardly anything was evicted, so that the allocator keeps little.
const FIRST_ALLOWANCE: usize = 12 * MIB;

#[test]
fn a_store_takes_the_memory_that_it_counts() {
    let before = resident().unwrap();
    let store = Store::new(LIMIT);
    let number = AtomicU64::new(0);
    // Small spans make columns and indexes large. Large ones make the compressed records large.
    for (noise, allowance) in [
        (0, FIRST_ALLOWANCE),
        (40, ALLOWANCE),
        (400, ALLOWANCE),
        (0, ALLOWANCE),
    ] {
        let start = store.stats();
        let evicted = |stats: Stats| stats.spans.evicted + stats.logs.evicted;
        let held = start.spans.records + start.logs.records;
        // Each round replaces the records before it at least once. Several threads insert, because an allocator
        // may keep memory for each thread.
        let insert = || {
            while evicted(store.stats()) - evicted(start) <= held
                || store.stats().bytes < LIMIT * 9 / 10
            {
                let first = number.fetch_add(2 * BATCH, Relaxed);
                store.insert_traces(&spans(first, noise));
                store.insert_logs(&logs(first + BATCH, noise));
            }
        };
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(insert);
            }
        });
        let stats = store.stats();
        let grown = resident().unwrap() - before;
        println!("{grown} bytes resident with {noise}: {stats:?}");
        assert!(stats.bytes <= LIMIT, "{stats:?}");
        assert!(
            grown <= LIMIT + allowance,
            "{grown} with {noise}, {stats:?}"
        );
        // The count is of memory that is in use.
        assert!(
            grown >= stats.bytes * 4 / 5,
            "{grown} with {noise}, {stats:?}"
        );
    }
}

/// Resident memory of this process, in bytes.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// Spans of which two are in one trace, with an attribute that compresses badly.
fn spans(first: u64, noise: usize) -> ExportTraceServiceRequest {
    let spans = (first + 1..=first + BATCH)
        .map(|number| Span {
            trace_id: trace(number / 2),
            span_id: random(number).to_be_bytes().into(),
            name: format!("GET /users/{}", number % 1000),
            start_time_unix_nano: number * 1000,
            end_time_unix_nano: number * 1000 + random(number) % 10_000_000,
            attributes: vec![attribute(number, noise)],
            links: vec![Link {
                trace_id: trace(number / 100),
                span_id: vec![1; 8],
                ..Link::default()
            }],
            ..Span::default()
        })
        .collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans,
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

fn logs(first: u64, noise: usize) -> ExportLogsServiceRequest {
    let log_records = (first + 1..=first + BATCH)
        .map(|number| LogRecord {
            time_unix_nano: number * 1000,
            trace_id: trace(number / 2),
            attributes: vec![attribute(number, noise)],
            ..LogRecord::default()
        })
        .collect();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn trace(number: u64) -> Vec<u8> {
    let number = u128::from(random(number)) << 64 | u128::from(number);
    number.to_be_bytes().into()
}

/// An attribute of about 8 * `words` bytes.
fn attribute(number: u64, words: usize) -> KeyValue {
    let noise = (0..words)
        .map(|word| format!("{:08x}", random(number ^ (word as u64) << 40) as u32))
        .collect();
    KeyValue {
        key: "noise".to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(noise)),
        }),
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
