use std::time::Duration;

use axum::{body::BodyDataStream, http::StatusCode};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValueList, any_value::Value},
    logs::v1::LogRecord,
};

use crate::{
    Lens,
    pages::testing::{
        self, MS, NOW, attribute, attributes, get, insert_logs, lens, log, open, text, texts,
        trace_id,
    },
    params::Params,
};

fn add(lens: &Lens, record: LogRecord) {
    insert_logs(lens, "auth", vec![record]);
}

/// A log record without a trace, this many seconds after [`NOW`].
fn plain(second: u64, severity_number: i32, body: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: NOW + second * 1000 * MS,
        severity_number,
        body: Some(text(body)),
        ..LogRecord::default()
    }
}

#[tokio::test]
async fn an_empty_list_says_what_to_do() {
    let lens = lens();
    let page = get(&lens, "/logs").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(texts(&page.body, "h1"), ["Logs"]);
    assert_eq!(
        texts(&page.body, ".nothing h2"),
        ["There are no log records yet"]
    );
    add(&lens, plain(1, 9, "hello"));
    let page = get(&lens, "/logs?q=none").await;
    assert_eq!(texts(&page.body, ".nothing h2"), ["No log record matches"]);
    let page = get(&lens, "/logs?from=1&to=2").await;
    assert_eq!(
        texts(&page.body, ".nothing h2"),
        ["No log record of this time matches"]
    );
}

#[tokio::test]
async fn lines_are_newest_first_with_their_trace() {
    let lens = lens();
    add(&lens, log(1, 2, 5, "first"));
    add(&lens, log(1, 0, 7, "second"));
    let page = get(&lens, "/logs").await.body;
    assert_eq!(texts(&page, ".lines summary .body"), ["second", "first"]);
    assert_eq!(
        texts(&page, ".lines .at"),
        ["14 Nov 2023, 22:13:20.007", "14 Nov 2023, 22:13:20.005"]
    );
    assert_eq!(texts(&page, ".lines .level"), ["INFO", "INFO"]);
    assert_eq!(texts(&page, ".lines summary .service"), ["auth", "auth"]);
    let trace = trace_id(1);
    assert_eq!(
        attributes(&page, ".lines a.trace", "href"),
        [
            format!("/traces/{trace}"),
            format!("/traces/{trace}?span=0000000000000002#s-0000000000000002"),
        ]
    );
}

#[tokio::test]
async fn a_wrong_clock_does_not_ruin_the_chart() {
    const YEAR: u64 = 365 * 86_400_000 * MS;
    let lens = lens();
    let now = crate::clock::now();
    let at = |time| LogRecord {
        time_unix_nano: time,
        ..plain(0, 9, "hello")
    };
    for second in 0..10 {
        add(&lens, at(now - second * 1000 * MS));
    }
    add(&lens, at(now + 200 * YEAR));
    add(&lens, at(MS));
    let page = get(&lens, "/logs").await.body;
    let caption = &texts(&page, ".timeline figcaption")[0];
    assert!(caption.contains("in intervals of 100 ms"), "{caption}");
    assert_eq!(texts(&page, ".around span"), ["12 log records"]);
    let notes = texts(&page, "main > p.hint");
    assert!(
        notes[0].starts_with("The chart leaves out 1 log record with a time in the future"),
        "{notes:?}"
    );
    assert!(
        notes[1].starts_with("The chart leaves out 1 log record from before "),
        "{notes:?}"
    );
    // Only times of other days have a date.
    let times = texts(&page, ".lines .at");
    assert_eq!(times.len(), 12);
    assert!(
        times[0].contains(" 22") && times[0].contains(','),
        "{times:?}"
    );
    assert_eq!(times[11], "1 Jan 1970, 00:00:00.001");
    let links = attributes(&page, "main > p.hint a", "href");
    for (link, count) in links.iter().zip([1, 11, 1]) {
        let page = get(&lens, link).await.body;
        assert_eq!(texts(&page, ".lines > li").len(), count, "{link}");
        assert_eq!(texts(&page, "main > p.hint").len(), 0, "{link}");
    }
    assert_eq!(links.len(), 3);
}

