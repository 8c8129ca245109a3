//! Export of metrics. Exemplars are added to the message between collection and sending.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use exemplars::Exemplars;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    metrics::v1::metric::Data,
};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use prost::Message as _;
use tokio::runtime::Handle;

use super::{Flow, Route, Sender, sender::Encoded};
use crate::metrics;

/// The exporter of metrics by OTLP.
#[derive(Debug)]
pub(crate) struct MetricExporter {
    sender: Sender,
    exemplars: Exemplars,
    /// Created at the first export, because this exporter exports its counters too.
    flow: LazyLock<Flow, Box<dyn FnOnce() -> Flow + Send>>,
    /// The runtime of the connection: the reader calls the exporter on a thread of its own.
    runtime: Handle,
}

impl MetricExporter {
    /// Must be called on a tokio runtime.
    pub(crate) fn new(
        sender: Sender,
        route: Route,
        component: &'static str,
        exemplars: Exemplars,
    ) -> Self {
        Self {
            sender,
            exemplars,
            flow: LazyLock::new(Box::new(move || {
                let exported = &metrics::OTEL_SDK_EXPORTER_METRIC_DATA_POINT_EXPORTED;
                Flow::unqueued(route, (exported, component))
            })),
            runtime: Handle::current(),
        }
    }
}

impl PushMetricExporter for MetricExporter {
    // A failed export is not retried: the next export has newer values of the same series.
    async fn export(&self, collected: &ResourceMetrics) -> OTelSdkResult {
        let mut message = ExportMetricsServiceRequest::from(collected);
        self.exemplars.attach(&mut message);
        let points = points(&message);
        let (sender, message) = (self.sender.clone(), message.encode_to_vec());
        let message = Encoded {
            head: Bytes::new(),
            body: message.into(),
        };
        let sending = self
            .runtime
            .spawn(async move { sender.send(message).await });
        let outcome = sending
            .await
            .unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        let rejected = match &outcome {
            Ok(answer) => rejected(answer),
            Err(_) => points,
        };
        self.flow.exported(points, rejected, outcome.as_ref().err());
        outcome.map(drop)
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

/// The number of data points that the collector rejected, by its response.
fn rejected(answer: &[u8]) -> usize {
    let partial = ExportMetricsServiceResponse::decode(answer)
        .ok()
        .and_then(|answer| answer.partial_success);
    partial.map_or(0, |partial| {
        usize::try_from(partial.rejected_data_points).unwrap_or(0)
    })
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
