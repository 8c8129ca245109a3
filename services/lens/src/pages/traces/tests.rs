use std::time::Duration;

use crate::{Lens, pages::testing::*, params::Params};

#[tokio::test]
async fn an_empty_store_says_how_to_send() {
    let page = get(&lens(), "/traces").await;
    assert_eq!(page.status, 200);
    assert!(
        page.body
            .contains("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317")
    );
    assert_eq!(texts(&page.body, "h1"), ["Traces"]);
}

#[tokio::test]
async fn rows_are_newest_first_in_pages() {
    let lens = lens();
    for number in 1..=120 {
        insert(&lens, "web", vec![span(number, 1, 0, number, number + 10)]);
    }
    let mut path = "/traces?q=service%3Aweb".to_owned();
    let mut starts = Vec::new();
    let mut pages = 0;
    loop {
        let page = get(&lens, &path).await;
        starts.extend(attributes(&page.body, ".root a", "href"));
        pages += 1;
        match attributes(&page.body, "a[rel=next]", "href").first() {
            Some(next) => path.clone_from(next),
            None => break,
        }
    }
    assert_eq!((pages, starts.len()), (3, 120));
    assert!(starts.is_sorted_by(|a, b| a > b));
    assert!(path.contains("q=service%3Aweb"), "{path}");
}

#[tokio::test]
async fn a_row_sums_up_a_trace() {
    let lens = lens();
    insert(
        &lens,
        "web",
        vec![span(1, 1, 0, 0, 40), span(2, 5, 9, 50, 60)],
    );
    insert(&lens, "auth", vec![failed(span(1, 2, 1, 10, 20), "no")]);
    let page = get(&lens, "/traces").await.body;
    assert_eq!(
        texts(&page, "tbody tr:nth-child(2) > :not(.when)"),
        ["web span 1", "auth web", "40 ms", "", "", "2", "1"]
    );
    assert_eq!(
        texts(&page, "tbody tr:first-child .root"),
        ["web span 5 root missing"]
    );
    assert_eq!(
        attributes(&page, "td.share rect", "width"),
        ["25.0%", "100.0%"]
    );
    assert_eq!(
        attributes(&page, ".root a", "href"),
        [
            format!("/traces/{}", trace_id(2)),
            format!("/traces/{}", trace_id(1))
        ]
    );
}

#[tokio::test]
async fn a_trace_that_outlasts_its_root_shows_both_durations() {
    let lens = lens();
    insert(
        &lens,
        "web",
        vec![span(1, 1, 0, 0, 40), span(1, 2, 1, 50, 60)],
    );
    let page = get(&lens, "/traces").await.body;
    assert_eq!(texts(&page, "tbody td.number")[..2], ["60 ms", "40 ms"]);
    let page = get(&lens, &format!("/traces/{}", trace_id(1))).await.body;
    assert_eq!(texts(&page, ".facts-line dd")[1], "60 ms (root 40 ms)");
    // A filter by the duration means that of the trace.
    let page = get(&lens, "/traces?q=trace.duration%3E50ms").await.body;
    assert_eq!(texts(&page, "tbody tr").len(), 1);
}

#[tokio::test]
async fn a_filter_without_matches_can_be_removed() {
    let lens = lens();
    insert(&lens, "web", vec![span(1, 1, 0, 0, 40)]);
    let page = get(&lens, "/traces?q=service%3Aother&x=1").await.body;
    assert!(page.contains("No trace matches"));
    assert_eq!(attributes(&page, ".nothing a", "href"), ["/traces?x=1"]);
    let page = get(&lens, "/traces?q=duration%3E").await.body;
    assert_eq!(texts(&page, "tbody tr").len(), 0);
    assert!(!texts(&page, "#filter-hint .error").is_empty());
}

#[tokio::test]
async fn dots_lead_to_traces_and_errors_have_another_shape() {
    let lens = lens();
    insert(&lens, "web", vec![span(1, 1, 0, 0, 40)]);
    let page = get(&lens, "/traces").await.body;
    assert!(texts(&page, ".scatter").is_empty());
    insert(&lens, "web", vec![failed(span(2, 1, 0, 50, 60), "no")]);
    for number in 3..=60 {
        insert(&lens, "web", vec![span(number, 1, 0, number, number + 10)]);
    }
    let page = get(&lens, "/traces").await.body;
    // The chart has older traces than the page too.
    assert_eq!(attributes(&page, ".root a", "href").len(), 50);
    let dots = attributes(&page, ".plot a", "href");
    assert_eq!(dots.len(), 60);
    assert!(dots.contains(&format!("/traces/{}", trace_id(1))));
    let errors = texts(&page, ".plot .wrong");
    assert_eq!(errors, ["web span 1, 10 ms"]);
    assert_eq!(attributes(&page, ".plot .wrong .diamond", "class").len(), 1);
}

