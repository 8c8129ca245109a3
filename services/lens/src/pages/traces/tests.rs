use crate::pages::testing::*;

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
        ["web span 1", "auth web", "40 ms", "", "2", "1"]
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
