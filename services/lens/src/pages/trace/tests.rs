//! Tests of the page of a trace. The cases of anomalies are in `tests/odd.rs`.

mod exports;
mod large;
mod odd;
mod selection;

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use crate::pages::testing::*;

fn path(trace: u64) -> String {
    format!("/traces/{}", trace_id(trace))
}

fn link(trace: u64, span: u64) -> Link {
    Link {
        trace_id: trace_id(trace).to_bytes().into(),
        span_id: span.to_be_bytes().into(),
        ..Link::default()
    }
}

/// The rows of a waterfall: the level, and the text.
fn rows(page: &str) -> Vec<String> {
    texts(page, ".waterfall tbody th .cell")
        .into_iter()
        .map(|row| {
            let row = row
                .strip_prefix("Level ")
                .unwrap()
                .replace("Hide the rows below", "");
            row.replace(['▾', '▸'], "")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

fn shop() -> std::sync::Arc<crate::Lens> {
    let lens = lens();
    let mut call = span(1, 2, 1, 5, 95);
    call.kind = 3;
    insert(&lens, "web", vec![span(1, 1, 0, 0, 100), call]);
    let mut inner = failed(span(1, 3, 2, 10, 90), "card declined");
    inner.attributes = vec![attribute("http.route", "/pay")];
    inner.events = vec![Event {
        time_unix_nano: NOW + 15 * MS,
        name: "exception".to_owned(),
        attributes: vec![attribute("exception.type", "Declined")],
        ..Event::default()
    }];
    insert(&lens, "pay", vec![inner]);
    insert_logs(
        &lens,
        "pay",
        vec![
            log(1, 3, 20, "charged"),
            log(1, 0, 1, "no span"),
            log(1, 99, 2, "lost"),
        ],
    );
    lens
}

#[tokio::test]
async fn a_waterfall_has_spans_below_their_parents_and_logs_in_place() {
    let page = get(&shop(), &path(1)).await;
    assert_eq!(page.status, 200);
    assert_eq!(texts(&page.body, "h1"), ["web span 1"]);
    assert_eq!(
        rows(&page.body),
        [
            "1. web span 1 On the critical path.",
            "2. web span 2 client On the critical path.",
            "3. pay span 3 Error card declined On the critical path.",
        ]
    );
    assert_eq!(
        texts(&page.body, ".waterfall tbody .log .cell"),
        ["Level 3. INFO +20 ms charged"]
    );
    assert_eq!(
        attributes(&page.body, "#s-0000000000000003 rect.span-bar", "x"),
        ["10.00%"]
    );
    assert_eq!(
        attributes(&page.body, "#s-0000000000000003 line.event", "x1"),
        ["15.00%"]
    );
    assert_eq!(
        texts(&page.body, "#s-0000000000000001 .number"),
        ["100 ms", "10 ms"]
    );
    assert_eq!(
        texts(&page.body, ".unplaced li summary"),
        ["INFO +1 ms no span", "INFO +2 ms lost"]
    );
    assert_eq!(
        texts(&page.body, ".facts-line dd")[1..5],
        ["100 ms", "3", "1", "3"]
    );
    assert_eq!(
        texts(&page.body, ".legend-row .chip"),
        ["pay 1 1 error", "web 2"]
    );
}

#[tokio::test]
async fn a_selected_span_shows_all_that_is_known() {
    let page = get(&shop(), &format!("{}?span=0000000000000003", path(1)))
        .await
        .body;
    let panel = texts(&page, ".panel").join("");
    for text in [
        "Error card declined",
        "kind internal",
        "+10 ms in the trace",
        "80 ms, of which 80 ms is not in a child",
        "parent web span 2",
        "http.route /pay",
        "+5 ms exception",
        "exception.type Declined",
        "host.name box",
        "library 1.2",
        "Schema https://example.org/scope",
        "Schema https://example.org/resource",
        "charged",
    ] {
        assert!(panel.contains(text), "{text}: {panel}");
    }
    assert_eq!(
        attributes(&page, "tr.selected", "id"),
        ["s-0000000000000003"]
    );
    let find = attributes(&page, ".panel a.find", "href");
    assert!(
        find.contains(&"/traces?q=http.route%3A%2Fpay".to_owned()),
        "{find:?}"
    );
    let page = get(&shop(), &format!("{}?span=00000000000000aa", path(1)))
        .await
        .body;
    assert!(
        texts(&page, ".notice")
            .join("")
            .contains("Span 00000000000000aa is not stored")
    );
}

#[tokio::test]
async fn links_lead_to_both_sides_of_a_broker() {
    let lens = shop();
    let mut consumer = span(2, 7, 0, 200, 210);
    consumer.links = vec![link(1, 3), link(8, 8), link(1, 77)];
    insert(&lens, "mail", vec![consumer]);
    let page = get(&lens, &path(1)).await.body;
    assert_eq!(
        texts(&page, ".neighbors-list").join(""),
        "Continues in mail span 7, 10 ms (2 links)"
    );
    let panel = get(&lens, &format!("{}?span=0000000000000003", path(1)))
        .await
        .body;
    let consumer = format!("{}?span=0000000000000007#s-0000000000000007", path(2));
    assert_eq!(attributes(&panel, ".links a", "href"), [consumer]);

    let page = get(&lens, &format!("{}?span=0000000000000007", path(2)))
        .await
        .body;
    assert_eq!(
        attributes(&page, ".panel .links a", "href"),
        [
            format!("{}?span=0000000000000003#s-0000000000000003", path(1)),
            path(1)
        ]
    );
    let links = texts(&page, ".panel .links li");
    assert_eq!(
        links[1],
        format!("Trace {}, which is not stored", trace_id(8))
    );
    assert!(
        links[2].ends_with("span 000000000000004d, which is not stored"),
        "{}",
        links[2]
    );
    assert!(
        texts(&page, ".neighbors-list")
            .join("")
            .starts_with("Caused by web span 1, 100 ms")
    );
}

#[tokio::test]
async fn rows_can_be_closed_grouped_and_hidden() {
    let lens = shop();
    let queries = (10..15).map(|id| {
        let mut query = span(1, id, 3, id + 10, id + 11);
        query.name = "SELECT".to_owned();
        query
    });
    insert(&lens, "pay", queries.collect());
    let page = get(&lens, &path(1)).await.body;
    assert_eq!(
        rows(&page)[3],
        "4. Show the rows below 5 × pay SELECT longest 1 ms"
    );
    let open = attributes(&page, "tr.group a.name", "href");
    assert_eq!(rows(&get(&lens, &open[0]).await.body).len(), 9);
    // A selected span is shown even if its group is closed.
    let page = get(&lens, &format!("{}?span=000000000000000c", path(1)))
        .await
        .body;
    assert_eq!(rows(&page).len(), 9);
    let close = attributes(&page, "#s-0000000000000002 a.toggle", "href");
    let page = get(&lens, &format!("{}?close=0000000000000002", path(1)))
        .await
        .body;
    assert_eq!(
        rows(&page)[1],
        "2. Show the rows below web span 2 +6 below client On the critical path."
    );
    assert!(close[0].contains("close=0000000000000002"), "{}", close[0]);
    let only = get(&lens, &format!("{}?only=pay", path(1))).await.body;
    assert_eq!(
        rows(&only)[0],
        "1. pay span 3 Error card declined On the critical path."
    );
    let hidden = get(&lens, &format!("{}?hide=client", path(1))).await.body;
    assert_eq!(
        rows(&hidden)[1],
        "2. pay span 3 Error card declined On the critical path."
    );
    let quiet = get(&lens, &format!("{}?logs=off", path(1))).await.body;
    assert!(texts(&quiet, ".waterfall .log").is_empty());
}

#[tokio::test]
async fn a_trace_of_logs_says_so() {
    let lens = lens();
    insert_logs(&lens, "pay", vec![log(4, 1, 0, "alone")]);
    let page = get(&lens, &path(4)).await;
    assert_eq!(page.status, 200);
    assert_eq!(texts(&page.body, "h1"), ["Log records of a trace"]);
    assert!(page.body.contains("No span of this trace is stored"));
    assert_eq!(texts(&page.body, ".unplaced summary"), ["INFO +0 ns alone"]);
    let markdown = get(&lens, &format!("{}.md", path(4))).await;
    assert!(markdown.body.contains("alone"));
    let json = get(&lens, &format!("{}.json", path(4))).await.body;
    assert!(json.starts_with(r#"{"resourceLogs":"#), "{json}");
}

#[tokio::test]
async fn a_trace_that_is_not_stored_is_a_404_that_explains() {
    for path in [
        path(1),
        format!("{}.md", path(1)),
        format!("{}.json", path(1)),
    ] {
        let page = get(&lens(), &path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.body.contains("was not sampled"), "{path}");
        // A link for a reader who came too early.
        assert_eq!(attributes(&page.body, "#again", "href"), [""]);
    }
    for path in [
        "/traces/xyz",
        "/traces/00000000000000000000000000000000",
        "/traces/ab.exe",
    ] {
        let page = get(&lens(), path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.body.contains("32 hexadecimal digits"), "{path}");
    }
    // No UTF-8.
    let page = get(&lens(), "/traces/%ff").await;
    assert_eq!(page.status, 404);
    assert_eq!(texts(&page.body, "h1"), ["There is no such page"]);
}

#[tokio::test]
async fn evicted_spans_are_told_of() {
    let lens = crate::Lens::new(1 << 20);
    insert(
        &lens,
        "web",
        vec![span(1, 1, 0, 0, 10), span(2, 1, 0, 0, 10)],
    );
    let mut number = 10;
    while lens.store.has_span(
        trace_id(1),
        crate::store::SpanId::from_bytes(&1_u64.to_be_bytes()).unwrap(),
    ) {
        let mut filler = span(number, 1, 0, 0, 1);
        filler.trace_state = format!("{:x}", fastrand::u128(..)).repeat(30);
        insert(&lens, "filler", vec![filler]);
        number += 1;
    }
    insert(&lens, "web", vec![span(1, 2, 1, 100, 110)]);
    let page = get(&lens, &path(1)).await.body;
    assert!(
        texts(&page, ".notice")
            .join("")
            .contains("Older spans of this trace were evicted")
    );
    assert_eq!(texts(&page, ".missing .cell").len(), 1);
    let list = get(&lens, "/traces?q=service%3Aweb").await.body;
    assert_eq!(
        texts(&list, ".root .mark-word"),
        ["root missing", "spans evicted"]
    );
    let gone = get(&lens, &path(2)).await;
    assert_eq!(gone.status, 404);
    assert!(gone.body.contains("may have been evicted"));
}

#[tokio::test]
async fn the_page_of_a_trace_that_comes_later_is_told_of_it() {
    let lens = shop();
    let page = get(&lens, &path(2)).await.body;
    let events = attributes(&page, "#again", "data-events").remove(0);
    let mut stream = open(&lens, &format!("{events}&after=0"), None).await;
    insert(&lens, "web", vec![span(3, 1, 0, 0, 1), span(2, 1, 0, 0, 1)]);
    let id = trace_id(2).to_string();
    assert_eq!(event(&mut stream).await, Some(("5".to_owned(), id)));
}

#[tokio::test]
async fn spans_of_a_young_trace_may_be_under_way() {
    let lens = lens();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = now.as_nanos() as u64;
    let started = |trace, parent, ago: u64| {
        let mut span = span(trace, 7, parent, 0, 0);
        span.start_time_unix_nano = now - ago * 1000 * MS;
        span.end_time_unix_nano = span.start_time_unix_nano + MS;
        span
    };
    insert(
        &lens,
        "web",
        vec![started(1, 0, 0), started(2, 9, 0), started(3, 9, 60)],
    );
    let arrive = "Spans arrive some seconds after they end. Load again";
    let whole = get(&lens, &path(1)).await.body;
    assert_eq!(texts(&whole, ".trace-head .hint")[0], arrive);
    assert!(texts(&whole, ".notice").is_empty());
    let partial = get(&lens, &path(2)).await.body;
    let notices = texts(&partial, ".notice");
    assert_eq!(notices, [format!("This is a part of the trace. {arrive}")]);
    assert_eq!(attributes(&partial, ".notice a", "href"), [""]);
    let old = get(&lens, &path(3)).await.body;
    let notices = texts(&old, ".notice").join(" ");
    assert!(notices.contains("the start of the trace is missing"));
    assert!(!old.contains("Load again"));
}