#[tokio::test]
async fn a_chart_of_the_future_says_so() {
    let lens = lens();
    for time in [u64::MAX, crate::clock::now() + 3_600_000 * MS] {
        add(
            &lens,
            LogRecord {
                time_unix_nano: time,
                ..plain(0, 9, "hello")
            },
        );
    }
    let page = get(&lens, "/logs").await.body;
    assert_eq!(texts(&page, ".around span"), ["2 log records"]);
    assert_eq!(
        texts(&page, "main > p.hint"),
        ["2 log records have a time in the future: the clock of the sender is wrong."]
    );
}

#[tokio::test]
async fn unusual_log_records_are_shown() {
    let lens = lens();
    // An event without a body, which was only observed, and without a severity.
    add(
        &lens,
        LogRecord {
            observed_time_unix_nano: NOW,
            event_name: "session.start".to_owned(),
            ..LogRecord::default()
        },
    );
    let page = get(&lens, "/logs").await.body;
    assert_eq!(texts(&page, ".lines .body"), ["session.start"]);
    assert_eq!(texts(&page, ".lines .at"), ["14 Nov 2023, 22:13:20.000"]);
    assert_eq!(texts(&page, ".lines .level"), ["–"]);
    assert_eq!(texts(&page, ".lines a.trace").len(), 0);
    assert_eq!(texts(&page, ".legend li"), ["no level"]);

    // The name that the Rust crate `tracing` gives to a log line.
    let lens = self::lens();
    let named = |event: &str| LogRecord {
        event_name: event.to_owned(),
        ..log(1, 0, 5, "started")
    };
    add(&lens, named("event src/main.rs:12"));
    add(&lens, named("event src/main.rs:x"));
    let page = get(&lens, "/logs").await.body;
    let bodies = texts(&page, ".lines summary .body");
    assert_eq!(bodies, ["event src/main.rs:x started", "started"]);

    // Nothing at all.
    let lens = self::lens();
    add(&lens, LogRecord::default());
    let page = get(&lens, "/logs").await.body;
    assert_eq!(texts(&page, ".lines .at"), ["no time"]);
    assert_eq!(texts(&page, ".lines .body"), ["no body"]);
    assert_eq!(texts(&page, ".around span"), ["1 log record"]);

    // A structured body.
    let lens = self::lens();
    let values = vec![attribute("user", "ann"), attribute("roles", "admin")];
    let body = AnyValue {
        value: Some(Value::KvlistValue(KeyValueList { values })),
    };
    add(
        &lens,
        LogRecord {
            body: Some(body),
            severity_number: 99,
            ..plain(0, 0, "")
        },
    );
    let page = get(&lens, "/logs").await.body;
    assert_eq!(
        texts(&page, ".lines .body"),
        [r#"{"user": "ann", "roles": "admin"}"#]
    );
    assert_eq!(texts(&page, ".lines .level"), ["–"]);
}

#[tokio::test]
async fn attributes_are_text() {
    let lens = lens();
    let mut record = plain(0, 17, "<script>alert(1)</script>\u{202e}\u{1b}[2J\r\nnext");
    record.attributes = vec![
        attribute("a<b", "\"><img src=x onerror=alert(1)>"),
        attribute("large", &"x".repeat(1 << 20)),
    ];
    record.severity_text = "<b>\u{202e}".to_owned();
    record.event_name = "e\u{0}".to_owned();
    add(&lens, record);
    let page = get(&lens, "/logs").await.body;
    assert!(page.len() < 100_000, "{}", page.len());
    assert!(!page.contains("<script>alert") && !page.contains("<img"));
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1b}') && !page.contains('\0'));
    assert_eq!(texts(&page, ".lines .level"), ["ERROR"]);
}

#[tokio::test]
async fn a_long_body_is_cut_on_its_line() {
    let lens = lens();
    add(&lens, plain(0, 9, &"long ".repeat(1000)));
    let page = get(&lens, "/logs").await.body;
    assert_eq!(texts(&page, ".lines .body .hint"), ["more"]);
    assert!(texts(&page, ".lines .body")[0].len() < 500);
    assert!(texts(&page, ".full dd")[0].len() > 3000);
}

