use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::samples::{group, read, request, values};

/// Stands in for Prometheus: refuses a request if one of its values is bad.
#[derive(Clone, Default)]
struct Fake {
    stored: Arc<Mutex<BTreeSet<(String, i64)>>>,
    probe: Arc<Mutex<Option<i64>>>,
    requests: Arc<AtomicUsize>,
    /// Like Prometheus, it answers 200 then, and stores nothing.
    is_full: bool,
}

/// Values from here on are bad.
const BAD: i64 = 1_000;

/// A value that makes it end the connection.
const PANIC: i64 = 2_000;

async fn receive(State(fake): State<Fake>, body: Bytes) -> (StatusCode, &'static str) {
    fake.requests.fetch_add(1, Ordering::Relaxed);
    let (own, values): (Vec<_>, Vec<_>) = values(&body)
        .into_iter()
        .partition(|(service, _)| service == env!("CARGO_PKG_NAME"));
    assert!(
        values.iter().all(|(_, value)| *value != PANIC),
        "a panic that a test wants"
    );
    if values.iter().any(|(_, value)| *value >= BAD) {
        return (StatusCode::BAD_REQUEST, "bad value");
    }
    if !fake.is_full {
        fake.stored.lock().unwrap().extend(values);
        if let Some((_, value)) = own.first() {
            *fake.probe.lock().unwrap() = Some(*value);
        }
    }
    (StatusCode::OK, "")
}

async fn query(
    State(fake): State<Fake>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Json<serde_json::Value> {
    assert_eq!(asked["query"], r#"admission_probe{place="1"}"#);
    let value = *fake.probe.lock().unwrap();
    let result: Vec<_> = value
        .map(|value| json!({ "value": [0, value.to_string()] }))
        .into_iter()
        .collect();
    Json(json!({ "data": { "result": result } }))
}

impl Fake {
    async fn start(&self) -> Prometheus {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/api/v1/otlp/v1/metrics", post(receive))
            .route("/api/v1/query", get(query))
            .with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, routes).await });
        Prometheus::new(&url.parse().unwrap()).unwrap()
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// The number of stored values of a service.
    fn stored(&self, service: &str) -> usize {
        let stored = self.stored.lock().unwrap();
        stored.iter().filter(|(of, _)| of == service).count()
    }
}

async fn store(
    prometheus: &Prometheus,
    groups: Vec<ResourceMetrics>,
) -> Result<Outcome, Unavailable> {
    let request = read(&request(groups));
    let body = request.all().encode();
    let mut probe = Probe { place: 1, last: 0 };
    prometheus.store(&mut probe, body, || request.all()).await
}

fn refused(service: &str, count: u64) -> Dropped {
    Dropped::from([((service.to_owned(), Reason::Refused), count)])
}

fn range(from: i64, to: i64) -> Vec<i64> {
    (from..to).collect()
}

#[tokio::test]
async fn a_good_batch_takes_one_request() {
    let fake = Fake::default();
    let prometheus = fake.start().await;
    let outcome = store(&prometheus, vec![group("shop", &[&range(0, 100)])])
        .await
        .unwrap();
    assert!(outcome.refused.is_empty(), "{outcome:?}");
    assert_eq!((fake.requests(), fake.stored("shop")), (1, 100));
}

#[tokio::test]
async fn one_bad_data_point_is_found_among_thousands() {
    let fake = Fake::default();
    let prometheus = fake.start().await;
    let bad = [range(0, 500), vec![BAD], range(500, 1_000)].concat();
    let groups = vec![
        group("cart", &[&range(0, 1_000)]),
        group("shop", &[&range(0, 9), &bad]),
        group("cart", &[&range(-1_000, 0)]),
    ];
    let outcome = store(&prometheus, groups).await.unwrap();
    assert_eq!(outcome.refused, refused("shop", 1));
    assert_eq!(outcome.reason, "400 Bad Request: bad value");
    assert_eq!((fake.stored("cart"), fake.stored("shop")), (2_000, 1_000));
    assert!(fake.requests() < 40, "{}", fake.requests());
}

