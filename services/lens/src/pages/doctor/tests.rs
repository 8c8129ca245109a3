use std::time::SystemTime;

use axum::http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use otlp::Refusal;

use super::{problems::of_senders, remedy::remedy};
use crate::{
    Doctor, Service,
    findings::{Findings, Trouble},
    metrics::testing::{SECOND, gauge, number, request},
    pages::overview::tests::{get, texts},
    samples::{HOSTILE, MS, lens, log, log_at, send, span},
};

#[tokio::test]
async fn nothing_was_refused() {
    let (status, html, text) = get(&lens(), "/doctor").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(texts(&html, "h1"), ["Doctor"]);
    assert!(text.contains("Nothing was refused."));
    assert!(text.contains("No problem was found."));
    assert!(text.contains("Nothing was received yet."));
}

#[tokio::test]
async fn problems_of_traces_are_found() {
    let lens = lens();
    let root = span(SpanKind::Client, 1, 1, 0);
    let mut early = span(SpanKind::Server, 1, 2, 1);
    early.start_time_unix_nano = root.start_time_unix_nano - 250 * MS;
    let orphans = [
        span(SpanKind::Internal, 1, 3, 77),
        span(SpanKind::Internal, 1, 4, 77),
    ];
    send(&lens, "web", [root].into_iter().chain(orphans)).await;
    send(&lens, "auth", [early]).await;
    let mut reversed = span(SpanKind::Internal, 2, 1, 0);
    reversed.end_time_unix_nano = reversed.start_time_unix_nano - 5 * MS;
    let mut endless = span(SpanKind::Internal, 3, 1, 0);
    endless.end_time_unix_nano = 0;
    let mut timeless = span(SpanKind::Internal, 3, 2, 1);
    timeless.start_time_unix_nano = 0;
    let own = span(SpanKind::Internal, 3, 3, 3);
    send(&lens, "job", [reversed, endless, timeless, own]).await;
    let mut ahead = span(SpanKind::Internal, 4, 1, 0);
    ahead.start_time_unix_nano += 3_660_000 * MS;
    ahead.end_time_unix_nano += 3_660_000 * MS;
    send(&lens, "job", [ahead]).await;
    // Its parent may still come.
    let mut young = span(SpanKind::Server, 9, 1, 8);
    young.start_time_unix_nano += 59_000 * MS;
    young.end_time_unix_nano += 59_000 * MS;
    send(&lens, "young", [young]).await;

    let findings = Findings::new(&lens.store);
    let facts: Vec<_> = findings
        .list
        .iter()
        .map(|found| {
            (
                found.trouble,
                found.service.as_str(),
                found.count,
                found.most,
            )
        })
        .collect();
    let expected = [
        (Trouble::Orphan, "web", 1, 0),
        (Trouble::Skew, "auth", 1, 250 * MS),
        (Trouble::Ahead, "job", 1, 3_600_000 * MS),
        (Trouble::EndsEarly, "job", 1, 5 * MS),
        (Trouble::NoEnd, "job", 1, 0),
        (Trouble::NoStart, "job", 1, 0),
        (Trouble::OwnParent, "job", 1, 0),
    ];
    assert_eq!(facts.len(), expected.len(), "{facts:?}");
    for ((trouble, service, count, most), found) in expected.into_iter().zip(facts) {
        assert_eq!((trouble, service, count), (found.0, found.1, found.2));
        // The spans are made one after the other.
        assert!(found.3.abs_diff(most) < 50 * MS, "{found:?}");
    }
    assert_eq!(findings.traces, 4);
    let (_, html, _) = get(&lens, "/doctor").await;
    let problems = texts(&html, ".problems .title").join("\n");
    assert!(
        problems.contains("The clocks of web and auth differ by at least"),
        "{problems}"
    );
    assert!(
        problems.contains("auth, job, web, young send no log records and no metrics."),
        "{problems}"
    );
}

#[tokio::test]
async fn clocks_that_are_ahead_are_found_in_all_signals() {
    let lens = lens();
    let now = crate::clock::now();
    let hour = 3_600_000 * MS;
    let mut long = span(SpanKind::Internal, 1, 1, 0);
    long.end_time_unix_nano = now + 2 * hour;
    send(&lens, "long", [long]).await;
    // The trace begins with its other span.
    let mut last = span(SpanKind::Internal, 2, 1, 0);
    (last.start_time_unix_nano, last.end_time_unix_nano) = (u64::MAX, u64::MAX);
    let mut first = span(SpanKind::Internal, 2, 2, 1);
    (first.start_time_unix_nano, first.end_time_unix_nano) = (1, 2);
    send(&lens, "last", [last, first]).await;
    for _ in 0..2 {
        log_at(&lens, "logger", 9, "hello", now + 2 * hour).await;
    }
    let point = number(0, now / SECOND + 7202, 1);
    lens.metrics.insert(&request(vec![gauge(vec![point])]));
    let (_, html, _) = get(&lens, "/doctor").await;
    let problems = texts(&html, ".problems .title").join("\n");
    for expected in [
        "The clock of long is ahead by up to 2 h 0 min: it sent 1 span with a start or an end in the future.",
        "The clock of last is ahead",
        "The clock of logger is ahead by up to 2 h 0 min: it sent 2 log records with a time in the future. An example.",
        "The clock of shop is ahead by up to 2 h 0 min: it sent 1 data point with a time in the future.",
    ] {
        assert!(problems.contains(expected), "{problems}");
    }
}

