use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, extract::State, routing::post};
use tokio::net::TcpListener;

use super::*;
use crate::samples::{group, read, request, values};

/// Stands in for Prometheus: refuses a request if one of its values is bad.
#[derive(Clone, Default)]
struct Fake {
    stored: Arc<Mutex<BTreeSet<(String, i64)>>>,
    requests: Arc<AtomicUsize>,
    is_full: bool,
}

/// Values from here on are bad.
const BAD: i64 = 1_000;

/// A value that makes it end the connection.
const PANIC: i64 = 2_000;

async fn receive(State(fake): State<Fake>, body: Bytes) -> (StatusCode, &'static str) {
    fake.requests.fetch_add(1, Ordering::Relaxed);
    let values = values(&body);
    assert!(
        values.iter().all(|(_, value)| *value != PANIC),
        "a panic that a test wants"
    );
    match values.iter().any(|(_, value)| *value >= BAD) {
        _ if fake.is_full => (StatusCode::INTERNAL_SERVER_ERROR, "no space left on device"),
        true => (StatusCode::BAD_REQUEST, "bad value"),
        false => {
            fake.stored.lock().unwrap().extend(values);
            (StatusCode::OK, "")
        }
    }
}

impl Fake {
    async fn start(&self) -> Prometheus {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().route("/api/v1/otlp/v1/metrics", post(receive));
        let routes = routes.with_state(self.clone());
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
    prometheus.store(body, || request.all()).await
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
async fn a_service_with_only_bad_data_points_costs_a_bounded_number_of_requests() {
    let fake = Fake::default();
    let prometheus = fake.start().await;
    let groups = vec![
        group("a", &[&range(0, 10)]),
        group("bad", &[&range(BAD, BAD + 900)]),
        group("c", &[&[1, BAD, 2]]),
        group("d", &[&range(0, 10)]),
    ];
    let outcome = store(&prometheus, groups).await.unwrap();
    let mut expected = refused("bad", 900);
    expected.extend(refused("c", 1));
    assert_eq!(outcome.refused, expected);
    assert_eq!(
        (fake.stored("a"), fake.stored("c"), fake.stored("d")),
        (10, 2, 10)
    );
    let most = REQUESTS_PER_SERVICE as usize + 40;
    assert!(fake.requests() < most, "{}", fake.requests());
}

#[tokio::test]
async fn many_bad_services_cost_a_bounded_number_of_requests() {
    let fake = Fake::default();
    let prometheus = fake.start().await;
    let bad = range(BAD, BAD + 200);
    let groups = (0..100).map(|number| group(&format!("bad-{number}"), &[&bad]));
    let outcome = store(&prometheus, groups.collect()).await.unwrap();
    assert_eq!(outcome.refused.values().sum::<u64>(), 20_000);
    assert!(
        fake.requests() < REQUESTS as usize + 40,
        "{}",
        fake.requests()
    );
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
async fn a_full_disk_is_no_refusal() {
    let fake = Fake {
        is_full: true,
        ..Fake::default()
    };
    let prometheus = fake.start().await;
    let error = store(&prometheus, vec![group("a", &[&[1]])])
        .await
        .unwrap_err();
    assert!(error.0.contains("no space left"), "{error:?}");
    assert_eq!(fake.requests(), 2);
}

#[tokio::test]
async fn an_absent_prometheus_is_no_refusal() {
    let prometheus = Prometheus::new(&"http://127.0.0.1:1".parse().unwrap()).unwrap();
    let error = store(&prometheus, vec![group("a", &[&[1]])])
        .await
        .unwrap_err();
    assert!(error.0.contains("refused"), "{error:?}");
}
