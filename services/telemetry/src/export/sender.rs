//! OTLP over gRPC for messages that are encoded already.

use std::{fmt, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use opentelemetry_sdk::error::OTelSdkError;
use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};

/// An encoded message, in two pieces so that the large one need not be copied to get a head.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) head: Bytes,
    pub(crate) body: Bytes,
}

/// Sends the messages of one signal.
#[derive(Clone)]
pub(crate) struct Sender {
    channel: Channel,
    method: PathAndQuery,
    metadata: MetadataMap,
    timeout: Duration,
}

impl Sender {
    /// A sender that connects when it first has something to send.
    ///
    /// Must be called on a tokio runtime: the connection lives there.
    pub(crate) fn new(
        endpoint: &Endpoint,
        method: &'static str,
        metadata: MetadataMap,
        timeout: Duration,
    ) -> Self {
        Self {
            channel: endpoint.connect_lazy(),
            method: PathAndQuery::from_static(method),
            metadata,
            timeout,
        }
    }

    /// Sends a message once, and returns the encoded answer.
    pub(crate) async fn send(&self, message: Encoded) -> Result<Bytes, OTelSdkError> {
        match timeout(self.timeout, self.attempt(message)).await {
            Ok(outcome) => outcome.map_err(|status| error(&status)),
            Err(_) => Err(OTelSdkError::Timeout(self.timeout)),
        }
    }

    /// Sends a message, again if that may help; all attempts together have the time of one.
    pub(crate) async fn send_again(&self, message: Encoded) -> Result<Bytes, OTelSdkError> {
        let attempts = (|| self.attempt(message.clone()))
            .retry(ExponentialBuilder::default().with_jitter())
            .when(may_help);
        match timeout(self.timeout, attempts).await {
            Ok(outcome) => outcome.map_err(|status| error(&status)),
            Err(_) => Err(OTelSdkError::Timeout(self.timeout)),
        }
    }

    async fn attempt(&self, message: Encoded) -> Result<Bytes, Status> {
        let mut client = Grpc::new(self.channel.clone());
        client
            .ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut request = Request::new(message);
        *request.metadata_mut() = self.metadata.clone();
        let answer = client.unary(request, self.method.clone(), AsItIs).await?;
        Ok(answer.into_inner())
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The metadata may hold credentials.
        formatter
            .debug_struct("Sender")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// The codes that the OTLP specification ("Failures", OTLP/gRPC) calls retryable, but for
/// `RESOURCE_EXHAUSTED`, which is so only where the server says when.
fn may_help(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

fn error(status: &Status) -> OTelSdkError {
    OTelSdkError::InternalFailure(format!("{:?}: {}", status.code(), status.message()))
}

/// Passes messages on as they are.
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
        out.reserve(message.head.len() + message.body.len());
        out.put(message.head);
        out.put(message.body);
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
