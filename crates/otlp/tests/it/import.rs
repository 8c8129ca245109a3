//! Files of export objects.

use std::io::Write as _;

use axum::body::Body;
use flate2::{Compression, write::GzEncoder};
use otlp::{Import, Limits, Problem, Receiver};

use crate::server::Memory;

const TRACE: &str = include_str!("../data/trace.json");
const METRICS: &str = include_str!("../data/metrics.json");
const LOGS: &str = include_str!("../data/logs.json");

const SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
    {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"},{"name":"without ids"}]}]}]}"#;

async fn import(sink: &Memory, file: impl Into<Body>) -> Import {
    let limits = Limits { request: 100_000 };
    Receiver::new(sink.clone(), limits)
        .import(file.into())
        .await
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_file_has_objects_of_all_signals() {
    let file = format!("{TRACE}{METRICS}{LOGS}");
    let expected = Import {
        spans: 1,
        points: 4,
        logs: 1,
        ..Import::default()
    };
    let sink = Memory::default();
    assert_eq!(import(&sink, file.clone()).await, expected);
    assert_eq!(sink.spans.lock().unwrap().len(), 1);
    assert_eq!(import(&sink, gzip(&file)).await, expected);
    // Members of gzip follow one another in a file to which a program appends.
    let members = [gzip(TRACE), gzip(METRICS), gzip(LOGS)].concat();
    assert_eq!(import(&sink, members).await, expected);
    assert_eq!(import(&sink, "").await, Import::default());
}

#[tokio::test]
async fn an_object_may_have_several_signals() {
    let file = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]}]}],
        "resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c",
        "spanId":"eee19b7ec3c1b174"}]}]}]}"#;
    let import = import(&Memory::default(), file).await;
    assert_eq!((import.spans, import.logs, import.refused), (1, 2, 0));
}

#[tokio::test]
async fn a_bad_line_is_named_and_others_are_kept() {
    let span = SPAN.replace('\n', "");
    let lines = [
        &span,
        "no JSON",
        "{}",
        r#"{"resourceLogs":[{"scopeLogs":7}]}"#,
        r#"{"resourceLogs":[{"scopeLo"#,
        &span,
    ];
    let sink = Memory::default();
    let import = import(&sink, lines.join("\n")).await;
    assert_eq!((import.spans, import.rejected, import.refused), (2, 2, 4));
    let problems: Vec<_> = import.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(problems, [1, 2, 3, 4, 5, 6]);
    let has = |index: usize, text: &str| {
        let Problem { reason, .. } = &import.problems[index];
        assert!(reason.contains(text), "{reason}");
    };
    has(0, "1 span rejected: the trace id has a length of 0");
    has(1, "not an export object: expected");
    has(
        2,
        "it has no resourceSpans, resourceMetrics or resourceLogs",
    );
    has(3, "resourceLogs[0].scopeLogs");
    has(4, "not an export object: EOF");
    assert!(!sink.refusals.lock().unwrap().is_empty());
}

#[tokio::test]
async fn limits_are_those_of_requests() {
    let large = format!(r#"{{"resourceLogs":[],"x":"{}"}}"#, "x".repeat(100_000));
    let bomb = gzip(&format!("{SPAN}\n{large}\n{SPAN}"));
    let import = import(&Memory::default(), bomb).await;
    assert_eq!((import.spans, import.refused), (2, 1));
    let reason = &import.problems[1].reason;
    assert!(reason.contains("more than 100000 bytes"), "{reason}");
}

#[tokio::test]
async fn gzip_that_is_cut_off_is_an_error() {
    let file = gzip(&format!("{SPAN}\n").repeat(1000));
    let import = import(&Memory::default(), file[..file.len() - 20].to_vec()).await;
    assert_eq!(import.refused, 1);
    let reason = &import.problems.last().unwrap().reason;
    assert!(reason.contains("not valid gzip"), "{reason}");
}
