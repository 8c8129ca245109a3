//! Export of metrics. Exemplars are added to the message between collection and sending.

use std::{sync::LazyLock, time::Duration};

use exemplars::Exemplars;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse},
    metrics::v1::{ResourceMetrics as WireMetrics, metric::Data},
};
use opentelemetry_sdk::{
    error::{OTelSdkError, OTelSdkResult},
    metrics::{Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
};
use prost::Message as _;
use tokio::runtime::Handle;

use super::{Flow, Route, Sender, sender::Encoded, services};
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
        // The exemplars are found by scopes with marks.
        by_service(&mut message);
        let points = points(&message);
        let (sender, message) = (self.sender.clone(), Encoded::from(&message));
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

/// Gives the metrics of each service a resource of its own.
fn by_service(message: &mut ExportMetricsServiceRequest) {
    let process = std::mem::take(&mut message.resource_metrics);
    for mut process in process {
        let scopes = std::mem::take(&mut process.scope_metrics);
        for (service, scope_metrics) in services::group(scopes, |scope| scope.scope.as_mut()) {
            let mut resource = process.resource.clone().unwrap_or_default();
            services::rename(&mut resource.attributes, service.as_deref());
            message.resource_metrics.push(WireMetrics {
                resource: Some(resource),
                scope_metrics,
                schema_url: process.schema_url.clone(),
            });
        }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::{InstrumentationScope, metrics::MeterProvider as _};
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;
    use crate::{
        Service,
        export::services::tests::{process, service},
    };

    /// Keeps the last message.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<ExportMetricsServiceRequest>>);

    impl PushMetricExporter for Kept {
        async fn export(&self, collected: &ResourceMetrics) -> OTelSdkResult {
            *self.0.lock().unwrap() = collected.into();
            Ok(())
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

    #[test]
    fn a_message_has_a_resource_for_each_service() {
        let kept = Kept::default();
        let meters = SdkMeterProvider::builder()
            .with_resource(process())
            .with_periodic_exporter(kept.clone())
            .build();
        for (name, count) in [(None, 1), (Some("user"), 2), (Some("auth"), 3)] {
            let _scope = name.map(|name| Service::named(name).enter());
            let scope = InstrumentationScope::builder("scope")
                .with_attributes(Service::current().mark())
                .build();
            let meter = meters.meter_with_scope(scope);
            meter.u64_counter("count").build().add(count, &[]);
        }
        meters.force_flush().unwrap();
        let mut message = kept.0.lock().unwrap().clone();
        assert_eq!(message.resource_metrics.len(), 1);
        by_service(&mut message);
        assert_eq!(points(&message), 3);
        let mut found = Vec::new();
        for resource in &message.resource_metrics {
            let scope = resource.scope_metrics[0].scope.as_ref().unwrap();
            assert_eq!((&*scope.name, scope.attributes.len()), ("scope", 0));
            found.push(service(resource.resource.as_ref()));
        }
        found.sort_unstable();
        assert_eq!(found, ["auth", "process", "user"]);
    }
}
