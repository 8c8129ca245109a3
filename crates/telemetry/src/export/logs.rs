//! Export of log records: truncate, queue or drop, batch, send.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry::{InstrumentationScope, logs::Severity};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    logs::{LogBatch, LogExporter, LogProcessor, SdkLogRecord},
};
use prost::Message as _;
use tokio::{runtime::Handle, time::timeout};
use tonic::{metadata::MetadataMap, transport::Endpoint};
use tower::{ServiceExt as _, service_fn};

use super::{
    AttributeLimits, Flow, Sender,
    sender::{Encoded, cause, connector},
    tls::{self, BadSetting},
};
use crate::settings::{Compression, Export, Protocol};

/// Truncates records and accounts for them, in front of the batch processor.
#[derive(Debug)]
pub(crate) struct Processor<P> {
    pub(crate) inner: P,
    pub(crate) flow: Flow,
    pub(crate) limits: AttributeLimits,
}

/// Sends the batches of the batch processor by the exporter of `opentelemetry-otlp`.
///
/// That exporter reads environment variables by itself, and prefers headers of the environment to
/// its own. So each setting is passed to it, or replaces what it has put into a request. One
/// setting can do neither: with the option `none` for compression over gRPC, a variable with `gzip`
/// still applies.
///
/// The exporter does not return how many records the collector rejects. Over HTTP they are counted
/// from the response. Over gRPC they count as exported.
#[derive(Debug)]
pub(crate) struct Exporter {
    inner: Arc<opentelemetry_otlp::LogExporter>,
    response: LastResponse,
    /// Limit for all attempts together: the exporter does not end an attempt that is under way.
    timeout: Duration,
    flow: Flow,
    /// The runtime of the connection: the processor runs on a thread of its own.
    runtime: Handle,
}

/// The body of the last response over HTTP, or the reason why there was none. Over gRPC, the reason why there was no
/// connection. The exporter returns none of these.
type LastResponse = Arc<Mutex<Option<Result<Bytes, String>>>>;

/// Sends the exporter's messages over HTTP.
#[derive(Debug)]
struct Http {
    sender: Sender,
    response: LastResponse,
}

impl Exporter {
    /// Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When a certificate or a key cannot be used.
    pub(crate) fn new(export: &Export, flow: Flow) -> Result<Self, BadSetting> {
        let response = LastResponse::default();
        let builder = opentelemetry_otlp::LogExporter::builder();
        let inner = match export.protocol {
            Protocol::Grpc => {
                let (connector, limit) = (connector(export)?, export.timeout);
                // A dropped call leaves its connection attempt to the next call. With a time limit
                // of its own, the attempt fails, and the next call retries.
                let failure = Arc::clone(&response);
                let connect = service_fn(move |uri| {
                    let connecting = connector.clone().oneshot(uri);
                    let failure = Arc::clone(&failure);
                    async move {
                        let connected = timeout(limit, connecting).await?;
                        // The exporter's error lacks the cause.
                        connected.inspect_err(|error| {
                            *lock(&failure) = Some(Err(cause(error.as_ref())));
                        })
                    }
                });
                let channel = Endpoint::from(export.endpoint.uri().clone())
                    .connect_with_connector_lazy(connect);
                let headers = MetadataMap::from_headers(export.headers.map());
                let builder = builder
                    .with_tonic()
                    .with_channel(channel)
                    .with_timeout(export.timeout)
                    .with_interceptor(move |mut request: tonic::Request<()>| {
                        // Replaces the headers that the exporter has read from the environment.
                        request.metadata_mut().clone_from(&headers);
                        Ok(request)
                    });
                match export.compression {
                    Compression::None => builder,
                    Compression::Gzip => {
                        builder.with_compression(opentelemetry_otlp::Compression::Gzip)
                    }
                }
                .build()
            }
            Protocol::Http => builder
                .with_http()
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .with_endpoint(export.endpoint.uri().to_string())
                .with_timeout(export.timeout)
                .with_http_client(Http {
                    sender: Sender::new(export)?,
                    response: Arc::clone(&response),
                })
                .build(),
        };
        Ok(Self {
            inner: Arc::new(inner.map_err(|error| tls::bad(export.variable, &error))?),
            response,
            timeout: export.timeout,
            flow,
            runtime: Handle::current(),
        })
    }
}

#[async_trait]
impl HttpClient for Http {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        self.sender.wait().await;
        // Only the body of the exporter's request is used. URL and headers come from the settings.
        let message = Encoded {
            head: Bytes::new(),
            body: request.into_body(),
        };
        let response = self.sender.exchange(&message).await;
        if let Ok(response) = &response
            && !response.status().is_success()
        {
            self.sender.rejected(response.status(), response.headers());
        }
        let last = response.as_ref().map(|response| response.body().clone());
        *lock(&self.response) = Some(last.map_err(Clone::clone));
        Ok(response?)
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
        // The records are copied for a task of the runtime. On another thread, timers would panic once the runtime
        // has ended.
        let records: Vec<_> = batch
            .iter()
            .map(|(record, scope)| (record.clone(), scope.clone()))
            .collect();
        let count = records.len();
        let (inner, limit) = (Arc::clone(&self.inner), self.timeout);
        let sending = self.runtime.spawn(async move {
            let batch: Vec<_> = records
                .iter()
                .map(|(record, scope)| (record, scope))
                .collect();
            let export = inner.export(LogBatch::new(&batch));
            timeout(limit, export)
                .await
                .unwrap_or(Err(OTelSdkError::Timeout(limit)))
        });
        let outcome = sending
            .await
            .unwrap_or_else(|error| Err(OTelSdkError::InternalFailure(error.to_string())));
        let (outcome, rejected) = match (outcome, lock(&self.response).take()) {
            (Ok(()), Some(Ok(response))) => (Ok(()), rejected(&response)),
            (Ok(()), _) => (Ok(()), 0),
            (Err(OTelSdkError::InternalFailure(_)), Some(Err(reason))) => {
                (Err(OTelSdkError::InternalFailure(reason)), count)
            }
            (Err(error), _) => (Err(error), count),
        };
        self.flow.leave(count, rejected, outcome.as_ref().err());
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // No task holds the exporter between exports, so this is the only reference.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}

/// The number of log records that the collector rejected, by its response.
fn rejected(answer: &[u8]) -> usize {
    let partial = ExportLogsServiceResponse::decode(answer)
        .ok()
        .and_then(|answer| answer.partial_success);
    partial.map_or(0, |partial| {
        usize::try_from(partial.rejected_log_records).unwrap_or(0)
    })
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
