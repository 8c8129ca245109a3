//! The sink of the receiver: hands each signal to its store.

use std::sync::Arc;

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
        trace::v1::ExportTraceServiceRequest,
    },
    metrics::v1::metric::Data,
};
use otlp::{Accepted, Busy, Refusal, Sink};

use crate::{
    Lens,
    doctor::{Count, Signal},
    state,
};

/// Number of records above which a request is stored outside the threads that serve connections.
const LARGE: usize = 1000;

/// Takes all requests.
#[derive(Clone, Debug)]
pub(crate) struct Intake(pub(crate) Arc<Lens>);

impl Sink for Intake {
    async fn traces(&self, request: ExportTraceServiceRequest) -> Result<Accepted, Busy> {
        let counts = request.resource_spans.iter().map(|group| Count {
            resource: group.resource.as_ref(),
            signal: Signal::Traces,
            records: group
                .scope_spans
                .iter()
                .map(|scope| scope.spans.len())
                .sum(),
        });
        let size = self.0.doctor.received(counts);
        let inserted = self
            .store(size, move |lens| lens.store.insert_traces(&request))
            .await;
        self.0.doctor.repeated(inserted.duplicates);
        Ok(Accepted::default())
    }

    async fn metrics(&self, request: ExportMetricsServiceRequest) -> Result<Accepted, Busy> {
        let counts = request.resource_metrics.iter().map(|group| Count {
            resource: group.resource.as_ref(),
            signal: Signal::Metrics,
            records: group
                .scope_metrics
                .iter()
                .flat_map(|scope| &scope.metrics)
                .map(|metric| points(metric.data.as_ref()))
                .sum(),
        });
        let size = self.0.doctor.received(counts);
        let inserted = self
            .store(size, move |lens| lens.metrics.insert(&request))
            .await;
        Ok(Accepted {
            rejected: inserted.rejected,
            message: inserted.message,
        })
    }

    async fn logs(&self, request: ExportLogsServiceRequest) -> Result<Accepted, Busy> {
        let counts = request.resource_logs.iter().map(|group| Count {
            resource: group.resource.as_ref(),
            signal: Signal::Logs,
            records: group
                .scope_logs
                .iter()
                .map(|scope| scope.log_records.len())
                .sum(),
        });
        let size = self.0.doctor.received(counts);
        self.store(size, move |lens| lens.store.insert_logs(&request))
            .await;
        Ok(Accepted::default())
    }

    fn refused(&self, refusal: Refusal) {
        self.0.doctor.refused(&refusal);
    }
}

impl Intake {
    async fn store<T: Send + 'static>(
        &self,
        size: usize,
        insert: impl FnOnce(&Lens) -> T + Send + 'static,
    ) -> T {
        if size > LARGE {
            state::work(&self.0, insert).await
        } else {
            insert(&self.0)
        }
    }
}

fn points(data: Option<&Data>) -> usize {
    match data {
        None => 0,
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
    }
}