#[test]
fn one_reason_is_one_note() {
    let doctor = Doctor::default();
    for (rejected, reason) in [
        (
            1,
            "1 span rejected: its trace id and span id are those of another span",
        ),
        (
            9,
            "9 spans rejected: their trace ids and span ids are those of another span",
        ),
        (1, "1 span rejected: the trace id is all zeros"),
        (2, "2 spans rejected: first the trace id is all zeros"),
        (1, "1 data point rejected: no time"),
        (7, "7 data points rejected: no time"),
    ] {
        doctor.refused(&Refusal {
            signal: None,
            rejected: Some(rejected),
            reason: reason.to_owned(),
        });
    }
    let mut rejected: Vec<_> = doctor.notes().iter().map(|note| note.rejected).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, [3, 8, 10]);
}

#[tokio::test]
async fn spans_that_share_their_ids_are_told() {
    let lens = lens();
    let one = span(SpanKind::Server, 1, 1, 0);
    let mut two = one.clone();
    two.name = "two".to_owned();
    let answer = send(&lens, "web", [one.clone(), one, two]).await;
    assert_eq!((answer.rejected, answer.duplicates), (1, 1));
    assert!(
        answer.message.starts_with("1 span rejected: its trace id"),
        "{answer:?}"
    );
    assert!(remedy(&answer.message).is_some_and(|remedy| remedy.contains("unique")));
    let (_, html, _) = get(&lens, "/doctor").await;
    let problems = texts(&html, ".problems .title").join("\n");
    assert!(problems.contains("1 span arrived again."), "{problems}");
    let expected = "1 span has the trace id and the span id of another span, and is not stored";
    assert!(problems.contains(expected), "{problems}");
}

#[tokio::test]
async fn repeated_spans_and_missing_names_are_told() {
    let lens = lens();
    let span = span(SpanKind::Server, 1, 1, 0);
    for _ in 0..3 {
        send(&lens, "", [span.clone()]).await;
    }
    let (_, html, _) = get(&lens, "/doctor").await;
    let problems = texts(&html, ".problems .title").join("\n");
    assert!(problems.contains("2 spans arrived again."), "{problems}");
    assert!(
        problems.contains("1 sender has no service.name"),
        "{problems}"
    );
}

#[test]
fn a_process_may_send_a_signal_under_one_of_its_names() {
    let service = |name: &str, instance: &str, spans| Service {
        name: name.to_owned(),
        instance: instance.to_owned(),
        sdk: String::new(),
        spans,
        points: 1,
        logs: spans,
        last: SystemTime::UNIX_EPOCH,
    };
    let together = [service("auth", "1", 9), service("runtime", "1", 0)];
    assert_eq!(of_senders(&together).len(), 0);
    for apart in ["", "2"] {
        let apart = [service("auth", "1", 9), service("runtime", apart, 0)];
        assert_eq!(of_senders(&apart).len(), 1);
    }
}

#[tokio::test]
async fn foreign_text_stays_text() {
    let lens = lens();
    let long = "é".repeat(600_000);
    for name in [HOSTILE, &long] {
        send(&lens, name, [span(SpanKind::Server, 1, 1, 7)]).await;
        log(&lens, name, 17, name).await;
        lens.doctor.turned_away(None, name);
    }
    let (status, html, text) = get(&lens, "/doctor").await;
    assert_eq!(status, StatusCode::OK);
    assert!(texts(&html, "script").is_empty());
    assert!(!text.contains(['\u{202e}', '\u{1b}', '\0']));
    assert!(text.len() < 100_000, "{} bytes", text.len());
}

#[test]
fn reasons_have_remedies() {
    let unknown = |path: &str| format!("{path:?} is unknown; this receiver takes /v1/traces");
    for (path, words) in [
        ("/v1/traces/v1/traces", "appended it again"),
        ("/v1/metrics/v1/logs", "appended it again"),
        ("/", "without a path"),
        ("/otlp/v1/traces", "before the one of OTLP"),
        ("/v1/traces/", "what follows"),
        ("/v1/trace", "misspelt"),
        ("/api/v2/spans", "Zipkin"),
        ("/loki/api/v1/push", "Loki"),
        ("/v1development/profiles", "no profiles"),
        ("/else", "the address alone"),
    ] {
        let remedy = remedy(&unknown(path)).unwrap();
        assert!(remedy.contains(words), "{path}: {remedy}");
    }
    assert_eq!(remedy("something new"), None);
}
