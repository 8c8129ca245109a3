use std::time::SystemTime;

use axum::http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::{problems::of_senders, remedy::remedy};
use crate::{
    Service,
    findings::{Findings, Trouble},
    pages::overview::tests::{get, texts},
    samples::{HOSTILE, MS, lens, log, send, span},
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
