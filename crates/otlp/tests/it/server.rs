//! A receiver with a sink that the tests control, and HTTP by hand.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest,
        metrics::v1::ExportMetricsServiceRequest,
        trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    },
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use otlp::{Accepted, Busy, Limits, Receiver, Refusal, Sink};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tonic::transport::Channel;

#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// Ids of the stored spans.
    pub(crate) spans: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Number of spans that came at once, at most.
    pub(crate) most: Arc<Mutex<usize>>,
    pub(crate) refusals: Arc<Mutex<Vec<Refusal>>>,
    pub(crate) answer: Arc<Mutex<Result<Accepted, Busy>>>,
    /// Requests wait while this is true.
    pub(crate) hold: watch::Sender<bool>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            spans: Arc::default(),
            most: Arc::default(),
            refusals: Arc::default(),
            answer: Arc::new(Mutex::new(Ok(Accepted::default()))),
            hold: watch::Sender::new(false),
        }
    }
}

impl Memory {
    async fn answer(&self) -> Result<Accepted, Busy> {
        let _ = self.hold.subscribe().wait_for(|hold| !hold).await;
        self.answer.lock().unwrap().clone()
    }
}

impl Sink for Memory {
    async fn traces(&self, request: ExportTraceServiceRequest) -> Result<Accepted, Busy> {
        let answer = self.answer().await?;
        let spans = request
            .resource_spans
            .into_iter()
            .flat_map(|group| group.scope_spans)
            .flat_map(|scope| scope.spans);
        let mut stored = self.spans.lock().unwrap();
        let before = stored.len();
        stored.extend(spans.map(|span| span.span_id));
        let mut most = self.most.lock().unwrap();
        *most = (*most).max(stored.len() - before);
        Ok(answer)
    }

    async fn metrics(&self, _: ExportMetricsServiceRequest) -> Result<Accepted, Busy> {
        self.answer().await
    }

    async fn logs(&self, _: ExportLogsServiceRequest) -> Result<Accepted, Busy> {
        self.answer().await
    }

    fn refused(&self, refusal: Refusal) {
        self.refusals.lock().unwrap().push(refusal);
    }
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) sink: Memory,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) done: JoinHandle<()>,
}

pub(crate) async fn start(limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sink = Memory::default();
    let routes = Receiver::new(sink.clone(), limits).routes();
    let (stop, stopped) = oneshot::channel();
    let serve = axum::serve(listener, routes).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let done = tokio::spawn(async { serve.await.unwrap() });
    Server {
        address,
        sink,
        stop,
        done,
    }
}

impl Server {
    pub(crate) async fn grpc(&self) -> TraceServiceClient<Channel> {
        TraceServiceClient::connect(format!("http://{}", self.address))
            .await
            .unwrap()
    }

    /// Posts a body to `/v1/traces`, and returns the whole response.
    pub(crate) async fn post(&self, headers: &[&str], body: &[u8]) -> Response {
        self.send("POST", "/v1/traces", headers, body).await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Response {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        write!(head, "content-length: {}\r\n\r\n", body.len()).unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let split = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let body = bytes.split_off(split + 4);
        Response {
            head: String::from_utf8(bytes).unwrap().to_lowercase(),
            body,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Response {
    /// The status line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// A request of these spans, each with a trace id and a span id.
pub(crate) fn spans(
    ids: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
) -> ExportTraceServiceRequest {
    let spans = ids.into_iter().map(|(trace_id, span_id)| Span {
        trace_id,
        span_id,
        name: "test".to_owned(),
        ..Span::default()
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

/// A request of one valid span.
pub(crate) fn span(id: u8) -> ExportTraceServiceRequest {
    spans([(vec![1; 16], vec![id; 8])])
}

/// A valid request of exactly this many bytes in protobuf.
pub(crate) fn sized(bytes: usize) -> ExportTraceServiceRequest {
    use prost::Message as _;
    let mut request = span(9);
    let mut name = bytes - request.encoded_len();
    loop {
        request.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(name);
        match request.encoded_len() {
            size if size > bytes => name -= size - bytes,
            size if size < bytes => name += bytes - size,
            _ => return request,
        }
    }
}
