//! A span and a duration of every RPC, on the server's and on the client's side.
//!
//! A call ends with its trailers, so that a streamed answer counts whole. Calls of the health
//! and reflection services are not observed: probes would drown what people do.

use std::{
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::{Context as TraceContext, KeyValue, context::FutureExt as _, trace::SpanKind};
use tonic::Code;
use tower::{Layer, Service};

use crate::{
    metrics::{self, Metric},
    names,
    outcomes::{Description, Outcomes},
    propagate,
    trace::Span,
};

/// Observes the calls that a server answers, and continues the caller's trace.
#[derive(Clone, Debug)]
pub struct ServerLayer(Observer);

/// Observes the calls that a client makes, and passes its trace on.
#[derive(Clone, Debug)]
pub struct ClientLayer(Observer);

/// What [`ServerLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct Server<S> {
    inner: S,
    observer: Observer,
}

/// What [`ClientLayer`] makes of a channel.
#[derive(Clone, Debug)]
pub struct Client<S> {
    inner: S,
    observer: Observer,
}

impl ServerLayer {
    /// A layer that knows these methods, each as `package.Service/Method`.
    ///
    /// Others are reported as [`names::OTHER`], so that a caller cannot make series.
    #[must_use]
    pub fn new(methods: &'static [&'static str]) -> Self {
        Self(Observer::new(
            methods,
            &metrics::RPC_SERVER_CALL_DURATION,
            Side::Server,
        ))
    }
}

impl ClientLayer {
    /// A layer that knows these methods, each as `package.Service/Method`.
    #[must_use]
    pub fn new(methods: &'static [&'static str]) -> Self {
        Self(Observer::new(
            methods,
            &metrics::RPC_CLIENT_CALL_DURATION,
            Side::Client,
        ))
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Server {
            inner,
            observer: self.0.clone(),
        }
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Client {
            inner,
            observer: self.0.clone(),
        }
    }
}

impl<S, Q, P> Service<Request<Q>> for Server<S>
where
    S: Service<Request<Q>, Response = Response<P>>,
    S::Future: Send + 'static,
    S::Error: Error + 'static,
    P: Body<Data = Bytes> + 'static,
{
    type Response = Response<Observed<P>>;
    type Error = S::Error;
    type Future = Observation<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let call = self.observer.start(request.uri().path(), || {
            propagate::headers::extract(request.headers())
        });
        let answer = self.inner.call(request);
        Box::pin(observe(call, answer))
    }
}

impl<S, Q, P> Service<Request<Q>> for Client<S>
where
    S: Service<Request<Q>, Response = Response<P>>,
    S::Future: Send + 'static,
    S::Error: Error + 'static,
    P: Body<Data = Bytes> + 'static,
{
    type Response = Response<Observed<P>>;
    type Error = S::Error;
    type Future = Observation<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let call = self
            .observer
            .start(request.uri().path(), TraceContext::current);
        if let Some(call) = &call {
            propagate::headers::inject_context(call.span.context(), request.headers_mut());
        }
        let answer = self.inner.call(request);
        Box::pin(observe(call, answer))
    }
}

type Observation<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

async fn observe<F, P, E>(call: Option<Call>, answer: F) -> Result<Response<Observed<P>>, E>
where
    F: Future<Output = Result<Response<P>, E>>,
    E: Error + 'static,
{
    let Some(mut call) = call else {
        return Ok(answer.await?.map(|inner| Observed { inner, call: None }));
    };
    match answer.with_context(call.span.context().clone()).await {
        Ok(response) => {
            // An error without a body has its status in the headers (gRPC's Trailers-Only).
            let rest = match status(response.headers()) {
                Some(code) => {
                    call.finish(code);
                    None
                }
                None => Some(call),
            };
            Ok(response.map(|inner| Observed { inner, call: rest }))
        }
        Err(error) => {
            call.finish(local_code(&error));
            Err(error)
        }
    }
}

