//! A stand-in for Prometheus: its receiver of OTLP, and its query for the probe.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::KeyValue,
    metrics::v1::{Gauge, metric::Data, number_data_point},
};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use e2e::collector::text;

/// It ends with the runtime of its test.
#[derive(Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Received>>);

#[derive(Default)]
struct Received {
    is_away: bool,
    /// Data points by service.
    points: BTreeMap<String, usize>,
    probes: BTreeMap<String, i64>,
}

impl Fake {
    /// Starts one, and returns its URL.
    pub(crate) async fn start() -> (Self, String) {
        let fake = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/api/v1/otlp/v1/metrics", post(receive))
            .route("/api/v1/query", get(query))
            .with_state(fake.clone());
        tokio::spawn(async { axum::serve(listener, routes).await });
        (fake, url)
    }

    /// Makes it answer 503, or not.
    pub(crate) fn is_away(&self, is_away: bool) {
        self.0.lock().unwrap().is_away = is_away;
    }

    /// The number of stored data points of a service.
    pub(crate) fn stored(&self, service: &str) -> usize {
        let received = self.0.lock().unwrap();
        received.points.get(service).copied().unwrap_or(0)
    }
}

async fn receive(State(fake): State<Fake>, body: Bytes) -> StatusCode {
    let mut received = fake.0.lock().unwrap();
    if received.is_away {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let Ok(request) = ExportMetricsServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    for group in request.resource_metrics {
        let attributes: Vec<KeyValue> = group.resource.unwrap_or_default().attributes;
        let service = text(&attributes, "service.name")
            .unwrap_or_default()
            .to_owned();
        for metric in group
            .scope_metrics
            .into_iter()
            .flat_map(|scope| scope.metrics)
        {
            let Some(Data::Gauge(Gauge { data_points })) = metric.data else {
                continue;
            };
            *received.points.entry(service.clone()).or_default() += data_points.len();
            for point in data_points {
                if let (Some(place), Some(number_data_point::Value::AsInt(value))) =
                    (text(&point.attributes, "place"), point.value)
                {
                    received.probes.insert(place.to_owned(), value);
                }
            }
        }
    }
    StatusCode::OK
}

async fn query(
    State(fake): State<Fake>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Json<Value> {
    let received = fake.0.lock().unwrap();
    let probes = received.probes.iter();
    let result: Vec<_> = probes
        .filter(|(place, _)| asked["query"].contains(&format!("\"{place}\"")))
        .map(|(_, value)| json!({ "value": [0, value.to_string()] }))
        .collect();
    Json(json!({ "status": "success", "data": { "result": result } }))
}
