//! Spans that are wrong, incomplete or hostile.

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, any_value::Value};

use super::*;

/// D2: children before parents, missing parents, a parent in a later request, self-parents and cycles.
#[tokio::test]
async fn strange_parents_are_drawn_and_marked() {
    let lens = lens();
    insert(
        &lens,
        "web",
        vec![
            span(1, 2, 1, 10, 20),
            span(1, 3, 0xdead, 30, 40),
            span(1, 4, 4, 50, 60),
            span(1, 5, 6, 70, 80),
            span(1, 6, 5, 71, 79),
        ],
    );
    insert(&lens, "web", vec![span(1, 1, 0, 0, 100)]);
    let page = get(&lens, &path(1)).await.body;
    let missing =
        "1. Span 000000000000dead is not stored It was evicted, not sampled, or has not arrived.";
    assert_eq!(
        rows(&page),
        [
            "1. web span 1 On the critical path.",
            "2. web span 2 On the critical path.",
            missing,
            "2. web span 3",
            "1. web span 4 is its own parent",
            "1. web span 5 parent cycle cut",
            "2. web span 6",
        ]
    );
    assert!(
        texts(&page, ".notice")
            .join("")
            .contains("The parent of some spans is not stored")
    );
    for id in [4, 5, 0xdead] {
        let page = get(&lens, &format!("{}?span={id:016x}", path(1))).await;
        assert_eq!(page.status, 200);
    }
    let markdown = get(&lens, &format!("{}.md", path(1))).await.body;
    assert!(
        markdown.contains("(span 000000000000dead is not stored)"),
        "{markdown}"
    );
}

/// D4: ends before starts, missing times, and skewed clocks.
#[tokio::test]
async fn strange_times_are_kept_and_marked() {
    let lens = lens();
    let mut no_end = span(1, 4, 1, 50, 60);
    no_end.end_time_unix_nano = 0;
    let mut no_start = span(1, 5, 1, 0, 60);
    no_start.start_time_unix_nano = 0;
    insert(
        &lens,
        "web",
        vec![
            span(1, 1, 0, 10, 100),
            span(1, 3, 1, 40, 30),
            no_end,
            no_start,
        ],
    );
    insert(&lens, "pay", vec![span(1, 2, 1, 5, 120)]);
    let page = get(&lens, &path(1)).await.body;
    assert_eq!(
        rows(&page),
        [
            "1. web span 1",
            "2. pay span 2 starts 5 ms before its parent ends 20 ms after its parent On the critical path.",
            "2. web span 3 ends 10 ms before it starts",
            "2. web span 4 no end time",
            "2. web span 5 no start time",
        ]
    );
    assert_eq!(
        texts(&page, "#s-0000000000000003 .number"),
        ["0 ns", "0 ns"]
    );
    assert_eq!(texts(&page, "#s-0000000000000005 .number"), ["–", "0 ns"]);
    assert!(attributes(&page, "#s-0000000000000005 rect", "x").is_empty());
    assert_eq!(texts(&page, ".facts-line dd")[1], "115 ms (root 90 ms)");
    let panel = get(&lens, &format!("{}?span=0000000000000003", path(1)))
        .await
        .body;
    assert!(texts(&panel, ".panel .notice")[0].starts_with("Ends 10 ms before it starts."));
}

/// D4: a trace in which no span has a time.
#[tokio::test]
async fn a_trace_without_times_has_rows() {
    let lens = lens();
    let mut only = span(1, 1, 0, 0, 0);
    (only.start_time_unix_nano, only.end_time_unix_nano) = (0, 0);
    insert(&lens, "web", vec![only]);
    let page = get(&lens, &path(1)).await;
    assert_eq!(rows(&page.body), ["1. web span 1 no start time"]);
}

/// D5: dropped counts, links, flags, trace state, schemas and the status message.
#[tokio::test]
async fn all_fields_of_a_span_are_shown() {
    let lens = lens();
    let mut span = failed(span(1, 1, 0, 0, 10), "deadline exceeded");
    span.dropped_attributes_count = 3;
    span.dropped_events_count = 4;
    span.dropped_links_count = 5;
    span.trace_state = "vendor=1".to_owned();
    span.flags = 0x301;
    span.links = vec![Link {
        trace_state: "other=2".to_owned(),
        flags: 1,
        dropped_attributes_count: 6,
        attributes: vec![attribute("offset", "42")],
        ..link(9, 9)
    }];
    span.events = vec![Event {
        name: "retry".to_owned(),
        time_unix_nano: NOW - MS,
        dropped_attributes_count: 7,
        ..Event::default()
    }];
    insert(&lens, "web", vec![span]);
    let page = get(&lens, &format!("{}?span=0000000000000001", path(1)))
        .await
        .body;
    let panel = texts(&page, ".panel").join("");
    for text in [
        "deadline exceeded",
        "dropped attributes 3,",
        "dropped events 4,",
        "dropped links 5,",
        "trace state vendor=1",
        "0x301, sampled, the parent is remote",
        "which is not stored trace state other=2 flags 0x1 6 dropped attributes offset 42",
        "−1 ms, before the span retry 7 dropped attributes",
    ] {
        assert!(panel.contains(text), "{text}: {panel}");
    }
}

#[tokio::test]
async fn foreign_text_is_text() {
    let hostile = "</script><img src=x onerror=alert(1)>\u{202e}\u{0}\u{1b}[31m\n\"'&";
    let mut bad = failed(span(1, 1, 0, 0, 10), hostile);
    bad.name = hostile.to_owned();
    bad.trace_state = hostile.to_owned();
    bad.attributes = vec![
        attribute(hostile, hostile),
        attribute("big", &"<".repeat(1 << 20)),
    ];
    bad.events = vec![Event {
        name: hostile.to_owned(),
        time_unix_nano: NOW,
        attributes: vec![attribute(hostile, hostile)],
        ..Event::default()
    }];
    let mut deep = text(hostile);
    for _ in 0..40 {
        deep = AnyValue {
            value: Some(Value::ArrayValue(ArrayValue { values: vec![deep] })),
        };
    }
    bad.attributes.push(KeyValue {
        key: "deep".to_owned(),
        value: Some(deep),
        ..KeyValue::default()
    });
    let lens = lens();
    insert(&lens, hostile, vec![bad, span(1, 2, 1, 0, 1)]);
    insert_logs(
        &lens,
        hostile,
        vec![log(1, 1, 0, hostile), log(1, 0, 0, &"x".repeat(1 << 20))],
    );
    insert(&lens, "other", vec![span(2, 1, 0, 0, 1)]);
    for path in [
        path(1),
        format!("{}?span=0000000000000001", path(1)),
        format!("{}?with={}", path(1), trace_id(2)),
        "/traces".to_owned(),
    ] {
        let page = get(&lens, &path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.len() < 100_000, "{path}: {}", page.body.len());
        for bad in ["<img", "\u{202e}", "\u{0}", "\u{1b}"] {
            assert!(!page.body.contains(bad), "{path}: {bad:?}");
        }
    }
    let markdown = get(&lens, &format!("{}.md", path(1))).await.body;
    assert!(markdown.len() < 20_000 && !markdown.contains('\u{202e}'));
}