#[tokio::test]
async fn pages_follow_one_another() {
    let lens = lens();
    for number in 0..250 {
        add(&lens, plain(number, 9, &format!("number {number}")));
    }
    let first = get(&lens, "/logs?q=number").await.body;
    assert_eq!(texts(&first, ".lines li").len(), 100);
    assert_eq!(texts(&first, ".pages a"), ["Older"]);
    let next = attributes(&first, ".pages a", "href").remove(0);
    assert!(next.contains("q=number"), "{next}");
    let second = get(&lens, &next).await.body;
    assert_eq!(texts(&second, ".lines .body")[0], "number 149");
    assert_eq!(texts(&second, ".pages a"), ["Newest", "Older"]);
    let next = attributes(&second, ".pages a", "href").remove(1);
    let third = get(&lens, &next).await.body;
    assert_eq!(texts(&third, ".lines .body").last().unwrap(), "number 0");
    assert_eq!(texts(&third, ".pages a"), ["Newest"]);
}

#[test]
fn a_search_that_ends_early_says_so() {
    // Segments of a small store have few records.
    let lens = Lens::new(8 << 20);
    for first in (0..12_000).step_by(1000) {
        let records = (first..first + 1000).map(|number| plain(number, 9, "ordinary"));
        insert_logs(&lens, "auth", records.collect());
    }
    assert!(lens.store.stats().logs.segments > 1);
    let page = |query: &str, within| {
        let page = super::page(&lens, &Params::new(query), within);
        page.into_string()
    };
    // Nothing in the newest segment, and all of the others.
    add(&lens, plain(1, 9, "wanted"));
    let query = "q=-ordinary";
    let complete = page(query, Duration::MAX);
    assert_eq!(texts(&complete, ".lines .body"), ["wanted"]);
    assert_eq!(texts(&complete, ".around span"), ["1 log record"]);
    assert_eq!(texts(&complete, ".pages a"), [""; 0]);

    let mut early = page(query, Duration::ZERO);
    let mut pages = 1;
    while texts(&early, ".lines .body").is_empty() {
        let title = texts(&early, ".nothing h2").remove(0);
        assert!(
            title.starts_with("No match since 15 Nov 2023, 0"),
            "{title}"
        );
        assert_eq!(texts(&early, ".nothing a"), ["Search on"]);
        let total = texts(&early, ".around span").remove(0);
        assert!(total.contains("where the search ended"), "{total}");
        let next = attributes(&early, "a[rel=next]", "href").remove(0);
        early = page(next.strip_prefix("/logs?").unwrap(), Duration::ZERO);
        pages += 1;
    }
    assert!(pages > 1, "{early}");
    // With rows, the link to the next page is where it always is.
    let early = page("q=ordinary&from=1", Duration::ZERO);
    assert_eq!(texts(&early, ".pages a"), ["Older"]);
}

#[tokio::test]
async fn bars_lead_to_their_time() {
    let lens = lens();
    for second in 0..60 {
        add(&lens, plain(second, 9, "ordinary"));
        if second % 20 == 0 {
            add(&lens, plain(second, 17, "failed"));
        }
    }
    let page = get(&lens, "/logs").await.body;
    assert_eq!(texts(&page, ".legend li"), ["ERROR", "INFO"]);
    assert_eq!(texts(&page, ".around span"), ["63 log records"]);
    let bars = attributes(&page, ".plot a", "href");
    assert_eq!(bars.len(), 60);
    assert_eq!(
        texts(&page, ".plot a title")[0],
        "from 2023-11-14T22:13:20Z: ERROR 1, INFO 1"
    );
    // The table has the same links and numbers.
    assert_eq!(
        attributes(&page, ".timeline td a, .timeline th a", "href"),
        bars
    );

    let second = get(&lens, &bars[20]).await.body;
    assert_eq!(texts(&second, ".lines .body"), ["failed", "ordinary"]);
    assert!(texts(&second, ".around a").contains(&"Show all times".to_owned()));
    // The filter keeps the time.
    assert_eq!(
        attributes(&second, ".filter input[name=from]", "value").len(),
        1
    );
    let errors = get(&lens, &format!("{}&q=level%3Aerror", bars[20]))
        .await
        .body;
    assert_eq!(texts(&errors, ".lines .body"), ["failed"]);
    assert_eq!(texts(&errors, ".around span"), ["1 log record"]);
}

