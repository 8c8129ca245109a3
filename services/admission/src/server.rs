//! The receiver: the path that Prometheus has.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{self, State},
    http::{Response, StatusCode, header},
    response::IntoResponse as _,
    routing::post,
};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message as _;
use telemetry::spawn_blocking;
use tokio::{sync::Semaphore, time::timeout};
use tower::Service;

use crate::{
    Config,
    batch::Request,
    delivery::{Probe, Prometheus, Unavailable},
    record::{self, Record, lock},
    series::{Dropped, Keys, Series},
};

const PROTOBUF: &str = "application/x-protobuf";

/// Largest request in bytes. The collector divides batches at 24 MiB.
const REQUEST: usize = 32 << 20;

/// Time limit for a request to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// Requests that are received at the same time. The collector sends ten.
const READERS: usize = 16;

/// Requests that are delivered at the same time.
const PLACES: usize = 2;

/// How long a request waits for a place.
const WAIT: Duration = Duration::from_secs(5);

/// Time after which the collector should send a request again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Admission {
    prometheus: Prometheus,
    keys: Keys,
    series: Arc<Mutex<Series>>,
    record: Arc<Mutex<Record>>,
    /// Those of requests that are read.
    readers: Semaphore,
    /// Those of requests that are delivered.
    places: Semaphore,
    /// One for each place.
    probes: [tokio::sync::Mutex<Probe>; PLACES],
}

impl Admission {
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let series = Series::new(config.limits, Instant::now());
        let admission = Self {
            prometheus: Prometheus::new(&config.prometheus_url)?,
            keys: series.keys(),
            series: Arc::new(Mutex::new(series)),
            record: Arc::default(),
            readers: Semaphore::new(READERS),
            places: Semaphore::new(PLACES),
            probes: std::array::from_fn(|place| tokio::sync::Mutex::new(Probe { place, last: 0 })),
        };
        record::observe(&admission.record, &admission.series);
        Ok(admission)
    }

    /// Stores the admitted data points of a request. Returns the others, with a reason for the sender.
    async fn store(&self, probe: &mut Probe, body: Bytes) -> Result<(Dropped, String), Failure> {
        let keys = self.keys.clone();
        let bytes = body.clone();
        let (request, keyed) = spawn_blocking(move || {
            let request = Request::read(bytes);
            let keyed = keys.of(&request);
            (Arc::new(request), keyed)
        })
        .await;
        let reasons = lock(&self.series).admit(&keyed, Instant::now());
        let (body, mut dropped) = match &reasons {
            None => (body, Dropped::new()),
            Some(reasons) => {
                let (request, reasons) = (Arc::clone(&request), Arc::clone(reasons));
                spawn_blocking(move || {
                    let (batch, dropped) = request.admitted(&reasons);
                    (batch.encode(), dropped)
                })
                .await
            }
        };
        let mut reason = match dropped.keys().next() {
            Some((_, reason)) => format!("beyond {}", reason.name()),
            None => String::new(),
        };
        let batch = || match &reasons {
            None => request.all(),
            Some(reasons) => request.admitted(reasons).0,
        };
        if !body.is_empty() {
            let outcome = self.prometheus.store(probe, body, batch).await?;
            if !outcome.reason.is_empty() {
                // Without a data point, Prometheus refuses the request itself.
                if outcome.refused.is_empty() && request.points().next().is_none() {
                    return Err(Failure::Malformed(outcome.reason));
                }
                reason = outcome.reason;
            }
            dropped.extend(outcome.refused);
        }
        Ok((dropped, reason))
    }
}

/// Why a request is not stored.
enum Failure {
    Malformed(String),
    Unavailable(String),
}

impl From<Unavailable> for Failure {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable.0)
    }
}

/// The routes: metrics, and health by HTTP and gRPC.
pub(crate) fn router<H>(admission: Arc<Admission>, health: H) -> Router
where
    H: Service<extract::Request, Response = Response<tonic::body::Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    H::Future: Send + 'static,
{
    Router::new()
        .route("/api/v1/otlp/v1/metrics", post(export))
        .route_service("/grpc.health.v1.Health/Check", health)
        .with_state(admission)
}

async fn export(
    State(admission): State<Arc<Admission>>,
    request: extract::Request,
) -> Response<Body> {
    let headers = request.headers();
    let is_protobuf = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == PROTOBUF);
    if !is_protobuf || headers.contains_key(header::CONTENT_ENCODING) {
        let message = "metrics are expected as application/x-protobuf, not compressed\n";
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, message).into_response();
    }
    // Semaphores are never closed.
    let reader = admission.readers.acquire().await;
    let body = to_bytes(request.into_body(), REQUEST);
    let body = match timeout(ARRIVAL, body).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let message = "the request is too large or incomplete\n";
            return (StatusCode::PAYLOAD_TOO_LARGE, message).into_response();
        }
        // The collector gives up at 408, and the machine may be what is slow.
        Err(_) => return unavailable("the request has not arrived in time".to_owned()),
    };
    let Ok(_place) = timeout(WAIT, admission.places.acquire()).await else {
        return unavailable("other requests take long".to_owned());
    };
    drop(reader);
    // There are as many as places.
    let Some(mut probe) = admission
        .probes
        .iter()
        .find_map(|probe| probe.try_lock().ok())
    else {
        return unavailable("other requests take long".to_owned());
    };
    match admission.store(&mut probe, body).await {
        Ok((dropped, reason)) => {
            let points = dropped.values().sum::<u64>();
            lock(&admission.record).add(dropped, &reason, Instant::now());
            stored(points, reason)
        }
        Err(Failure::Malformed(reason)) => (StatusCode::BAD_REQUEST, reason).into_response(),
        Err(Failure::Unavailable(reason)) => {
            tracing::debug!(reason, "metrics have to be sent again");
            unavailable(reason)
        }
    }
}

/// Asks the sender to retry.
fn unavailable(reason: String) -> Response<Body> {
    let after = [(header::RETRY_AFTER, RETRY_AFTER.as_secs().to_string())];
    (StatusCode::SERVICE_UNAVAILABLE, after, reason).into_response()
}

/// A success, with what was dropped.
fn stored(points: u64, reason: String) -> Response<Body> {
    let partial_success = (points > 0).then(|| ExportMetricsPartialSuccess {
        rejected_data_points: i64::try_from(points).unwrap_or(i64::MAX),
        error_message: reason,
    });
    let response = ExportMetricsServiceResponse { partial_success };
    ([(header::CONTENT_TYPE, PROTOBUF)], response.encode_to_vec()).into_response()
}
