//! A client of OTLP over HTTP, and what it expects of the answers.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use prost::Message as _;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tonic_types::{RpcStatusExt as _, pb};

use crate::{
    answer::{self, Partial, text},
    sample::Signal,
};

/// Time for an interim answer, after which a client sends its body anyway.
const CONTINUE_WAIT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// A client with connections of its own.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The content of a `google.rpc.Status`.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) message: String,
    /// Whether its details have a `google.rpc.BadRequest`.
    pub(crate) bad_request: bool,
}

impl Encoding {
    pub(crate) const ALL: [Self; 2] = [Self::Protobuf, Self::Json];

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    /// A request with one record.
    pub(crate) fn request(self, signal: Signal) -> Vec<u8> {
        match self {
            Self::Protobuf => signal.protobuf(),
            Self::Json => signal.json().to_string().into_bytes(),
        }
    }
}

impl Http {
    pub(crate) fn new(base: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// A client that begins each connection with HTTP/2, without an upgrade.
    pub(crate) fn http2(base: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new())
                .http2_only(true)
                .build_http(),
            base: base.trim_end_matches('/').to_owned(),
        }
    }

    /// Sends a request of a signal, without compression.
    pub(crate) async fn post(
        &self,
        signal: Signal,
        encoding: Encoding,
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let content_type = (header::CONTENT_TYPE, encoding.content_type());
        self.send(Method::POST, signal.path(), &[content_type], body)
            .await
    }

    /// Sends a request of a signal with a `Content-Encoding`.
    pub(crate) async fn post_encoded(
        &self,
        signal: Signal,
        encoding: Encoding,
        content_encoding: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let headers = [
            (header::CONTENT_TYPE, encoding.content_type()),
            (header::CONTENT_ENCODING, content_encoding),
        ];
        self.send(Method::POST, signal.path(), &headers, body).await
    }

    /// Sends any request.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(header::HeaderName, &str)],
        body: Vec<u8>,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        let answer = self.client.request(request).await.context("no answer")?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.context("the answer breaks off")?;
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }

    /// Sends a request for traces in HTTP/1.1 with a body in chunks, and returns the status.
    pub(crate) async fn chunked(&self, body: &[u8]) -> anyhow::Result<StatusCode> {
        let mut connection = self.connect().await?;
        let head = self.head(&[(header::TRANSFER_ENCODING, "chunked")]);
        connection.write_all(head.as_bytes()).await?;
        for chunk in body.chunks(16) {
            let length = format!("{:x}\r\n", chunk.len());
            connection.write_all(length.as_bytes()).await?;
            connection.write_all(chunk).await?;
            connection.write_all(b"\r\n").await?;
        }
        connection.write_all(b"0\r\n\r\n").await?;
        status(&read_head(&mut connection).await?)
    }

    /// Sends a request for traces in HTTP/1.1 that waits for the interim answer 100 before it sends
    /// the body. Returns whether that came, and the status of the final answer.
    pub(crate) async fn expecting(&self, body: &[u8]) -> anyhow::Result<(bool, StatusCode)> {
        let mut connection = self.connect().await?;
        let length = body.len().to_string();
        let head = self.head(&[
            (header::EXPECT, "100-continue"),
            (header::CONTENT_LENGTH, &length),
        ]);
        connection.write_all(head.as_bytes()).await?;
        let interim = timeout(CONTINUE_WAIT, read_head(&mut connection)).await;
        let continues = match interim {
            Ok(interim) => match status(&interim?)? {
                StatusCode::CONTINUE => true,
                refusal => return Ok((false, refusal)),
            },
            Err(_) => false,
        };
        connection.write_all(body).await?;
        Ok((continues, status(&read_head(&mut connection).await?)?))
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let authority = self.authority();
        let address = if authority.contains(':') {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        TcpStream::connect(&address)
            .await
            .with_context(|| format!("cannot connect to {address}"))
    }

    fn head(&self, headers: &[(header::HeaderName, &str)]) -> String {
        let path = Signal::Traces.path();
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {}\r\n", self.authority());
        head.push_str("content-type: application/x-protobuf\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.extend([name.as_str(), ": ", value, "\r\n"]);
        }
        head + "\r\n"
    }

    fn authority(&self) -> &str {
        self.base.strip_prefix("http://").unwrap_or(&self.base)
    }
}

