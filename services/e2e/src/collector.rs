//! A collector that keeps what it receives, for tests to look at.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::Metric,
    resource::v1::Resource,
    trace::v1::Span,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// An OTLP receiver on loopback.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

/// What has arrived, each with the `service.name` of its resource.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Finished spans.
    pub spans: Vec<(String, Span)>,
    /// Metrics, each as often as it was exported.
    pub metrics: Vec<(String, Metric)>,
    /// Log records.
    pub logs: Vec<(String, LogRecord)>,
}

impl Collector {
    /// Starts one that keeps everything.
    ///
    /// # Errors
    /// When no port is to be had.
    pub async fn start() -> anyhow::Result<Self> {
        Self::serve(true).await
    }

    /// Starts one that answers and forgets, for benchmarks.
    ///
    /// # Errors
    /// When no port is to be had.
    pub async fn start_forgetful() -> anyhow::Result<Self> {
        Self::serve(false).await
    }

    async fn serve(keep: bool) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no port")?;
        let address = listener.local_addr()?;
        let received = Arc::<Mutex<Received>>::default();
        let receiver = Receiver {
            keep,
            received: Arc::clone(&received),
        };
        tokio::spawn(
            Server::builder()
                .add_service(TraceServiceServer::new(receiver.clone()))
                .add_service(MetricsServiceServer::new(receiver.clone()))
                .add_service(LogsServiceServer::new(receiver))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Ok(Self { address, received })
    }

    /// Its URL, as `OTEL_EXPORTER_OTLP_ENDPOINT` wants it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has arrived so far.
    #[must_use]
    pub fn received(&self) -> Received {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The text of an attribute, if it is there and is text.
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

#[derive(Clone)]
struct Receiver {
    keep: bool,
    received: Arc<Mutex<Received>>,
}

impl Receiver {
    fn store(&self, add: impl FnOnce(&mut Received)) {
        if self.keep {
            add(&mut self.received.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }
}

fn service(resource: Option<&Resource>) -> String {
    resource
        .and_then(|resource| text(&resource.attributes, "service.name"))
        .unwrap_or_default()
        .to_owned()
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.store(|received| {
            for group in request.into_inner().resource_spans {
                let name = service(group.resource.as_ref());
                let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
                received
                    .spans
                    .extend(spans.map(|span| (name.clone(), span)));
            }
        });
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.store(|received| {
            for group in request.into_inner().resource_metrics {
                let name = service(group.resource.as_ref());
                let metrics = group
                    .scope_metrics
                    .into_iter()
                    .flat_map(|scope| scope.metrics);
                received
                    .metrics
                    .extend(metrics.map(|metric| (name.clone(), metric)));
            }
        });
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Receiver {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.store(|received| {
            for group in request.into_inner().resource_logs {
                let name = service(group.resource.as_ref());
                let logs = group
                    .scope_logs
                    .into_iter()
                    .flat_map(|scope| scope.log_records);
                received
                    .logs
                    .extend(logs.map(|record| (name.clone(), record)));
            }
        });
        Ok(Response::new(Default::default()))
    }
}
