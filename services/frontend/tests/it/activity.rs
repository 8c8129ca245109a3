//! The Activity page and its stream of events.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

use std::time::{Duration, SystemTime};

use events::Handler as _;
use frontend::{Activity, Entry, Kind, Source};
use opentelemetry::trace::TraceId;
use reqwest::{Method, Response, StatusCode};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{
    auth::{self, Asked},
    harness::{Frontend, Page},
};

const DEADLINE: Duration = Duration::from_secs(10);
/// How many events the page shows.
const KEPT: usize = 200;

/// How many streams may be open, in total and for one client.
const STREAMS: usize = 256;
const STREAMS_PER_CLIENT: usize = 16;

const GRAFANA: &str = "--grafana-url=http://grafana.example:3000";

async fn start(activity: &Activity) -> Frontend {
    Frontend::start_with(&[GRAFANA], Asked::default(), activity.clone()).await
}

fn entry(id: u128, kind: Kind) -> Entry {
    Entry {
        id: Uuid::from_u128(id),
        time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045),
        kind,
        account: Some(Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_dead_beef)),
        trace: Some(TraceId::from(id)),
    }
}

/// A list with events of these ids, inserted in this order.
fn live(ids: impl IntoIterator<Item = u128>) -> Activity {
    let activity = Activity::new(Source::Live);
    for id in ids {
        activity.push(entry(id, Kind::SignedIn));
    }
    activity
}

/// An open stream, as a browser reads it.
struct Reader {
    response: Response,
    read: String,
}

/// One message of a stream.
#[derive(Debug, Default, Eq, PartialEq)]
struct Message {
    event: String,
    id: String,
    data: String,
}

impl Reader {
    async fn open(frontend: &Frontend, query: &str, last: Option<&str>) -> Self {
        let mut request = frontend.request(Method::GET, &format!("/activity/events{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self {
            response,
            read: String::new(),
        }
    }

    /// The next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Message> {
        timeout(DEADLINE, self.read()).await.unwrap()
    }

    async fn read(&mut self) -> Option<Message> {
        loop {
            let Some((lines, rest)) = self.read.split_once("\n\n") else {
                let chunk = self.response.chunk().await.unwrap()?;
                self.read += str::from_utf8(&chunk).unwrap();
                continue;
            };
            let mut message = Message::default();
            for line in lines.lines() {
                match line.split_once(": ") {
                    Some(("event", value)) => value.clone_into(&mut message.event),
                    Some(("id", value)) => value.clone_into(&mut message.id),
                    Some(("data", value)) => message.data += value,
                    _ => {}
                }
            }
            self.read = rest.to_owned();
            if !message.data.is_empty() {
                return Some(message);
            }
        }
    }

    /// The ids of the next events.
    async fn ids(&mut self, count: usize) -> Vec<u128> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let message = self.next().await.unwrap();
            if message.event.is_empty() {
                ids.push(message.id.parse::<Uuid>().unwrap().as_u128());
            }
        }
        ids
    }
}

fn id(id: u128) -> String {
    Uuid::from_u128(id).to_string()
}

#[tokio::test]
async fn the_page_lists_events_newest_first() {
    let activity = live([]);
    for (id, kind) in [
        (1, Kind::Registered),
        (3, Kind::WrongCredentials),
        (2, Kind::SignedOut),
    ] {
        assert!(activity.push(entry(id, kind)));
    }
    assert!(!activity.push(entry(2, Kind::SignedOut)));
    let page = start(&activity).await.get("/activity").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(
        page.texts("#events .state"),
        [
            "Sign-in failed: wrong email or password",
            "Signed out",
            "Registered"
        ]
    );
    assert_eq!(page.texts("nav [aria-current=page]"), ["Activity"]);
    assert_eq!(
        page.attribute("#events li", "id").as_deref(),
        Some(id(3).as_str())
    );
    assert_eq!(
        page.attribute("#events time", "datetime").as_deref(),
        Some("2026-01-02T03:04:05Z")
    );
    assert_eq!(page.texts("#events .from code")[0], "…deadbeef");
    let link = page.attribute("#events a", "href").unwrap();
    assert!(link.starts_with("http://grafana.example:3000/explore?"));
    assert!(link.contains("00000000000000000000000000000003"), "{link}");
    // Browsers without scripts need this link to see new events.
    assert!(page.has("main a#reload[href='/activity']"));
}

#[tokio::test]
async fn an_event_may_lack_account_and_trace() {
    let activity = live([]);
    activity.push(Entry {
        account: None,
        trace: None,
        ..entry(1, Kind::SignInFailed)
    });
    let page = start(&activity).await.get("/activity").await;
    assert_eq!(page.texts("#events .from"), ["No trace"]);
}

