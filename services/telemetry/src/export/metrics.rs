//! Metrics, with exemplars put into the message between collection and sending.

use std::{fmt, sync::LazyLock, time::Duration};

use exemplars::Exemplars;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient,
    },
    metrics::v1::metric::Data,
};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use tokio::{runtime::Handle, time::timeout};
use tonic::{Request, metadata::MetadataMap, transport::Endpoint};

use super::Flow;
use crate::metrics;

/// Sends metrics by OTLP over gRPC.
pub(crate) struct MetricExporter {
    client: MetricsServiceClient<tonic::transport::Channel>,
    metadata: MetadataMap,
    timeout: Duration,
    exemplars: Exemplars,
    /// Made at the first export: its counters are this exporter's own passengers.
    flow: LazyLock<Flow>,
    /// Where the connection lives: the reader that calls has a thread of its own.
    runtime: Handle,
}

impl MetricExporter {
    /// An exporter that connects when it first has something to send.
    ///
    /// Must be called on a tokio runtime.
    pub(crate) fn new(
        endpoint: &Endpoint,
        metadata: MetadataMap,
        timeout: Duration,
        exemplars: Exemplars,
    ) -> Self {
        Self {
            client: MetricsServiceClient::new(endpoint.connect_lazy()),
            metadata,
            timeout,
            exemplars,
            flow: LazyLock::new(|| {
                let exported = &metrics::OTEL_SDK_EXPORTER_METRIC_DATA_POINT_EXPORTED;
                Flow::unqueued("metrics", (exported, "otlp_grpc_metric_exporter"))
            }),
            runtime: Handle::current(),
        }
    }
}

impl PushMetricExporter for MetricExporter {
    // What is not sent is not sent again: the next export has newer values of the same series.
    async fn export(&self, collected: &ResourceMetrics) -> OTelSdkResult {
        let mut message = ExportMetricsServiceRequest::from(collected);
        self.exemplars.attach(&mut message);
        let points = points(&message);
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();

        let (mut client, limit) = (self.client.clone(), self.timeout);
        let sending = async move { timeout(limit, client.export(request)).await };
        let outcome = match self.runtime.spawn(sending).await {
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(status))) => Err(OTelSdkError::InternalFailure(format!(
                "{:?}: {}",
                status.code(),
                status.message()
            ))),
            Ok(Err(_)) => Err(OTelSdkError::Timeout(limit)),
            Err(error) => Err(OTelSdkError::InternalFailure(error.to_string())),
        };
        self.flow.exported(points, &outcome);
        outcome
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

impl fmt::Debug for MetricExporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its metadata may hold credentials.
        formatter
            .debug_struct("MetricExporter")
            .finish_non_exhaustive()
    }
}

fn points(message: &ExportMetricsServiceRequest) -> usize {
    message
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics)
        .map(|metric| match &metric.data {
            Some(Data::Gauge(data)) => data.data_points.len(),
            Some(Data::Sum(data)) => data.data_points.len(),
            Some(Data::Histogram(data)) => data.data_points.len(),
            Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
            Some(Data::Summary(data)) => data.data_points.len(),
            None => 0,
        })
        .sum()
}