#[tokio::test]
async fn a_metric_with_only_bad_data_points_costs_a_bounded_number_of_requests() {
    let fake = Fake::default();
    let prometheus = fake.start().await;
    let groups = vec![
        group("a", &[&range(0, 10)]),
        group("bad", &[&range(0, 9), &range(BAD, BAD + 900), &[5]]),
        group("c", &[&[1, BAD, 2]]),
        group("d", &[&range(0, 10)]),
    ];
    let outcome = store(&prometheus, groups).await.unwrap();
    let mut expected = refused("bad", 900);
    expected.extend(refused("c", 1));
    assert_eq!(outcome.refused, expected);
    let stored = ["a", "bad", "c", "d"].map(|service| fake.stored(service));
    assert_eq!(stored, [10, 9, 2, 10]);
    assert!(fake.requests() < 80, "{}", fake.requests());
}

#[tokio::test]
async fn many_bad_services_cost_no_other_one_and_a_bounded_number_of_requests() {
    let fake = Fake::default();
    let prometheus = fake.start().await;
    let bad = range(BAD, BAD + 200);
    let groups = (0..60).map(|number| group(&format!("bad-{number}"), &[&bad, &[1]]));
    let good = (0..1_000).map(|number| group(&format!("good-{number}"), &[&[1, 2], &[3, 4, 5]]));
    let mixed = (0..3).map(|number| group(&format!("mixed-{number}"), &[&[1, 2, BAD], &[3]]));
    let outcome = store(&prometheus, groups.chain(good).chain(mixed).collect())
        .await
        .unwrap();
    let dropped: BTreeMap<_, _> = outcome.refused.into_iter().collect();
    for number in 0..1_000 {
        assert_eq!(fake.stored(&format!("good-{number}")), 5);
    }
    for number in 0..60 {
        let service = format!("bad-{number}");
        assert_eq!(fake.stored(&service), 1);
        assert_eq!(dropped[&(service, Reason::Refused)], 200);
    }
    for number in 0..3 {
        // Their first metric may be dropped as a whole, when so many are refused.
        assert!(fake.stored(&format!("mixed-{number}")) >= 1);
    }
    assert!(fake.requests() < 1_000, "{}", fake.requests());
}

#[tokio::test]
async fn what_was_refused_before_is_separated_at_once() {
    let fake = Fake::default();
    let prometheus = fake.start().await;
    let batch = || {
        let groups = (0..500).map(|number| group(&format!("good-{number}"), &[&[1]]));
        groups.chain([group("bad", &[&[1], &[BAD]])]).collect()
    };
    store(&prometheus, batch()).await.unwrap();
    let first = fake.requests();
    let outcome = store(&prometheus, batch()).await.unwrap();
    assert_eq!(outcome.refused, refused("bad", 1));
    // All, all without the suspect, the suspect, and the probe.
    assert_eq!(fake.requests() - first, 4);
}

#[tokio::test]
async fn a_data_point_that_ends_the_connection_is_found() {
    let fake = Fake::default();
    let prometheus = fake.start().await;
    let groups = vec![group("a", &[&range(0, 10)]), group("b", &[&[1, PANIC, 2]])];
    let outcome = store(&prometheus, groups).await.unwrap();
    assert_eq!(outcome.refused, refused("b", 1));
    assert_eq!((fake.stored("a"), fake.stored("b")), (10, 2));
}

#[tokio::test]
async fn what_is_not_written_is_not_acknowledged() {
    let fake = Fake {
        is_full: true,
        ..Fake::default()
    };
    let prometheus = fake.start().await;
    for values in [&[1][..], &[1, BAD]] {
        let error = store(&prometheus, vec![group("a", &[values])])
            .await
            .unwrap_err();
        assert!(error.0.contains("stored nothing"), "{error:?}");
    }
}

#[test]
fn the_times_of_a_probe_rise() {
    let mut probe = Probe { place: 0, last: 0 };
    let mut last = 0;
    for _ in 0..100 {
        let (_, value) = probe.next();
        assert!(probe.last > last && value == probe.last % 1_000_000);
        last = probe.last;
    }
}

#[tokio::test]
async fn an_absent_prometheus_is_no_refusal() {
    let prometheus = Prometheus::new(&"http://127.0.0.1:1".parse().unwrap()).unwrap();
    let error = store(&prometheus, vec![group("a", &[&[1]])])
        .await
        .unwrap_err();
    assert!(error.0.contains("refused"), "{error:?}");
}
