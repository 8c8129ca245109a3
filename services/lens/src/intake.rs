//! The sink of the receiver: hands each signal to its store, and to the archive if there is one.

use std::{sync::Arc, time::SystemTime};

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use otlp::{Accepted, Busy, Refusal, Sink};
use prost::{DecodeError, Message};

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

/// A request of one signal.
trait Export: Message + Default + 'static {
    const SIGNAL: Signal;

    /// Inserts it. `arrived` is the time of its arrival in an earlier run.
    fn insert(&self, lens: &Lens, arrived: Option<SystemTime>) -> Accepted;
}

impl Export for ExportTraceServiceRequest {
    const SIGNAL: Signal = Signal::Traces;

    fn insert(&self, lens: &Lens, arrived: Option<SystemTime>) -> Accepted {
        let time = arrived.unwrap_or_else(SystemTime::now);
        let inserted = lens.store.insert_traces_at(self, time);
        // An earlier run has told of its own.
        if arrived.is_none() {
            lens.doctor.repeated(&inserted);
        }
        Accepted {
            rejected: inserted.conflicts as u64,
            message: conflicts(inserted.conflicts),
            duplicates: inserted.duplicates as u64,
        }
    }
}

impl Export for ExportMetricsServiceRequest {
    const SIGNAL: Signal = Signal::Metrics;

    fn insert(&self, lens: &Lens, arrived: Option<SystemTime>) -> Accepted {
        let inserted = match arrived {
            Some(arrived) => lens.metrics.insert_earlier(self, arrived),
            None => lens.metrics.insert(self),
        };
        Accepted {
            rejected: inserted.rejected,
            message: inserted.message,
            ..Accepted::default()
        }
    }
}

impl Export for ExportLogsServiceRequest {
    const SIGNAL: Signal = Signal::Logs;

    fn insert(&self, lens: &Lens, arrived: Option<SystemTime>) -> Accepted {
        let time = arrived.unwrap_or_else(SystemTime::now);
        lens.store.insert_logs_at(self, time);
        Accepted::default()
    }
}

/// Why spans are rejected. Empty if none is.
fn conflicts(spans: usize) -> String {
    const WHY: &str = "those of another span that is stored: the content or the service differs";
    match spans {
        0 => String::new(),
        1 => format!("1 span rejected: its trace id and span id are {WHY}"),
        _ => format!("{spans} spans rejected: their trace ids and span ids are {WHY}"),
    }
}

/// Inserts an encoded request.
///
/// # Errors
/// When it cannot be decoded.
pub(crate) fn insert_encoded(
    lens: &Lens,
    signal: Signal,
    message: &[u8],
    arrived: Option<SystemTime>,
) -> Result<(), DecodeError> {
    fn insert<R: Export>(
        lens: &Lens,
        message: &[u8],
        arrived: Option<SystemTime>,
    ) -> Result<(), DecodeError> {
        R::decode(message)?.insert(lens, arrived);
        Ok(())
    }
    match signal {
        Signal::Traces => insert::<ExportTraceServiceRequest>(lens, message, arrived),
        Signal::Metrics => insert::<ExportMetricsServiceRequest>(lens, message, arrived),
        Signal::Logs => insert::<ExportLogsServiceRequest>(lens, message, arrived),
    }
}

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
        Ok(self.store(size, request).await)
    }

    async fn metrics(&self, request: ExportMetricsServiceRequest) -> Result<Accepted, Busy> {
        let counts = request.resource_metrics.iter().map(|group| Count {
            resource: group.resource.as_ref(),
            signal: Signal::Metrics,
            records: group
                .scope_metrics
                .iter()
                .flat_map(|scope| &scope.metrics)
                .map(otlp::data_points)
                .sum(),
        });
        let size = self.0.doctor.received(counts);
        Ok(self.store(size, request).await)
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
        Ok(self.store(size, request).await)
    }

    fn refused(&self, refusal: Refusal) {
        self.0.doctor.refused(&refusal);
    }
}

impl Intake {
    async fn store(&self, records: usize, request: impl Export) -> Accepted {
        let store = move |lens: &Lens| store(lens, records, &request);
        if records > LARGE {
            state::insert(&self.0, store).await
        } else {
            store(&self.0)
        }
    }
}

fn store<R: Export>(lens: &Lens, records: usize, request: &R) -> Accepted {
    let Some(archive) = &lens.archive else {
        return request.insert(lens, None);
    };
    let records = records as u64;
    match archive.defer(R::SIGNAL, records, request.encode_to_vec()) {
        Ok(()) => Accepted::default(),
        Err(message) => {
            let accepted = request.insert(lens, None);
            archive.append(R::SIGNAL, records, &message);
            accepted
        }
    }
}
