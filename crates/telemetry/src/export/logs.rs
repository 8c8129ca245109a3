//! Export of log records: truncate, queue or drop, batch, send.

use std::{mem, time::Duration};

use bytes::Bytes;
use opentelemetry::{InstrumentationScope, logs::Severity};
use opentelemetry_proto::{
    tonic::{
        collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
        logs::v1::ResourceLogs,
    },
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

use super::{AttributeLimits, Flow, Sender, sender::Encoded, services};
use crate::service::Service;

/// Truncates records, marks them with their service and accounts for them, in front of the batch processor.
#[derive(Debug)]
pub(crate) struct Processor<P> {
    pub(crate) inner: P,
    pub(crate) flow: Flow,
    pub(crate) limits: AttributeLimits,
}

/// Sends the batches of the batch processor.
#[derive(Debug)]
pub(crate) struct Exporter {
    sender: Sender,
    /// The resource of the process.
    resource: Resource,
    flow: Flow,
    /// The runtime of the connection: the processor runs on a thread of its own.
    runtime: Handle,
}

impl Exporter {
    /// Must be called on a tokio runtime.
    pub(crate) fn new(sender: Sender, flow: Flow) -> Self {
        Self {
            sender,
            resource: Resource::builder_empty().build(),
            flow,
            runtime: Handle::current(),
        }
    }
}

impl<P: LogProcessor> LogProcessor for Processor<P> {
    fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
        if !self.flow.enter() {
            return;
        }
        self.limits.record(record);
        match Service::current().mark() {
            None => self.inner.emit(record, scope),
            Some(mark) => {
                let attributes = scope.attributes().cloned().chain([mark]);
                let scope = InstrumentationScope::builder(scope.name().to_owned())
                    .with_attributes(attributes)
                    .build();
                self.inner.emit(record, &scope);
            }
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
        let message = Encoded::from(&message(&batch, &self.resource));
        let sender = self.sender.clone();
        // A task of the runtime sends. On another thread, timers would panic once the runtime has ended.
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
        self.resource = resource.clone();
    }
}

/// A message with one resource for each service.
fn message(batch: &LogBatch<'_>, process: &Resource) -> ExportLogsServiceRequest {
    let process = ResourceAttributesWithSchema::from(process);
    let mut message = ExportLogsServiceRequest::default();
    for mut process in group_logs_by_resource_and_scope(batch, &process) {
        let scopes = mem::take(&mut process.scope_logs);
        for (service, scope_logs) in services::group(scopes, |scope| scope.scope.as_mut()) {
            let mut resource = process.resource.clone().unwrap_or_default();
            services::rename(&mut resource.attributes, service.as_deref());
            message.resource_logs.push(ResourceLogs {
                resource: Some(resource),
                scope_logs,
                schema_url: process.schema_url.clone(),
            });
        }
    }
    message
}

/// The number of log records that the collector rejected, by its response.
fn rejected(answer: &Bytes) -> usize {
    let partial = ExportLogsServiceResponse::decode(&**answer)
        .ok()
        .and_then(|answer| answer.partial_success);
    partial.map_or(0, |partial| {
        usize::try_from(partial.rejected_log_records).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _};
    use opentelemetry_sdk::logs::SdkLoggerProvider;

    use super::*;
    use crate::export::{
        Outage, Route,
        services::tests::{process, service},
    };

    /// Keeps the records, as the batch processor does.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<(SdkLogRecord, InstrumentationScope)>>>);

    impl LogProcessor for Kept {
        fn emit(&self, record: &mut SdkLogRecord, scope: &InstrumentationScope) {
            self.0.lock().unwrap().push((record.clone(), scope.clone()));
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }
    }

    #[test]
    fn a_message_has_a_resource_for_each_service() {
        let kept = Kept::default();
        let route = Route {
            signal: "logs",
            endpoint: String::new(),
            outage: Outage::default(),
        };
        let exported = &crate::metrics::OTEL_SDK_EXPORTER_LOG_EXPORTED;
        let loggers = SdkLoggerProvider::builder()
            .with_log_processor(Processor {
                inner: kept.clone(),
                flow: Flow::unqueued(route, (exported, "test")),
                limits: AttributeLimits::new(10),
            })
            .build();
        let logger = loggers.logger("scope");
        let log = |target: &'static str| {
            let mut record = logger.create_log_record();
            record.set_target(target);
            logger.emit(record);
        };
        log("a");
        for name in ["user", "auth", "user"] {
            let _scope = Service::named(name).enter();
            log("b");
        }

        let kept = kept.0.lock().unwrap();
        let batch: Vec<_> = kept.iter().map(|(record, scope)| (record, scope)).collect();
        let message = message(&LogBatch::new(&batch), &process());
        let mut found = Vec::new();
        for resource in &message.resource_logs {
            let service = service(resource.resource.as_ref());
            for logs in &resource.scope_logs {
                let scope = logs.scope.as_ref().unwrap();
                assert!(scope.attributes.is_empty(), "{scope:?}");
                found.push((service, &*scope.name, logs.log_records.len()));
            }
        }
        found.sort_unstable();
        assert_eq!(
            found,
            [("auth", "b", 1), ("process", "a", 1), ("user", "b", 2)]
        );
        assert_eq!(message.resource_logs.len(), 3);
    }
}
