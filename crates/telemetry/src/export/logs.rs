//! Log records: cut, let in or dropped, batched, sent.

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

/// Stands before the batch processor.
#[derive(Debug)]
pub(crate) struct Processor<P> {
    pub(crate) inner: P,
    pub(crate) flow: Flow,
    pub(crate) limits: AttributeLimits,
}

/// Stands behind it, and sends log records by the exporter of `opentelemetry-otlp`.
///
/// That exporter reads variables of the environment by itself, and headers of the environment win
/// over its own. So each setting is given to it, or replaces what it has put into a request. One
/// setting can do neither: no compression over gRPC. There a variable with `gzip` wins.
///
/// The exporter does not return how many records the collector rejects. Over HTTP the
/// response tells, and they are counted. Over gRPC they count as exported.
#[derive(Debug)]
pub(crate) struct Exporter {
    inner: Arc<opentelemetry_otlp::LogExporter>,
    response: LastResponse,
    /// For all attempts: the exporter does not end an attempt that is under way.
    timeout: Duration,
    flow: Flow,
    /// Where the connection lives: the processor has a thread of its own.
    runtime: Handle,
}

/// The body of the last response over HTTP, or why there was none; over gRPC, why there was no connection. The exporter
/// keeps all of that to itself.
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
                // A call that is dropped leaves its attempt to connect to the next call. If that
                // has a time limit of its own, the next call finds an error that it retries.
                let failure = Arc::clone(&response);
                let connect = service_fn(move |uri| {
                    let connecting = connector.clone().oneshot(uri);
                    let failure = Arc::clone(&failure);
                    async move {
                        let connected = timeout(limit, connecting).await?;
                        // The exporter reports that it could not send, without the cause.
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
                        // In place of those that the exporter has read from the environment.
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
        // Of the exporter's request only the body is used: URL and headers are those of the settings.
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
        // Copies, for a task of the runtime: on another thread timers panic when the runtime has ended.
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
        // No task holds the exporter between exports.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
