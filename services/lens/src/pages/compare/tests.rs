use crate::pages::testing::*;

/// Two traces of one operation. The second lacks a span, has another in its place, and is slower in `span 2`.
fn two() -> std::sync::Arc<crate::Lens> {
    let lens = lens();
    let mut root = span(1, 1, 0, 0, 100);
    root.attributes = vec![attribute("user", "ann"), attribute("route", "/a")];
    insert(
        &lens,
        "web",
        vec![root, span(1, 2, 1, 10, 20), span(1, 3, 1, 30, 40)],
    );
    let mut root = span(2, 1, 0, 0, 150);
    root.attributes = vec![attribute("user", "bob"), attribute("route", "/a")];
    insert(
        &lens,
        "web",
        vec![
            root,
            span(2, 2, 1, 10, 70),
            failed(span(2, 4, 1, 80, 85), "no"),
        ],
    );
    lens
}

#[tokio::test]
async fn the_biggest_differences_are_first() {
    let lens = two();
    let path = format!("/traces/{}?with={}", trace_id(1), trace_id(2));
    let page = get(&lens, &path).await;
    assert_eq!(page.status, 200);
    let rows = texts(&page.body, ".compare tbody tr");
    assert_eq!(
        rows,
        [
            "span 1 › web span 2 1 1 10 ms 60 ms 10 ms 60 ms −50 ms",
            "span 1 › web span 3 only in A 1 – 10 ms – 10 ms – +10 ms",
            "span 1 › web span 4 only in B errors: A 0, B 1 – 1 – 5 ms – 5 ms −5 ms",
            "web span 1 1 1 100 ms 150 ms 80 ms 85 ms −5 ms",
        ]
    );
    // What takes longer in the trace that was opened is marked.
    assert_eq!(
        attributes(&page.body, ".compare rect", "class"),
        [
            "span-bar faster",
            "span-bar slower",
            "span-bar faster",
            "span-bar faster"
        ]
    );
    assert_eq!(
        texts(&page.body, "section + .card tbody tr")
            .last()
            .unwrap(),
        "user ann bob"
    );
}

#[tokio::test]
async fn a_usual_trace_has_the_median_duration() {
    let lens = lens();
    for (number, duration) in [(1, 500), (2, 10), (3, 20), (4, 30)] {
        insert(&lens, "web", vec![span(number, 1, 0, 0, duration)]);
    }
    let mut other = span(5, 1, 0, 0, 21);
    other.name = "other".to_owned();
    insert(&lens, "web", vec![other]);
    let page = get(&lens, &format!("/traces/{}?with=usual", trace_id(1))).await;
    assert_eq!(page.status, 200);
    assert_eq!(
        attributes(&page.body, "#with", "value"),
        [trace_id(3).to_string()]
    );
}

#[tokio::test]
async fn the_duration_of_a_usual_trace_is_that_of_its_root() {
    let lens = lens();
    // The consumers read in another order than that of the durations.
    for (number, duration, end) in [(1, 500, 500), (2, 10, 100), (3, 20, 200), (4, 30, 150)] {
        let consumer = span(number, 2, 1, 0, end);
        insert(
            &lens,
            "web",
            vec![span(number, 1, 0, 0, duration), consumer],
        );
    }
    let page = get(&lens, &format!("/traces/{}?with=usual", trace_id(1))).await;
    assert_eq!(
        attributes(&page.body, "#with", "value"),
        [trace_id(3).to_string()]
    );
    assert_eq!(
        texts(&page.body, "tbody tr td:nth-of-type(3)")[..2],
        ["500 ms", "200 ms (root 20 ms)"]
    );
}

#[tokio::test]
async fn a_trace_without_a_second_one_cannot_be_compared() {
    let lens = lens();
    insert(&lens, "web", vec![span(1, 1, 0, 0, 10)]);
    let page = get(&lens, &format!("/traces/{}?with=usual", trace_id(1))).await;
    assert_eq!(page.status, 200);
    // The form shows nothing that the reader did not type.
    assert_eq!(attributes(&page.body, "#with", "value"), [""]);
    assert_eq!(attributes(&page.body, "#with", "aria-invalid").len(), 0);
    let text = texts(&page.body, ".notice").join("");
    assert_eq!(
        text,
        "There is no trace to compare with: no other stored trace has the root web span 1 ."
    );
}

#[tokio::test]
async fn what_cannot_be_compared_is_explained() {
    let lens = two();
    for (with, status, text) in [
        ("nonsense".to_owned(), 404, "32 hexadecimal digits"),
        (trace_id(1).to_string(), 404, "the same trace"),
        (trace_id(7).to_string(), 404, "is not stored"),
        ("usual".to_owned(), 200, "What differs"),
    ] {
        let page = get(&lens, &format!("/traces/{}?with={with}", trace_id(1))).await;
        assert_eq!(page.status, status, "{with}");
        assert!(page.body.contains(text), "{with}");
    }
    let page = get(&lens, &format!("/traces/{}?with=usual", trace_id(9))).await;
    assert_eq!(page.status, 404);
}