/// The code of a failure that no server sent.
fn local_code(error: &(dyn Error + 'static)) -> Code {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<tonic::TimeoutExpired>() {
            return Code::DeadlineExceeded;
        }
        cause = error.source();
    }
    Code::Unavailable
}

fn status(headers: &HeaderMap) -> Option<Code> {
    let value = headers.get("grpc-status")?;
    Some(Code::from_bytes(value.as_bytes()))
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Client,
    Server,
}

#[derive(Clone, Debug)]
struct Observer {
    methods: &'static [&'static str],
    outcomes: Arc<CallOutcomes>,
    side: Side,
}

/// By method and code.
type CallOutcomes = Outcomes<(&'static str, Code)>;

impl Observer {
    fn new(methods: &'static [&'static str], metric: &Metric, side: Side) -> Self {
        Self {
            methods,
            outcomes: Arc::new(Outcomes::new(metric.histogram(env!("CARGO_PKG_NAME")))),
            side,
        }
    }

    fn start(&self, path: &str, parent: impl FnOnce() -> TraceContext) -> Option<Call> {
        let path = path.trim_start_matches('/');
        if path.starts_with("grpc.health.") || path.starts_with("grpc.reflection.") {
            return None;
        }
        let method = *self
            .methods
            .iter()
            .find(|known| **known == path)
            .unwrap_or(&names::OTHER);
        let kind = match self.side {
            Side::Client => SpanKind::Client,
            Side::Server => SpanKind::Server,
        };
        Some(Call {
            span: Span::start(&parent(), kind, method),
            method,
            side: self.side,
            outcomes: Arc::clone(&self.outcomes),
            finished: false,
        })
    }
}

/// A call under observation; one that is dropped before its end was cancelled.
#[derive(Debug)]
struct Call {
    span: Span,
    method: &'static str,
    side: Side,
    outcomes: Arc<CallOutcomes>,
    finished: bool,
}

impl Call {
    fn finish(&mut self, code: Code) {
        self.finished = true;
        self.outcomes
            .end(&mut self.span, (self.method, code), |(method, code)| {
                describe(self.side, method, *code)
            });
    }
}

fn describe(side: Side, method: &'static str, code: Code) -> Description {
    let name = code_name(code);
    let mut attributes = vec![
        KeyValue::new(names::RPC_SYSTEM_NAME, names::GRPC),
        KeyValue::new(names::RPC_METHOD, method),
        KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, name),
    ];
    let failed = is_failure(side, code);
    if failed {
        attributes.push(KeyValue::new(names::ERROR_TYPE, name));
    }
    Description {
        attributes,
        failed,
        ..Description::default()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(Code::Cancelled);
        }
    }
}

/// On the server a client's mistake is no failure; the client was not served in any case.
/// (Semantic conventions for gRPC, "Span status".)
fn is_failure(side: Side, code: Code) -> bool {
    match side {
        Side::Client => code != Code::Ok,
        Side::Server => matches!(
            code,
            Code::Unknown
                | Code::DeadlineExceeded
                | Code::Unimplemented
                | Code::Internal
                | Code::Unavailable
                | Code::DataLoss
        ),
    }
}

/// The name of a code as the gRPC specification writes it.
#[must_use]
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

pin_project_lite::pin_project! {
    /// A body that ends its call's span with its trailers.
    #[derive(Debug)]
    pub struct Observed<B> {
        #[pin]
        inner: B,
        call: Option<Call>,
    }
}

impl<B: Default> Default for Observed<B> {
    fn default() -> Self {
        Self {
            inner: B::default(),
            call: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Observed<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        let end = match &polled {
            Poll::Ready(Some(Ok(frame))) => frame
                .trailers_ref()
                .map(|trailers| status(trailers).unwrap_or(Code::Unknown)),
            Poll::Ready(Some(Err(_))) => Some(Code::Unavailable),
            Poll::Ready(None) => Some(Code::Unknown),
            Poll::Pending => None,
        };
        if let (Some(code), Some(mut call)) = (end, end.and_then(|_| this.call.take())) {
            call.finish(code);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
