//! D3: large and deep traces.

use std::time::{Duration, Instant};

use super::*;

/// Maximum time of a page in the test profile on a busy machine. A page of quadratic work takes minutes.
const LIMIT: Duration = Duration::from_secs(20);

async fn timed(lens: &std::sync::Arc<crate::Lens>, path: &str) -> Answer {
    let start = Instant::now();
    let answer = get(lens, path).await;
    let took = start.elapsed();
    assert!(took < LIMIT, "{path} took {took:?}");
    assert!(
        answer.body.len() < 2_000_000,
        "{path}: {}",
        answer.body.len()
    );
    answer
}

#[tokio::test]
async fn a_large_trace_is_shown_in_windows() {
    let lens = lens();
    for first in (1..=50_000).step_by(5000) {
        let spans = (first..first + 5000).map(|id| span(1, id, id / 4, id / 100, 1000 - id / 100));
        insert(
            &lens,
            ["web", "pay"][first as usize / 5000 % 2],
            spans.collect(),
        );
    }
    let page = timed(&lens, &path(1)).await.body;
    assert_eq!(rows(&page).len(), 300);
    assert!(page.contains("Rows 1 to 300 of 50,000"));
    let later = attributes(&page, "nav a[rel=next]", "href");
    let page = timed(&lens, &later[0]).await.body;
    assert!(page.contains("Rows 301 to 600 of 50,000"));
    let selected = timed(&lens, &format!("{}?span={:016x}", path(1), 49_999))
        .await
        .body;
    assert_eq!(
        attributes(&selected, "tr.selected", "id"),
        [format!("s-{:016x}", 49_999)]
    );
    timed(&lens, &format!("{}.md", path(1))).await;
    timed(&lens, &format!("{}?only=pay", path(1))).await;
    timed(&lens, "/traces").await;
}

#[tokio::test]
async fn a_deep_trace_is_shown_in_windows() {
    let lens = lens();
    for first in (1..=10_000).step_by(1000) {
        let spans = (first..first + 1000).map(|id| span(1, id, id - 1, id, 30_000 - id));
        insert(&lens, "web", spans.collect());
    }
    let page = timed(&lens, &format!("{}?span={:016x}", path(1), 10_000))
        .await
        .body;
    let rows = rows(&page);
    assert_eq!(rows[0], "9901. 9,901 web span 9901 On the critical path.");
    assert_eq!(rows.len(), 100);
    let page = timed(&lens, &format!("{}?close=0000000000000002", path(1)))
        .await
        .body;
    assert!(page.contains("+9,998 below"));
    insert(&lens, "web", vec![span(2, 1, 0, 0, 1)]);
    timed(&lens, &format!("{}?with={}", path(1), trace_id(2))).await;
}
