//! Files of export objects.

use std::io::Write as _;

use axum::body::Body;
use flate2::{Compression, write::GzEncoder};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
};
use otlp::{Import, Limits, Problem, Receiver, Signal, json};
use prost::Message as _;

use crate::server::{Memory, sized, span, spans};

const TRACE: &str = include_str!("../data/trace.json");
const METRICS: &str = include_str!("../data/metrics.json");
const LOGS: &str = include_str!("../data/logs.json");

const SPAN: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
    {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174"},{"name":"without ids"}]}]}]}"#;

async fn import(sink: &Memory, file: impl Into<Body>) -> Import {
    let limits = Limits { request: 100_000 };
    Receiver::new(sink.clone(), limits)
        .import(file.into(), None)
        .await
}

/// Imports protobuf.
async fn messages(sink: &Memory, signal: Signal, file: impl Into<Body>) -> Import {
    let limits = Limits { request: 100_000 };
    Receiver::new(sink.clone(), limits)
        .import(file.into(), Some(signal))
        .await
}

/// Messages as the file exporter of the collector writes them.
fn framed<const COUNT: usize>(messages: [&[u8]; COUNT]) -> Vec<u8> {
    let with_length = |message: &[u8]| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&length, message].concat()
    };
    messages.map(with_length).concat()
}

fn gzip(file: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(file.as_ref()).unwrap();
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
    let bomb = gzip(format!("{SPAN}\n{large}\n{SPAN}"));
    let import = import(&Memory::default(), bomb).await;
    assert_eq!((import.spans, import.refused), (2, 1));
    let reason = &import.problems[1].reason;
    assert!(reason.contains("more than 100000 bytes"), "{reason}");
}

#[tokio::test]
async fn gzip_that_is_cut_off_is_an_error() {
    let file = gzip(format!("{SPAN}\n").repeat(1000));
    let import = import(&Memory::default(), file[..file.len() - 20].to_vec()).await;
    assert_eq!(import.refused, 1);
    let reason = &import.problems.last().unwrap().reason;
    assert!(reason.contains("not valid gzip"), "{reason}");
}

#[tokio::test]
async fn protobuf_is_one_message_or_many_with_their_length() {
    let metrics: ExportMetricsServiceRequest = json::decode(METRICS.as_bytes()).unwrap();
    let logs: ExportLogsServiceRequest = json::decode(LOGS.as_bytes()).unwrap();
    for (signal, message, expected) in [
        (Signal::Traces, span(1).encode_to_vec(), (1, 0, 0)),
        (Signal::Metrics, metrics.encode_to_vec(), (0, 4, 0)),
        (Signal::Logs, logs.encode_to_vec(), (0, 0, 1)),
    ] {
        let (spans, points, logs) = expected;
        let expected = |times: u64| Import {
            spans: spans * times,
            points: points * times,
            logs: logs * times,
            ..Import::default()
        };
        let sink = Memory::default();
        let three = framed([&message, &message, b"", &message]);
        assert_eq!(messages(&sink, signal, three.clone()).await, expected(3));
        assert_eq!(messages(&sink, signal, gzip(three)).await, expected(3));
        assert_eq!(messages(&sink, signal, gzip(&message)).await, expected(1));
        assert_eq!(messages(&sink, signal, message).await, expected(1));
        assert_eq!(messages(&sink, signal, "").await, Import::default());
    }
}

#[tokio::test]
async fn a_bad_message_is_named_and_others_are_kept() {
    let bad = spans([(vec![1; 15], vec![2; 8]), (vec![1; 16], vec![2; 8])]).encode_to_vec();
    let (good, large) = (span(1).encode_to_vec(), sized(100_001).encode_to_vec());
    let mut file = framed([&good, b"no protobuf", &bad, &large, &good]);
    file.extend(&good[..7]);
    let sink = Memory::default();
    let import = messages(&sink, Signal::Traces, file).await;
    assert_eq!((import.spans, import.rejected, import.refused), (3, 1, 3));
    let expected = [
        (2, "not an export of traces"),
        (3, "the trace id has a length of 15"),
        (4, "more than 100000 bytes"),
        (6, "the file ends within this message"),
    ];
    assert_eq!(import.problems.len(), expected.len(), "{import:?}");
    for (problem, (line, reason)) in import.problems.iter().zip(expected) {
        assert_eq!(problem.line, line);
        assert!(problem.reason.contains(reason), "{problem:?}");
    }
}

#[tokio::test]
async fn the_form_of_a_file_is_not_guessed() {
    let message = span(1).encode_to_vec();
    let zstd = b"\x28\xb5\x2f\xfd\0\0".to_vec();
    let sink = Memory::default();
    for (import, expected) in [
        (import(&sink, message.clone()).await, "name its signal"),
        (import(&sink, framed([&message])).await, "name its signal"),
        (import(&sink, gzip(&message)).await, "name its signal"),
        (import(&sink, zstd.clone()).await, "zstd"),
        (import(&sink, framed([&zstd])).await, "zstd"),
        (messages(&sink, Signal::Logs, zstd.clone()).await, "zstd"),
        (messages(&sink, Signal::Logs, framed([&zstd])).await, "zstd"),
        (
            messages(&sink, Signal::Traces, TRACE).await,
            "without a signal",
        ),
        (
            messages(&sink, Signal::Traces, format!("\n{SPAN}")).await,
            "without a signal",
        ),
        (
            messages(&sink, Signal::Logs, message).await,
            "not an export of logs",
        ),
    ] {
        let [Problem { line: 1, reason }] = &import.problems[..] else {
            panic!("{import:?}")
        };
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(import.refused, 1);
    }
    assert!(sink.spans.lock().unwrap().is_empty());
}
