//! The span that the URL selects.

use super::{path, rows, shop};
use crate::pages::testing::*;

#[tokio::test]
async fn a_selected_span_that_is_not_shown_is_explained() {
    let lens = shop();
    let malformed =
        |text: &str| format!("A span id has 16 hexadecimal digits, not all zero. This is {text}.");
    for (query, status, expected) in [
        ("", 200, String::new()),
        ("span=", 200, String::new()),
        ("span=0000000000000003", 200, String::new()),
        ("span=zz", 404, malformed("zz")),
        ("span=0000000000000000", 404, malformed("0000000000000000")),
        ("span=%3Cb%3E%E2%80%AE", 404, malformed("<b>⟨U+202E⟩")),
        // The trace has a log record of this span.
        (
            "span=0000000000000063",
            200,
            "Span 0000000000000063 is not stored: it was evicted, not sampled, or has not arrived."
                .to_owned(),
        ),
        (
            "span=0000000000000003&only=web",
            200,
            "Some spans are hidden. Show all spans".to_owned(),
        ),
    ] {
        let page = get(&lens, &format!("{}?{query}", path(1))).await;
        assert_eq!(page.status, status, "{query}");
        let notice = texts(&page.body, ".notice").join(" ").replace(" .", ".");
        assert_eq!(notice, expected, "{query}");
        assert!(!rows(&page.body).is_empty(), "{query}");
    }
}
