//! A client of OTLP over gRPC that sends any frame, and what it expects of the answers.

use anyhow::{Context as _, bail, ensure};
use bytes::{BufMut as _, Bytes};
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{
    answer::{self, Partial},
    sample::Signal,
};

/// A client with a connection of its own.
#[derive(Debug)]
pub(crate) struct Grpc {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// An answer over gRPC.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    body: Bytes,
}

impl Grpc {
    pub(crate) fn new(base: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .http2_only(true)
                .build_http(),
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// Sends a message without compression.
    pub(crate) async fn export(&self, signal: Signal, message: &[u8]) -> anyhow::Result<Answer> {
        self.send(signal.method(), None, frame(false, message))
            .await
    }

    /// Sends a message that says to be compressed with gzip.
    pub(crate) async fn export_gzip(
        &self,
        signal: Signal,
        compressed: &[u8],
    ) -> anyhow::Result<Answer> {
        self.send(signal.method(), Some("gzip"), frame(true, compressed))
            .await
    }

    /// Sends any body to any method.
    pub(crate) async fn send(
        &self,
        method: &str,
        encoding: Option<&str>,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::post(format!("{}{method}", self.base))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers");
        if let Some(encoding) = encoding {
            request = request.header("grpc-encoding", encoding);
        }
        let request = request.body(Full::new(body))?;
        let answer = self.client.request(request).await.context("no answer")?;
        let (parts, body) = answer.into_parts();
        ensure!(
            parts.status.is_success(),
            "HTTP status {} instead of a gRPC answer",
            parts.status.as_u16()
        );
        // An error without a message has its status in the headers.
        if let Some(status) = Status::from_header_map(&parts.headers) {
            let body = Bytes::new();
            return Ok(Answer { status, body });
        }
        let body = body.collect().await.context("the answer breaks off")?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(Answer {
            status: Status::from_header_map(&trailers).context("an answer without grpc-status")?,
            body: body.to_bytes(),
        })
    }
}

impl Answer {
    /// Requires a success.
    pub(crate) fn success(&self) -> anyhow::Result<Option<Partial>> {
        ensure!(self.status.code() == Code::Ok, "{}", self.summary());
        match &*self.body {
            [0, a, b, c, d, message @ ..]
                if u32::from_be_bytes([*a, *b, *c, *d]) as usize == message.len() =>
            {
                answer::from_protobuf(message)
            }
            other => bail!("no single plain message: {}", answer::text(other)),
        }
    }

    /// Requires a success without rejections.
    pub(crate) fn accepted(&self) -> anyhow::Result<()> {
        answer::accepted(self.success()?)
    }

    /// Requires an error that a client does not retry.
    pub(crate) fn refused_for_good(&self) -> anyhow::Result<()> {
        match self.status.code() {
            Code::Ok => bail!("accepted"),
            Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss => bail!("clients retry {}", self.summary()),
            Code::ResourceExhausted if self.has_retry_info() => {
                bail!("clients retry {} with RetryInfo", self.summary())
            }
            _ => Ok(()),
        }
    }

    /// Requires this error.
    pub(crate) fn refused(&self, code: Code) -> anyhow::Result<()> {
        ensure!(self.status.code() == code, "{}", self.summary());
        Ok(())
    }

    /// Whether the details have a `google.rpc.BadRequest`.
    pub(crate) fn has_bad_request(&self) -> bool {
        self.status.get_details_bad_request().is_some()
    }

    fn has_retry_info(&self) -> bool {
        self.status.get_details_retry_info().is_some()
    }

    fn summary(&self) -> String {
        format!("{:?}: {}", self.status.code(), self.status.message())
    }
}

/// A message in the framing of gRPC.
pub(crate) fn frame(compressed: bool, message: &[u8]) -> Bytes {
    let mut frame = Vec::with_capacity(message.len() + 5);
    frame.put_u8(u8::from(compressed));
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(message);
    frame.into()
}
