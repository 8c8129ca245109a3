//! Log records: cut, let in or dropped, batched, sent.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry::{InstrumentationScope, logs::Severity};
use opentelemetry_proto::{
    tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    transform::{
        common::tonic::ResourceAttributesWithSchema, logs::tonic::group_logs_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord},
};
use prost::Message as _;
use tokio::runtime::Handle;

use super::{Flow, Limits, Sender, sender::Encoded};

/// Stands before the batch processor.
#[derive(Debug)]
pub(crate) struct Processor<P> {
    pub(crate) inner: P,
    pub(crate) flow: Flow,
    pub(crate) limits: Limits,
}

/// Stands behind it, and sends log records by OTLP.
#[derive(Debug)]
pub(crate) struct Exporter {
    sender: Sender,
    flow: Flow,
    resource: ResourceAttributesWithSchema,
    /// Where the connection lives: the processor has a thread of its own.
    runtime: Handle,
}

impl Exporter {
    /// Must be called on a tokio runtime.
    pub(crate) fn new(sender: Sender, flow: Flow) -> Self {
        Self {
            sender,
            flow,
            resource: ResourceAttributesWithSchema::default(),
            runtime: Handle::current(),
        }
    }
}

impl<P: LogProcessor> LogProcessor for Processor<P> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if self.flow.enter() {
            self.limits.record(record);
            self.inner.emit(record, scope);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn event_enabled(&self, level: Severity, target: &str, name: Option<&str>) -> bool {
        self.inner.event_enabled(level, target, name)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl LogExporter for Exporter {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let count = batch.iter().count();
        let message = ExportLogsServiceRequest {
            resource_logs: group_logs_by_resource_and_scope(&batch, &self.resource),
        };
        let message = Encoded {
            head: Bytes::new(),
            body: message.encode_to_vec().into(),
        };
        let sender = self.sender.clone();
        let sending = self
            .runtime
            .spawn(async move { sender.send_again(message).await });
        let outcome = sending
            .await
            .unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        let rejected = match &outcome {
            Ok(answer) => rejected(answer),
            Err(_) => count,
        };
        self.flow.leave(count, rejected, outcome.as_ref().err());
        outcome.map(drop)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

/// How many log records the collector says that it did not take.
fn rejected(answer: &[u8]) -> usize {
    let partial = ExportLogsServiceResponse::decode(answer)
        .ok()
        .and_then(|answer| answer.partial_success);
    partial.map_or(0, |partial| {
        usize::try_from(partial.rejected_log_records).unwrap_or(0)
    })
}