#[tokio::test]
async fn only_the_newest_events_are_shown() {
    let more = KEPT as u128 + 50;
    let page = start(&live(1..=more)).await.get("/activity").await;
    let traces = page.texts("#events a code");
    assert_eq!(traces.len(), KEPT);
    assert_eq!(traces[0], format!("{more:032x}"));
    assert_eq!(traces[KEPT - 1], format!("{:032x}", 51));
}

#[tokio::test]
async fn without_events_the_page_says_why() {
    let empty = start(&live([])).await.get("/activity").await;
    assert!(empty.texts(".nothing")[0].starts_with("Nothing has happened yet"));
    assert!(empty.has("#events:empty"));

    let silent = start(&Activity::new(Source::Silent)).await;
    let notice = silent.get("/activity").await.texts("#notice");
    assert!(notice[0].contains("does not answer"), "{notice:?}");

    let (address, asked) = auth::start().await;
    let address = format!("--auth-service-address={address}");
    let off = Frontend::start_alone(&[&address], asked).await;
    let page = off.get("/activity").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.texts("#notice")[0].contains("switched off"));
    assert!(!page.has("script") && !page.has("#events"));
    let stream = off.get("/activity/events").await;
    assert_eq!(stream.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_only_script_is_an_asset() {
    let frontend = start(&live([1])).await;
    let page = frontend.get("/activity").await;
    assert_eq!(page.texts("script"), [""]);
    assert!(!page.text.contains(" style=") && !page.text.contains(" on"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("script-src 'self';") && policy.contains("connect-src 'self';"));
    let script = page.attribute("script", "src").unwrap();
    let script = frontend.get(&script).await;
    assert_eq!(script.status, StatusCode::OK);
    assert_eq!(
        script.header("content-type"),
        "text/javascript; charset=utf-8"
    );
    assert!(script.header("cache-control").contains("immutable"));
}

#[tokio::test]
async fn a_stream_is_neither_cached_nor_buffered_by_proxies() {
    let frontend = start(&live([])).await;
    let reader = Reader::open(&frontend, "", None).await;
    let header = |name: &str| reader.response.headers()[name].to_str().unwrap();
    assert_eq!(header("content-type"), "text/event-stream");
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-accel-buffering"), "no");
    assert_eq!(header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn browsers_reconnect_at_different_times() {
    let frontend = start(&live([])).await;
    let mut delays = Vec::new();
    while delays.len() < 8 {
        let mut reader = Reader::open(&frontend, "", None).await;
        let hello = reader.response.chunk().await.unwrap().unwrap();
        let hello = str::from_utf8(&hello).unwrap();
        let delay: u64 = hello
            .split("retry: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1_000..=3_000).contains(&delay), "{delay}");
        delays.push(delay);
    }
    delays.dedup();
    assert!(delays.len() > 1, "{delays:?}");
}

#[tokio::test]
async fn every_reader_gets_each_event_once_as_a_row_of_the_page() {
    let activity = live([]);
    let frontend = start(&activity).await;
    let mut readers = [
        Reader::open(&frontend, "", None).await,
        Reader::open(&frontend, "", None).await,
    ];
    activity.push(entry(7, Kind::Registered));
    for reader in &mut readers {
        assert_eq!(reader.next().await.unwrap().event, "notice");
        let message = reader.next().await.unwrap();
        assert_eq!(message.id, id(7));
        let page = frontend.get("/activity").await;
        assert!(page.text.contains(&message.data), "{message:?}");
    }
    // A duplicate is not sent.
    activity.push(entry(7, Kind::Registered));
    activity.push(entry(8, Kind::Registered));
    for reader in &mut readers {
        assert_eq!(reader.ids(1).await, [8]);
    }
}

#[tokio::test]
async fn a_reader_resumes_with_the_events_it_missed_in_order() {
    let activity = live(1..=9);
    let frontend = start(&activity).await;
    let mut reader = Reader::open(&frontend, "", Some(&id(6))).await;
    assert_eq!(reader.ids(3).await, [7, 8, 9]);
    activity.push(entry(10, Kind::SignedIn));
    assert_eq!(reader.ids(1).await, [10]);

    // The page sets the start in the query. After a reconnect, the browser's header counts.
    let after = format!("?after={}", id(6));
    let mut reader = Reader::open(&frontend, &after, None).await;
    assert_eq!(reader.ids(4).await, [7, 8, 9, 10]);
    let mut reader = Reader::open(&frontend, &after, Some(&id(9))).await;
    assert_eq!(reader.ids(1).await, [10]);
}

#[tokio::test]
async fn an_old_event_that_arrives_late_is_sent() {
    let activity = live([1, 5]);
    let frontend = start(&activity).await;
    activity.push(entry(3, Kind::SignedIn));
    let mut reader = Reader::open(&frontend, "", Some(&id(5))).await;
    assert_eq!(reader.ids(1).await, [3]);
}

#[tokio::test]
async fn a_reader_with_an_unknown_id_gets_all_kept_events() {
    let frontend = start(&live(1..=3)).await;
    for last in [id(99).as_str(), "", "1", "<script>", "é"] {
        let mut reader = Reader::open(&frontend, "?after=x", Some(last)).await;
        assert_eq!(reader.ids(3).await, [1, 2, 3], "{last}");
    }
    let mut reader = Reader::open(&frontend, "", None).await;
    assert_eq!(reader.ids(3).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_burst_sends_a_reader_no_more_than_the_kept_events() {
    let activity = live([]);
    let frontend = start(&activity).await;
    let mut readers = [
        Reader::open(&frontend, "", None).await,
        Reader::open(&frontend, "", None).await,
    ];
    let many = 20_000;
    for id in 1..=many {
        activity.push(entry(id, Kind::SignedIn));
    }
    for reader in &mut readers {
        let mut ids = Vec::new();
        while ids.last() != Some(&many) {
            ids.extend(reader.ids(1).await);
        }
        assert!(ids.is_sorted());
        // The kept events at its first read, and those at its second.
        assert!(ids.len() <= 2 * KEPT, "{}", ids.len());
    }
}

#[tokio::test]
async fn readers_get_a_notice_when_the_broker_goes_away_and_comes_back() {
    let activity = live([]);
    let frontend = start(&activity).await;
    let mut reader = Reader::open(&frontend, "", None).await;
    for is_connected in [true, false, true] {
        activity.connected(is_connected);
        let notice = reader.next().await.unwrap();
        assert_eq!(notice.event, "notice");
        assert_eq!(!notice.data.contains("does not answer"), is_connected);
    }
}

/// Requests a stream as a proxy does for a client at `address`.
async fn open_for(frontend: &Frontend, address: &str) -> Response {
    let request = frontend.request(Method::GET, "/activity/events");
    let request = request.header("x-forwarded-for", address);
    request.send().await.unwrap()
}

#[tokio::test]
async fn streams_are_limited_and_a_closed_stream_frees_its_place() {
    let frontend = start(&live([])).await;
    let mut open = Vec::new();
    for client in 0..STREAMS {
        let response = open_for(&frontend, &format!("192.0.2.{client}")).await;
        assert_eq!(response.status(), StatusCode::OK);
        open.push(response);
    }
    let refused = frontend.get("/activity/events").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "10");
    assert!(refused.text.contains("Reload the page"), "{}", refused.text);
    // The page does not need a stream.
    assert_eq!(frontend.get("/activity").await.status, StatusCode::OK);

    open.pop();
    let admitted =
        async { while open_for(&frontend, "192.0.2.0").await.status() != StatusCode::OK {} };
    timeout(DEADLINE, admitted).await.unwrap();
}

#[tokio::test]
async fn one_client_cannot_take_all_streams() {
    let frontend = start(&live([1])).await;
    let mut open = Vec::new();
    for host in 0..STREAMS_PER_CLIENT {
        let response = open_for(&frontend, &format!("2001:db8::{host:x}")).await;
        assert_eq!(response.status(), StatusCode::OK);
        open.push(response);
    }
    let refused = open_for(&frontend, "2001:db8::ffff").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "10");
    let text = refused.text().await.unwrap();
    assert!(text.contains("from your address"), "{text}");

    let page = frontend.request(Method::GET, "/activity");
    let page = Page::of(page.header("x-forwarded-for", "2001:db8::ffff")).await;
    assert_eq!(page.texts("#events li").len(), 1);
    let other = open_for(&frontend, "2001:db8:0:1::").await;
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_forged_address_does_not_evade_the_limit_of_a_client() {
    let activity = live([]);
    let args = ["--trusted-proxies="];
    let frontend = Frontend::start_with(&args, Asked::default(), activity).await;
    let mut open = Vec::new();
    for client in 0..STREAMS_PER_CLIENT {
        open.push(open_for(&frontend, &format!("192.0.2.{client}")).await);
    }
    let refused = open_for(&frontend, "192.0.2.250").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn streams_end_at_a_stop_and_do_not_delay_it() {
    let frontend = start(&live(1..=3)).await;
    let mut reader = Reader::open(&frontend, "", None).await;
    reader.ids(3).await;
    let mut idle = Reader::open(&frontend, "", Some(&id(3))).await;
    assert_eq!(idle.next().await.unwrap().event, "notice");
    frontend.stop.send(()).unwrap();
    // Well before the drain would end them.
    let done = timeout(Duration::from_secs(5), frontend.done);
    done.await.unwrap().unwrap().unwrap();
    assert_eq!(idle.next().await, None);
    while reader.next().await.is_some() {}
}

#[tokio::test]
async fn other_methods_are_refused() {
    let frontend = start(&live([])).await;
    for path in ["/activity", "/activity/events"] {
        let page = Page::of(frontend.request(Method::POST, path)).await;
        assert_eq!(page.status, StatusCode::METHOD_NOT_ALLOWED);
        let head = frontend.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK);
    }
}
