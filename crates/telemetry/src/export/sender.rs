//! OTLP client for encoded messages, over gRPC or HTTP.

use std::{
    error::Error,
    fmt,
    io::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use backon::{ExponentialBuilder, Retryable as _};
use bytes::{Buf as _, BufMut as _, Bytes};
use flate2::{Compression as Level, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_sdk::error::OTelSdkError;
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{
    Code, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};
use tonic_types::StatusExt as _;
use tower::util::MapErr;

use super::tls::{self, BadSetting};
use crate::settings::{Compression, Export, Protocol};

/// Maximum number of bytes that are read of a response.
const ANSWER: usize = 1 << 20;

/// The longest pause that a collector can ask for.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// An encoded message in pieces, so that large ones are not copied.
#[derive(Clone, Debug)]
pub(crate) struct Encoded(pub(crate) Vec<Bytes>);

impl<M: prost::Message> From<&M> for Encoded {
    fn from(message: &M) -> Self {
        Self(vec![message.encode_to_vec().into()])
    }
}

/// A client for the messages of one signal.
#[derive(Clone)]
pub(crate) struct Sender {
    client: Client<HttpsConnector<HttpConnector>, Body>,
    protocol: Protocol,
    uri: Uri,
    method: PathAndQuery,
    headers: HeaderMap,
    compression: Compression,
    timeout: Duration,
    /// The end of the pause that the collector has asked for.
    pause: Arc<Mutex<Option<Instant>>>,
}

/// Why an attempt failed, and whether a retry may help.
#[derive(Debug)]
struct Failure {
    reason: String,
    may_help: bool,
}

/// The connector for the endpoint of a signal, with TLS if the endpoint has `https`.
///
/// # Errors
/// When a certificate or a key cannot be used.
fn connector(export: &Export) -> Result<HttpsConnector<HttpConnector>, BadSetting> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls::config(export)?);
    // With https, nothing is ever sent unencrypted.
    let builder = if export.endpoint.is_https() {
        builder.https_only()
    } else {
        builder.https_or_http()
    };
    Ok(match export.protocol {
        Protocol::Grpc => builder.enable_http2().wrap_connector(tcp),
        Protocol::Http => builder.enable_http1().wrap_connector(tcp),
    })
}

