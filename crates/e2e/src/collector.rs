//! A collector that keeps the telemetry that it receives, for tests.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use otlp::{Accepted, Busy, Limits, Receiver, Sink};
use tokio::net::TcpListener;

/// An OTLP receiver on loopback.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
    answer: Arc<Mutex<Answer>>,
}

/// How a collector answers exports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Accepts the data, and keeps it for the test.
    Keep,
    /// Refuses the data, like a collector that is short of memory.
    Refuse,
    /// Never answers.
    Hang,
}

/// The received data, each item with the `service.name` of its resource.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Ended spans.
    pub spans: Vec<(String, Span)>,
    /// Metrics, one for each export.
    pub metrics: Vec<(String, Metric)>,
    /// Log records.
    pub logs: Vec<(String, LogRecord)>,
    /// The resources of all exports.
    pub resources: Vec<(String, Resource)>,
}

impl Collector {
    /// Starts a collector that keeps everything.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_at("127.0.0.1:0", Answer::Keep).await
    }

    /// Starts a collector on this address, with this answer.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start_at(address: &str, answer: Answer) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.context("no port")?;
        let address = listener.local_addr()?;
        let received = Arc::<Mutex<Received>>::default();
        let answer = Arc::new(Mutex::new(answer));
        let store = Store {
            answer: Arc::clone(&answer),
            received: Arc::clone(&received),
        };
        let routes = Receiver::new(store, Limits::default()).routes();
        // The paths of Loki and Prometheus, so that it can stand in for them.
        let routes = Router::new()
            .nest("/otlp", routes.clone())
            .nest("/api/v1/otlp", routes.clone())
            .merge(routes);
        tokio::spawn(async { axum::serve(listener, routes).await });
        Ok(Self {
            address,
            received,
            answer,
        })
    }

    /// Changes the answer.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// The URL, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The data that has arrived so far.
    #[must_use]
    pub fn received(&self) -> Received {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Starts a receiver that answers without reading the data, and returns its URL. For benchmarks, in
/// which the work of a collector would count as that of the services.
///
/// # Errors
/// When no port is free.
pub async fn sink() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port")?;
    let address = listener.local_addr()?;
    let routes = Router::new().fallback(discard);
    tokio::spawn(async { axum::serve(listener, routes).await });
    Ok(format!("http://{address}"))
}

async fn discard(request: http::Request<Body>) -> http::Response<Body> {
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    // An empty gRPC message: one byte for "not compressed", and four for the length.
    let message = Full::new(Bytes::from_static(&[0; 5]));
    let trailers = HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let body = message.with_trailers(async { Some(Ok(trailers)) });
    let mut response = http::Response::new(Body::new(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}

/// The value of an attribute, if it exists and is a text.
#[must_use]
pub fn text<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let value = attributes
        .iter()
        .find(|attribute| attribute.key == key)?
        .value
        .as_ref()?
        .value
        .as_ref()?;
    match value {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// The message of a log record, if it is a text.
#[must_use]
pub fn body(record: &LogRecord) -> &str {
    let value = record.body.as_ref().and_then(|body| body.value.as_ref());
    match value {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

#[derive(Clone)]
struct Store {
    answer: Arc<Mutex<Answer>>,
    received: Arc<Mutex<Received>>,
}

impl Store {
    async fn take(&self, add: impl FnOnce(&mut Received)) -> Result<Accepted, Busy> {
        let answer = *self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Answer::Keep => {
                add(&mut self.received.lock().unwrap_or_else(PoisonError::into_inner));
                Ok(Accepted::default())
            }
            Answer::Refuse => Err(Busy {
                reason: "data refused".to_owned(),
                retry_after: Duration::from_millis(100),
            }),
            Answer::Hang => std::future::pending().await,
        }
    }
}

/// The `service.name` of a resource.
pub(crate) fn service(resource: Option<&Resource>) -> String {
    resource
        .and_then(|resource| text(&resource.attributes, "service.name"))
        .unwrap_or_default()
        .to_owned()
}

impl Received {
    /// Keeps a resource, and returns its `service.name`.
    fn resource(&mut self, resource: Option<Resource>) -> String {
        let name = service(resource.as_ref());
        self.resources
            .extend(resource.map(|resource| (name.clone(), resource)));
        name
    }
}

impl Sink for Store {
    async fn traces(&self, request: ExportTraceServiceRequest) -> Result<Accepted, Busy> {
        self.take(|received| {
            for group in request.resource_spans {
                let name = received.resource(group.resource);
                let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
                received
                    .spans
                    .extend(spans.map(|span| (name.clone(), span)));
            }
        })
        .await
    }

    async fn metrics(&self, request: ExportMetricsServiceRequest) -> Result<Accepted, Busy> {
        self.take(|received| {
            for group in request.resource_metrics {
                let name = received.resource(group.resource);
                let metrics = group
                    .scope_metrics
                    .into_iter()
                    .flat_map(|scope| scope.metrics);
                received
                    .metrics
                    .extend(metrics.map(|metric| (name.clone(), metric)));
            }
        })
        .await
    }

    async fn logs(&self, request: ExportLogsServiceRequest) -> Result<Accepted, Busy> {
        self.take(|received| {
            for group in request.resource_logs {
                let name = received.resource(group.resource);
                let logs = group
                    .scope_logs
                    .into_iter()
                    .flat_map(|scope| scope.log_records);
                received
                    .logs
                    .extend(logs.map(|record| (name.clone(), record)));
            }
        })
        .await
    }
}