impl Answer {
    /// Requires a success in this encoding.
    pub(crate) fn success(
        &self,
        signal: Signal,
        encoding: Encoding,
    ) -> anyhow::Result<Option<Partial>> {
        ensure!(self.status == StatusCode::OK, "{}", self.summary());
        self.is(encoding)?;
        match encoding {
            Encoding::Protobuf => answer::from_protobuf(&self.body),
            Encoding::Json => answer::from_json(signal, &self.body),
        }
    }

    /// Requires a success in this encoding, without rejections.
    pub(crate) fn accepted(&self, signal: Signal, encoding: Encoding) -> anyhow::Result<()> {
        answer::accepted(self.success(signal, encoding)?)
    }

    /// Requires one of these statuses.
    pub(crate) fn has(&self, statuses: &[StatusCode]) -> anyhow::Result<()> {
        ensure!(statuses.contains(&self.status), "{}", self.summary());
        Ok(())
    }

    /// Requires this status and a `google.rpc.Status` in this encoding.
    pub(crate) fn refused(
        &self,
        status: StatusCode,
        encoding: Encoding,
    ) -> anyhow::Result<Problem> {
        self.has(&[status])?;
        self.problem(encoding)
    }

    /// Requires a `google.rpc.Status` in this encoding.
    pub(crate) fn problem(&self, encoding: Encoding) -> anyhow::Result<Problem> {
        let status = self.status.as_u16();
        self.is(encoding)?;
        let not_status = || format!("{status} without a Status: {}", text(&self.body));
        let problem = match encoding {
            Encoding::Protobuf => {
                let status = pb::Status::decode(&*self.body).with_context(not_status)?;
                Problem {
                    bad_request: status.get_details_bad_request().is_some(),
                    message: status.message,
                }
            }
            Encoding::Json => {
                let status: Value = serde_json::from_slice(&self.body).with_context(not_status)?;
                ensure!(status.is_object(), not_status());
                let details = status["details"].as_array();
                let bad_request = "type.googleapis.com/google.rpc.BadRequest";
                Problem {
                    bad_request: details
                        .is_some_and(|all| all.iter().any(|one| one["@type"] == bad_request)),
                    message: status["message"].as_str().unwrap_or_default().to_owned(),
                }
            }
        };
        ensure!(
            !problem.message.is_empty() || problem.bad_request,
            "{status} with a Status that describes no problem"
        );
        Ok(problem)
    }

    /// Requires a `google.rpc.Status` in any encoding of OTLP.
    pub(crate) fn any_problem(&self) -> anyhow::Result<Problem> {
        match self.media_type() {
            "application/json" => self.problem(Encoding::Json),
            "application/x-protobuf" => self.problem(Encoding::Protobuf),
            other => bail!("{} has the content type \"{other}\"", self.summary()),
        }
    }

    /// The status and the beginning of the body.
    pub(crate) fn summary(&self) -> String {
        let message = match self.media_type() {
            "application/json" => self.problem(Encoding::Json),
            "application/x-protobuf" => self.problem(Encoding::Protobuf),
            _ => Err(anyhow::anyhow!("no Status")),
        };
        match message {
            Ok(Problem { message, .. }) => format!("answer {}: {message}", self.status.as_u16()),
            Err(_) => format!("answer {}: {}", self.status.as_u16(), text(&self.body)),
        }
    }

    fn is(&self, encoding: Encoding) -> anyhow::Result<()> {
        let found = self.media_type();
        ensure!(
            found.eq_ignore_ascii_case(encoding.content_type()),
            "the answer {} to {} has the content type \"{found}\"",
            self.status.as_u16(),
            encoding.content_type()
        );
        Ok(())
    }

    /// The content type without its parameters.
    fn media_type(&self) -> &str {
        let value = self.headers.get(header::CONTENT_TYPE);
        let value = value.and_then(|value| value.to_str().ok());
        let essence = value.and_then(|value| value.split(';').next());
        essence.unwrap_or_default().trim()
    }
}

/// Reads up to the end of a head, without the body behind it.
async fn read_head(connection: &mut TcpStream) -> anyhow::Result<String> {
    const LIMIT: usize = 64 * 1024;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < LIMIT, "the head of the answer is too long");
        let byte = connection.read_u8().await;
        head.push(byte.context("the connection closed without an answer")?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn status(head: &str) -> anyhow::Result<StatusCode> {
    let code = head.split(' ').nth(1).context("no status line")?;
    Ok(StatusCode::from_bytes(code.as_bytes())?)
}
