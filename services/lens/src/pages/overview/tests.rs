use std::sync::Arc;

use axum::http::StatusCode;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use scraper::{Html, Selector};

use super::{Rates, share};
use crate::{
    Lens,
    pages::testing,
    samples::{HOSTILE, failed, lens, log, send, span, with},
};

pub(in crate::pages) async fn get(lens: &Arc<Lens>, path: &str) -> (StatusCode, Html, String) {
    let answer = testing::get(lens, path).await;
    let page = Html::parse_document(&answer.body);
    (answer.status, page, answer.body)
}

pub(in crate::pages) fn texts(html: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    let found = html.select(&selector);
    found
        .map(|element| element.text().collect::<String>())
        .collect()
}

fn hrefs(html: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    let found = html.select(&selector);
    found
        .filter_map(|element| element.attr("href").map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn an_empty_lens_tells_how_to_send() {
    let lens = lens();
    lens.listens(vec![14317, 14318]);
    let (status, html, text) = get(&lens, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(texts(&html, "h1"), ["Waiting for telemetry"]);
    assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:14317"));
    assert!(text.contains("http://127.0.0.1:14318/v1/traces"));
    assert!(texts(&html, ".alert").is_empty());
    lens.doctor.turned_away(None, "no");
    let (_, html, _) = get(&lens, "/").await;
    assert!(texts(&html, ".alert")[0].starts_with("lens refused 1 request."));
}

#[tokio::test]
async fn services_errors_and_map_lead_to_their_traces() {
    let lens = lens();
    let query = [("db.system.name", "sqlite"), ("db.namespace", "user db")];
    let call = with(span(SpanKind::Client, 1, 2, 1), &query);
    let request = failed(span(SpanKind::Server, 1, 1, 0), "boom");
    send(&lens, "my web", [request, call]).await;
    for path in ["/", "/?last=15m", "/?last=1h", "/?last=nonsense"] {
        let (status, html, _) = get(&lens, path).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(texts(&html, "h1"), ["Overview"]);
        assert_eq!(texts(&html, "nav a[aria-current=true]").len(), 1);
    }
    let (_, html, text) = get(&lens, "/").await;
    let links = hrefs(&html, ".services a");
    assert_eq!(links[0], "/traces?q=service%3A%22my+web%22");
    assert_eq!(links[1], "/traces?q=service%3A%22my+web%22+status%3Aerror");
    let trace = "01".repeat(16);
    let links = hrefs(&html, ".errors a");
    assert_eq!(links[0], format!("/traces/{trace}?span=0101010101010101"));
    let links = hrefs(&html, ".graph .database");
    assert_eq!(links, ["/traces?q=db.namespace%3A%22user+db%22"]);
    let rows = texts(&html, "details.data tbody tr");
    assert!(
        rows[0].contains("my web") && rows[0].contains("user db"),
        "{rows:?}"
    );
    assert!(text.contains("boom"));
    assert!(!text.contains("style=\""));
}

#[tokio::test]
async fn foreign_text_stays_text() {
    let lens = lens();
    let long = "é".repeat(600_000);
    for (trace, name) in [(1, HOSTILE), (2, long.as_str())] {
        let mut request = failed(span(SpanKind::Server, trace, 1, 0), name);
        request.name = name.to_owned();
        let peer = with(
            span(SpanKind::Client, trace, 2, 1),
            &[("server.address", name)],
        );
        let topic = [("messaging.destination.name", name)];
        let topic = with(span(SpanKind::Producer, trace, 3, 1), &topic);
        let system = [("db.system", name), ("db.name", name)];
        let database = with(span(SpanKind::Client, trace, 4, 1), &system);
        send(&lens, name, [request, peer, topic, database]).await;
        let callee = span(SpanKind::Server, trace, 5, 2);
        send(&lens, &format!("{name}!"), [callee]).await;
        log(&lens, name, 17, name).await;
    }
    let (status, html, text) = get(&lens, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(texts(&html, "script").is_empty());
    assert!(!text.contains(['\u{202e}', '\u{1b}', '\0']));
    assert!(text.len() < 200_000, "{} bytes", text.len());
    assert_eq!(texts(&html, ".services tbody tr").len(), 4);
    assert_eq!(texts(&html, "h1").len(), 1);
}

#[tokio::test]
async fn old_data_is_said_if_there_is_no_new_data() {
    let lens = lens();
    let mut old = span(SpanKind::Server, 1, 1, 0);
    old.start_time_unix_nano = 1_544_712_660_000_000_000;
    old.end_time_unix_nano = 1_544_712_661_000_000_000;
    send(&lens, "web", [old]).await;
    let (_, html, text) = get(&lens, "/").await;
    assert!(text.contains("No span and no log record is of the last 5 min"));
    assert_eq!(texts(&html, ".services tbody tr").len(), 1);
    assert_eq!(hrefs(&html, ".hint a")[0], "/traces");

    // Log records are new, and the span is older than they are.
    for severity in [9, 17] {
        log(&lens, "web", severity, "still here").await;
        // The result of the last second would be used again.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        let (_, html, text) = get(&lens, "/").await;
        assert!(!text.contains("No span and no log record is of the last"));
        let said = texts(&html, "main").concat();
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let expected = "There are older traces: the newest began 13 Dec 2018, 14:51:00 UTC.";
        assert!(said.contains(expected), "{said}");
        let links = hrefs(&html, "p a");
        assert_eq!(
            links[..2],
            ["/traces".to_owned(), format!("/traces/{}", "01".repeat(16))]
        );
    }
}

#[test]
fn small_numbers_are_not_zero() {
    let minute = 60_000_000_000;
    let slow = Rates::new(10 * minute, 599);
    assert_eq!(slow.text(0), "0/min");
    assert_eq!(slow.text(1), "0.1/min");
    assert_eq!(slow.text(599), "59.9/min");
    // Rates beside each other have the same unit.
    let fast = Rates::new(10 * minute, 600);
    assert_eq!(fast.text(600), "1/s");
    assert_eq!(fast.text(1), "< 0.01/s");
    assert_eq!(fast.text(10_000_000), "16,667/s");
    assert_eq!(Rates::new(0, 0).text(0), "0/min");
    assert_eq!(share(0, 0), "0 %");
    assert_eq!(share(1, 100_000), "< 0.1 %");
    assert_eq!(share(1, 3), "33.3 %");
}