#[tokio::test]
async fn a_wrong_clock_does_not_ruin_the_chart() {
    let lens = lens();
    let now = crate::clock::now();
    for number in 1..=22 {
        let mut one = span(number, 1, 0, 0, 0);
        one.start_time_unix_nano = match number {
            1 => MS,
            2 => now + (now - NOW),
            number => now - number * 1000 * MS,
        };
        one.end_time_unix_nano = one.start_time_unix_nano + MS;
        insert(&lens, "web", vec![one]);
    }
    let page = get(&lens, "/traces").await.body;
    assert_eq!(attributes(&page, ".plot a", "href").len(), 20);
    let caption = &texts(&page, "figcaption")[0];
    let expected = "2 traces of other times are in the list alone.";
    assert!(caption.contains(expected), "{caption}");
    assert_eq!(texts(&page, "tbody tr").len(), 22);
    assert_eq!(texts(&page, ".when")[21], "1 Jan 1970, 00:00:00.001");
}

#[test]
fn a_search_that_ends_early_says_so() {
    // Segments of a small store have few spans.
    let lens = Lens::new(8 << 20);
    for first in (1..=12_000).step_by(1000) {
        let spans = (first..first + 1000).map(|number| span(number, 1, 0, number, number + 10));
        insert(&lens, "web", spans.collect());
    }
    assert!(lens.store.stats().spans.segments > 1);
    let page = |query: &str, within| {
        let page = super::page(&lens, &Params::new(query), within);
        page.into_string()
    };
    let query = "q=trace.duration>1h";
    assert!(page(query, Duration::MAX).contains("No trace matches"));
    let early = page(query, Duration::ZERO);
    let title = texts(&early, ".nothing h2").remove(0);
    assert!(
        title.starts_with("No match since 14 Nov 2023, 22:13:"),
        "{title}"
    );
    let mut next = attributes(&early, "a[rel=next]", "href");
    assert_eq!(next.len(), 1);
    let mut last = early;
    while let Some(older) = next.pop() {
        last = page(older.strip_prefix("/traces?").unwrap(), Duration::ZERO);
        next = attributes(&last, "a[rel=next]", "href");
    }
    assert!(last.contains("No trace matches"), "{last}");
}

#[tokio::test]
async fn an_open_page_is_told_of_new_traces() {
    let lens = lens();
    for number in 1..=3 {
        insert(&lens, "web", vec![span(number, 1, 0, number, number + 10)]);
    }
    let page = get(&lens, "/traces?q=-service:noise").await.body;
    // Without a script there is no link.
    assert_eq!(attributes(&page, "a#news[hidden]", "data-after"), ["3"]);
    assert_eq!(
        attributes(&page, "a#news", "href"),
        ["/traces?q=-service%3Anoise"]
    );
    assert_eq!(attributes(&page, "script", "src").len(), 1);
    let path = attributes(&page, "a#news", "data-events").remove(0);
    let mut stream = open(&lens, &format!("{path}&after=3"), None).await;
    insert(&lens, "noise", vec![span(4, 1, 0, 50, 60)]);
    insert(
        &lens,
        "web",
        vec![span(5, 1, 0, 50, 60), span(5, 2, 1, 50, 60)],
    );
    insert(&lens, "web", vec![span(1, 2, 1, 50, 60)]);
    let ids = format!("{} {}", trace_id(5), trace_id(1));
    assert_eq!(event(&mut stream).await, Some(("7".to_owned(), ids)));
    // A browser that reconnects continues after the last event.
    insert(&lens, "web", vec![span(6, 1, 0, 50, 60)]);
    let mut again = open(&lens, &format!("{path}&after=3"), Some("7")).await;
    let sixth = trace_id(6).to_string();
    assert_eq!(event(&mut again).await, Some(("8".to_owned(), sixth)));
    lens.stop();
    assert_eq!(event(&mut again).await, None);
    let wrong = get(&lens, "/traces/events?q=level:warn").await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn traces_that_are_older_than_a_full_page_are_no_news() {
    let lens = lens();
    for number in 1..=400 {
        insert(&lens, "web", vec![span(number, 1, 0, number, number + 10)]);
    }
    let page = get(&lens, "/traces").await.body;
    let path = attributes(&page, "a#news", "data-events").remove(0);
    let mut stream = open(&lens, &format!("{path}&after=400"), None).await;
    insert(
        &lens,
        "web",
        vec![span(50, 2, 1, 500, 510), span(300, 2, 1, 500, 510)],
    );
    let (_, ids) = event(&mut stream).await.unwrap();
    assert_eq!(ids, trace_id(300).to_string());
    // The second page is not the place for news.
    let older = attributes(&page, "a[rel=next]", "href").remove(0);
    let older = get(&lens, &older).await.body;
    assert_eq!(attributes(&older, "#news, script", "id").len(), 0);
}