#[tokio::test]
async fn levels_are_links() {
    let lens = lens();
    add(&lens, plain(0, 9, "ordinary"));
    add(&lens, plain(1, 17, "failed"));
    let page = get(&lens, "/logs?q=service:auth").await.body;
    let links = attributes(&page, ".levels a", "href");
    assert_eq!(links.len(), 5);
    let errors = get(&lens, &links[4]).await.body;
    assert_eq!(texts(&errors, ".lines .body"), ["failed"]);
    assert_eq!(texts(&errors, ".levels a[aria-current]"), ["Errors"]);
    let all = get(&lens, &attributes(&errors, ".levels a", "href")[0])
        .await
        .body;
    assert_eq!(texts(&all, ".lines .body"), ["failed", "ordinary"]);
}

#[tokio::test]
async fn a_wrong_filter_is_explained() {
    let lens = lens();
    add(&lens, plain(0, 9, "ordinary"));
    for (query, problem) in [
        ("levl:warn", "do you mean `level`?"),
        ("duration%3E1s", "logs have no `duration`"),
    ] {
        let page = get(&lens, &format!("/logs?q={query}")).await.body;
        let errors = texts(&page, ".filter .error");
        assert!(errors[0].contains(problem), "{errors:?}");
        assert_eq!(texts(&page, ".lines li").len(), 0);
    }
    let events = get(&lens, "/logs/events?q=levl:warn").await;
    assert_eq!(events.status, StatusCode::BAD_REQUEST);
}

/// The id of the next event, and the bodies of its log records.
async fn event(stream: &mut BodyDataStream) -> Option<(String, Vec<String>)> {
    let (id, html) = testing::event(stream).await?;
    Some((id, texts(&html, "summary .body, .skipped")))
}

#[tokio::test]
async fn a_live_page_gets_new_log_records() {
    let lens = lens();
    add(&lens, plain(0, 9, "old"));
    let page = get(&lens, "/logs?tail=1&q=-noise").await.body;
    assert_eq!(texts(&page, ".around a"), ["Reload", "Stop"]);
    assert_eq!(attributes(&page, "script", "src").len(), 1);
    assert_eq!(attributes(&page, ".lines", "data-after"), ["1"]);
    let path = attributes(&page, ".lines", "data-events").remove(0);
    let mut stream = open(&lens, &format!("{path}&after=1"), None).await;
    add(&lens, plain(1, 9, "noise"));
    add(&lens, plain(2, 9, "one"));
    add(&lens, plain(3, 9, "two"));
    let (id, bodies) = event(&mut stream).await.unwrap();
    assert_eq!(
        (id.as_str(), bodies),
        ("4", vec!["two".to_owned(), "one".to_owned()])
    );
    // A browser that reconnects continues after the last event.
    add(&lens, plain(4, 9, "three"));
    let mut again = open(&lens, &format!("{path}&after=1"), Some("4")).await;
    assert_eq!(event(&mut again).await.unwrap().1, ["three"]);
    lens.stop();
    assert_eq!(event(&mut again).await, None);
}

#[tokio::test]
async fn a_flood_is_skipped() {
    let lens = lens();
    let records = (0..20_000).map(|number| plain(number, 9, &format!("number {number}")));
    insert_logs(&lens, "auth", records.collect());
    let mut stream = open(&lens, "/logs/events?after=0", None).await;
    let (_, bodies) = event(&mut stream).await.unwrap();
    let skipped = bodies.last().unwrap();
    assert!(skipped.ends_with("15000 were skipped."), "{skipped}");
    assert_eq!(bodies[0], "number 15199");
}

#[tokio::test]
async fn streams_are_limited() {
    let lens = lens();
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(open(&lens, "/logs/events", None).await);
    }
    let refused = get(&lens, "/logs/events").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    streams.pop();
    drop(open(&lens, "/logs/events", None).await);
}