impl Sender {
    /// A sender that connects when it sends its first message.
    ///
    /// Must be called on a tokio runtime, which runs the connection.
    ///
    /// # Errors
    /// When a certificate or a key cannot be used.
    pub(crate) fn new(export: &Export) -> Result<Self, BadSetting> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .http2_only(export.protocol == Protocol::Grpc)
            .build(connector(export)?);
        Ok(Self {
            client,
            protocol: export.protocol,
            uri: export.endpoint.uri().clone(),
            method: PathAndQuery::from_static(export.method),
            headers: export.headers.map(),
            compression: export.compression,
            timeout: export.timeout,
            pause: Arc::default(),
        })
    }

    /// Sends a message without retries, and returns the encoded response.
    pub(crate) async fn send(&self, message: Encoded) -> Result<Bytes, OTelSdkError> {
        self.in_time(self.attempt(message)).await
    }

    /// Sends a message, with retries if they may help. The timeout limits all attempts together. If it is over
    /// after a failed attempt, the error has the reason of that attempt.
    pub(crate) async fn send_again(&self, message: Encoded) -> Result<Bytes, OTelSdkError> {
        let mut last = None;
        let attempts = (|| self.attempt(message.clone()))
            .retry(ExponentialBuilder::default().with_jitter())
            .when(|failure| failure.may_help)
            .notify(|failure, _| last = Some(failure.reason.clone()));
        match (self.in_time(attempts).await, last) {
            (Err(OTelSdkError::Timeout(_)), Some(reason)) => {
                Err(OTelSdkError::InternalFailure(reason))
            }
            (outcome, _) => outcome,
        }
    }

    async fn in_time(
        &self,
        attempts: impl Future<Output = Result<Bytes, Failure>>,
    ) -> Result<Bytes, OTelSdkError> {
        match timeout(self.timeout, attempts).await {
            Ok(outcome) => outcome.map_err(|failure| OTelSdkError::InternalFailure(failure.reason)),
            Err(_) => Err(OTelSdkError::Timeout(self.timeout)),
        }
    }

    async fn attempt(&self, message: Encoded) -> Result<Bytes, Failure> {
        self.wait().await;
        match self.protocol {
            Protocol::Grpc => self.call(message).await,
            Protocol::Http => self.post(message).await,
        }
    }

    async fn call(&self, message: Encoded) -> Result<Bytes, Failure> {
        let service = MapErr::new(self.client.clone(), |error| {
            Status::unavailable(cause(&error))
        });
        // Servers in Go compress the response as the request was compressed.
        let mut client = Grpc::with_origin(service, self.uri.clone())
            .accept_compressed(CompressionEncoding::Gzip);
        if self.compression == Compression::Gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        let mut request = tonic::Request::new(message);
        *request.metadata_mut() = MetadataMap::from_headers(self.headers.clone());
        let answer = client.unary(request, self.method.clone(), AsItIs).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| self.refused(&status))
    }

    /// Classifies a status by the OTLP specification ("Failures", OTLP/gRPC).
    fn refused(&self, status: &Status) -> Failure {
        let retry = status.get_details_retry_info();
        let may_help = match status.code() {
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => true,
            Code::ResourceExhausted => retry.is_some(),
            _ => false,
        };
        if let Some(delay) = retry.and_then(|retry| retry.retry_delay)
            && may_help
        {
            self.leave_alone(delay);
        }
        Failure {
            reason: format!("{:?}: {}", status.code(), status.message()),
            may_help,
        }
    }

    async fn post(&self, message: Encoded) -> Result<Bytes, Failure> {
        let answer = self.exchange(&message).await.map_err(|reason| Failure {
            reason,
            may_help: true,
        })?;
        if !answer.status().is_success() {
            return Err(self.rejected(answer.status(), answer.headers()));
        }
        Ok(answer.into_body())
    }

    /// Sends a message in an HTTP request, and returns the response, whatever its status. The body
    /// of a failure is not read.
    async fn exchange(&self, message: &Encoded) -> Result<Response<Bytes>, String> {
        let mut request = Request::post(self.uri.clone());
        if let Some(headers) = request.headers_mut() {
            headers.clone_from(&self.headers);
            let protobuf = HeaderValue::from_static("application/x-protobuf");
            headers.insert(CONTENT_TYPE, protobuf);
            if self.compression == Compression::Gzip {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        let body = match self.compression {
            Compression::None => message.0.concat(),
            Compression::Gzip => {
                gzip(message).map_err(|error| format!("cannot compress: {error}"))?
            }
        };
        let request = request
            .body(Body::new(Full::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = self
            .client
            .request(request)
            .await
            .map_err(|error| cause(&error))?;
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return Ok(Response::from_parts(head, Bytes::new()));
        }
        let body = Limited::new(body, ANSWER).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// Classifies a status by the OTLP specification ("Failures", OTLP/HTTP).
    fn rejected(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        let may_help = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
        );
        if let Some(delay) = headers.get(RETRY_AFTER).and_then(retry_after)
            && may_help
        {
            self.leave_alone(delay);
        }
        Failure {
            reason: format!("HTTP status {status}"),
            may_help,
        }
    }

    /// Waits for the end of the pause that the collector has asked for.
    async fn wait(&self) {
        let pause = *self.pause();
        if let Some(end) = pause {
            sleep_until(end).await;
        }
    }

    fn leave_alone(&self, delay: Duration) {
        *self.pause() = Some(Instant::now() + delay.min(MAX_PAUSE));
    }

    fn pause(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and the URL may hold credentials.
        formatter
            .debug_struct("Sender")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// Parses a `Retry-After` header: seconds or a date.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(SystemTime::now()).ok()
}

fn gzip(message: &Encoded) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::default());
    for piece in &message.0 {
        encoder.write_all(piece)?;
    }
    encoder.finish()
}

/// The root cause of an error, such as a refused connection or a wrong certificate. The errors above it say only
/// that there was no connection.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A codec for messages that are encoded already.
#[derive(Clone, Copy, Debug)]
struct AsItIs;

impl Codec for AsItIs {
    type Encode = Encoded;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsItIs {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, message: Encoded, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(message.0.iter().map(Bytes::len).sum());
        for piece in message.0 {
            out.put(piece);
        }
        Ok(())
    }
}

impl Decoder for AsItIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, message: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(message.copy_to_bytes(message.remaining())))
    }
}

#[cfg(test)]
mod tests;
