//! Tower layers that record a span and a duration for every RPC, on the server and on the client.
//!
//! A call ends with its trailers, so the duration includes the whole streamed response. At level
//! debug, a server also logs each call. Calls of the health and reflection services are not
//! observed: probes would outnumber the calls of users.

use std::{
    error::Error,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use opentelemetry::{Context as TraceContext, KeyValue, context::FutureExt as _, trace::SpanKind};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Level;

use crate::{
    metrics::{self, Metric},
    names,
    outcomes::{Description, Outcomes},
    propagate,
    requests::{REQUEST, milliseconds},
    trace::Span,
};

// As constants, because a lookup by a text parses and hashes the text.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Observes the calls that a server answers, continues the caller's trace, and enforces its deadline.
///
/// At the deadline, tonic would drop the call and answer `CANCELLED`. The timer of this layer starts
/// before that of tonic, so the answer is `DEADLINE_EXCEEDED`.
#[derive(Clone, Debug)]
pub struct ServerLayer(Observer);

/// Observes the calls that a client makes, and propagates its trace context.
#[derive(Clone, Debug)]
pub struct ClientLayer(Observer);

tokio::task_local! {
    /// The time at which the caller of the current call stops waiting.
    static CALLER_WAITS_UNTIL: Instant;
}

/// The time that the caller of the current call still waits for its answer.
///
/// `None` if the call has no timeout, outside of calls, and in tasks that a call has spawned, because those continue without
/// the caller.
#[must_use]
pub fn remaining() -> Option<Duration> {
    let until = CALLER_WAITS_UNTIL.try_with(|until| *until).ok()?;
    Some(until.saturating_duration_since(Instant::now()))
}

/// A service with a [`ServerLayer`].
#[derive(Clone, Debug)]
pub struct Server<S> {
    inner: S,
    observer: Observer,
}

/// A channel with a [`ClientLayer`].
#[derive(Clone, Debug)]
pub struct Client<S> {
    inner: S,
    observer: Observer,
}

impl ServerLayer {
    /// A layer that knows these methods, each as `package.Service/Method`.
    ///
    /// Others are reported as [`names::OTHER`], so that a caller cannot create new series.
    #[must_use]
    pub fn new(methods: &'static [&'static str]) -> Self {
        Self(Observer::new(
            methods,
            &metrics::RPC_SERVER_CALL_DURATION,
            Side::Server,
            Vec::new(),
        ))
    }
}

impl ClientLayer {
    /// A layer for calls to this server that knows these methods, each as
    /// `package.Service/Method`.
    #[must_use]
    pub fn new(methods: &'static [&'static str], server: &Uri) -> Self {
        let host = server.host().unwrap_or_default().to_owned();
        let mut attributes = vec![KeyValue::new(names::SERVER_ADDRESS, host)];
        attributes.extend(
            server
                .port_u16()
                .map(|port| KeyValue::new(names::SERVER_PORT, i64::from(port))),
        );
        Self(Observer::new(
            methods,
            &metrics::RPC_CLIENT_CALL_DURATION,
            Side::Client,
            attributes,
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
    P: Body<Data = Bytes> + Default + 'static,
{
    type Response = Response<Observed<P>>;
    type Error = S::Error;
    type Future = Observation<Self::Response, Self::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let timeout = timeout(request.headers());
        let deadline = timeout
            .and_then(|timeout| Instant::now().checked_add(timeout))
            .map(Deadline::new);
        let parent = || {
            let caller = propagate::headers::extract(request.headers());
            self.observer.calls.service.within(caller)
        };
        let call = self.observer.start(request.uri(), timeout, parent);
        let until = deadline.as_ref().map(|deadline| deadline.at);
        let answer = self.inner.call(request);
        let answer = async move {
            let mut deadline = deadline;
            let response = observe(call, in_time(&mut deadline, answer)).await?;
            Ok(response.map(|body| Observed { deadline, ..body }))
        };
        match until {
            Some(until) => Box::pin(CALLER_WAITS_UNTIL.scope(until, answer)),
            None => Box::pin(answer),
        }
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
        let timeout = timeout(request.headers());
        let call = self
            .observer
            .start(request.uri(), timeout, TraceContext::current);
        if let Some(call) = &call {
            propagate::headers::inject(call.span.context(), request.headers_mut());
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
        return Ok(answer.await?.map(|inner| Observed::new(inner, None)));
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
            Ok(response.map(|inner| Observed::new(inner, rest)))
        }
        Err(error) => {
            call.finish(local_code(&error));
            Err(error)
        }
    }
}

/// The answer, or `DEADLINE_EXCEEDED` once the deadline has passed.
async fn in_time<F, P, E>(deadline: &mut Option<Deadline>, answer: F) -> Result<Response<P>, E>
where
    F: Future<Output = Result<Response<P>, E>>,
    P: Default,
{
    let Some(deadline) = deadline else {
        return answer.await;
    };
    let mut answer = pin!(answer);
    poll_fn(|cx| match answer.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(outcome),
        Poll::Pending => deadline.poll(cx).map(|()| Ok(too_late().into_http())),
    })
    .await
}

fn too_late() -> Status {
    Status::deadline_exceeded("the deadline of the call has passed")
}

/// The time at which the caller stops waiting.
#[derive(Debug)]
struct Deadline {
    at: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn new(at: Instant) -> Self {
        Self { at, sleep: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The clock is checked because tonic's later timer may wake the task first.
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let at = self.at;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        sleep.as_mut().poll(cx)
    }
}

/// The timeout of the caller. A malformed one is ignored.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get(GRPC_TIMEOUT)?.as_bytes().split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let unit = match unit {
        b'H' => Duration::from_secs(3600),
        b'M' => Duration::from_secs(60),
        b'S' => Duration::from_secs(1),
        b'm' => Duration::from_millis(1),
        b'u' => Duration::from_micros(1),
        b'n' => Duration::from_nanos(1),
        _ => return None,
    };
    Some(unit * number)
}

/// The code of a failure that did not come from the server.
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
    let value = headers.get(GRPC_STATUS)?;
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
    calls: Arc<Calls>,
}

/// The data that all calls of a server or of a client share.
#[derive(Debug)]
struct Calls {
    side: Side,
    /// The service that has created the layer. The tasks of a server's connections are outside of its scope.
    service: crate::Service,
    /// Attributes of every call.
    attributes: Vec<KeyValue>,
    /// Outcomes by method and code.
    outcomes: Outcomes<(&'static str, Code)>,
}

impl Observer {
    fn new(
        methods: &'static [&'static str],
        metric: &Metric,
        side: Side,
        attributes: Vec<KeyValue>,
    ) -> Self {
        let outcomes = Outcomes::new(metric.histogram(env!("CARGO_PKG_NAME")));
        Self {
            methods,
            calls: Arc::new(Calls {
                side,
                service: crate::Service::current(),
                attributes,
                outcomes,
            }),
        }
    }

    fn start(
        &self,
        uri: &Uri,
        timeout: Option<Duration>,
        parent: impl FnOnce() -> TraceContext,
    ) -> Option<Call> {
        let path = uri.path().trim_start_matches('/');
        if path.starts_with("grpc.health.") || path.starts_with("grpc.reflection.") {
            return None;
        }
        let method = *self
            .methods
            .iter()
            .find(|known| **known == path)
            .unwrap_or(&names::OTHER);
        let kind = match self.calls.side {
            Side::Client => SpanKind::Client,
            Side::Server => SpanKind::Server,
        };
        Some(Call {
            span: Span::start(&parent(), kind, method),
            method,
            timeout,
            calls: Arc::clone(&self.calls),
            finished: false,
        })
    }
}

/// A call under observation. If it is dropped before its end, it was cancelled or its deadline has passed.
#[derive(Debug)]
struct Call {
    span: Span,
    method: &'static str,
    timeout: Option<Duration>,
    calls: Arc<Calls>,
    finished: bool,
}

impl Call {
    fn finish(&mut self, code: Code) {
        self.finished = true;
        if matches!(self.calls.side, Side::Server) {
            self.log(code);
        }
        self.calls
            .outcomes
            .end(&mut self.span, (self.method, code), |(method, code)| {
                self.calls.describe(method, *code)
            });
    }

    fn log(&self, code: Code) {
        if !tracing::enabled!(target: REQUEST, Level::DEBUG) {
            return;
        }
        // A streamed answer ends outside the context of its call.
        let _guard = self.span.context().clone().attach();
        tracing::debug!(
            target: REQUEST,
            {
                rpc.method = self.method,
                rpc.response.status_code = code_name(code),
                duration_ms = milliseconds(self.span.elapsed()),
            },
            "answered"
        );
    }

    /// Whether at least nine tenths of the caller's timeout are over. The caller's clock differs, so it may
    /// have given up already.
    fn is_out_of_time(&self) -> bool {
        self.timeout
            .is_some_and(|timeout| self.span.elapsed() >= timeout - timeout / 10)
    }
}

impl Calls {
    fn describe(&self, method: &'static str, code: Code) -> Description {
        let name = code_name(code);
        let mut attributes = vec![
            KeyValue::new(names::RPC_SYSTEM_NAME, names::GRPC),
            KeyValue::new(names::RPC_METHOD, method),
            KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, name),
        ];
        attributes.extend(self.attributes.iter().cloned());
        let failed = is_failure(self.side, code);
        if failed {
            attributes.push(KeyValue::new(names::ERROR_TYPE, name));
        }
        Description {
            attributes,
            failed,
            ..Description::default()
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(if self.is_out_of_time() {
                Code::DeadlineExceeded
            } else {
                Code::Cancelled
            });
        }
    }
}

/// Whether a code marks the span as failed (semantic conventions for gRPC, "Span status"). On the
/// server, mistakes of the client do not. On the client, every code except OK does.
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
    /// A body that ends its call's span with its trailers, or at the deadline.
    #[derive(Debug)]
    pub struct Observed<B> {
        #[pin]
        inner: B,
        call: Option<Call>,
        deadline: Option<Deadline>,
        // The deadline has passed, and the trailers with that status were sent.
        ended: bool,
    }
}

impl<B> Observed<B> {
    fn new(inner: B, call: Option<Call>) -> Self {
        Self {
            inner,
            call,
            deadline: None,
            ended: false,
        }
    }
}

impl<B: Default> Default for Observed<B> {
    fn default() -> Self {
        Self::new(B::default(), None)
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
        if *this.ended {
            return Poll::Ready(None);
        }
        let mut polled = this.inner.poll_frame(cx);
        if let (Poll::Pending, Some(deadline)) = (&polled, this.deadline) {
            polled = deadline.poll(cx).map(|()| {
                *this.ended = true;
                let status = too_late().into_http::<()>();
                Some(Ok(Frame::trailers(status.into_parts().0.headers)))
            });
        }
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
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::service_fn;

    use super::*;
    use crate::requests::tests::Log;

    const METHODS: &[&str] = &["x.Y/Z"];

    /// A body that has no data and does not end.
    #[derive(Debug, Default)]
    struct Silence;

    impl Body for Silence {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    fn request(timeout: &str) -> Request<()> {
        let request = Request::post("/x.Y/Z").header("grpc-timeout", timeout);
        request.body(()).unwrap()
    }

    #[tokio::test]
    async fn a_server_logs_each_call_but_those_of_probes() {
        let log = Log::default();
        let guard = log.record();
        let answer = service_fn(async |_| {
            let status = Status::not_found("no such thing");
            Ok::<_, Infallible>(status.into_http::<Silence>())
        });
        let mut server = ServerLayer::new(METHODS).layer(answer);
        server.call(request("1H")).await.unwrap();
        let health = Request::post("/grpc.health.v1.Health/Check").body(());
        server.call(health.unwrap()).await.unwrap();
        let client = ClientLayer::new(METHODS, &Uri::from_static("http://x"));
        client.layer(answer).call(request("1H")).await.unwrap();
        drop(guard);
        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        for words in [
            "DEBUG request: answered",
            "x.Y/Z",
            "NOT_FOUND",
            "duration_ms=",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[tokio::test]
    async fn a_call_runs_in_the_scope_of_the_service_that_has_made_the_server() {
        let user = crate::Service::named("user");
        let answer = service_fn(async |_| {
            assert_eq!(crate::Service::current(), crate::Service::named("user"));
            Ok::<_, Infallible>(Response::new(Silence))
        });
        let server = user.run(async { ServerLayer::new(METHODS).layer(answer) });
        let mut server = server.await;
        server.call(request("1H")).await.unwrap();
    }

    #[tokio::test]
    async fn a_call_ends_at_the_deadline_of_its_caller() {
        let hang = service_fn(|_| std::future::pending::<Result<Response<Silence>, Infallible>>());
        let mut server = ServerLayer::new(METHODS).layer(hang);
        let response = server.call(request("10m")).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "4");
        assert_eq!(response.headers()["content-type"], "application/grpc");
    }

    #[tokio::test]
    async fn a_stream_ends_at_the_deadline_of_its_caller() {
        let stream = service_fn(async |_| Ok::<_, Infallible>(Response::new(Silence)));
        let mut server = ServerLayer::new(METHODS).layer(stream);
        let response = server.call(request("10m")).await.unwrap();
        assert!(!response.headers().contains_key("grpc-status"));
        let mut body = response.into_body();
        let mut next = async || poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let trailers = next().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "4");
        assert!(next().await.is_none());
        assert!(body.is_end_stream());
    }

    #[tokio::test]
    async fn a_call_knows_how_long_its_caller_waits_and_its_tasks_do_not() {
        let answer = service_fn(async |_| {
            let left = remaining().unwrap();
            assert!(left > Duration::from_secs(3590) && left <= Duration::from_secs(3600));
            assert_eq!(crate::spawn(async { remaining() }).await, None);
            Ok::<_, Infallible>(Response::new(Silence))
        });
        let mut server = ServerLayer::new(METHODS).layer(answer);
        server.call(request("1H")).await.unwrap();
        assert_eq!(remaining(), None);
        let endless = service_fn(async |_| {
            assert_eq!(remaining(), None);
            Ok::<_, Infallible>(Response::new(Silence))
        });
        let mut server = ServerLayer::new(METHODS).layer(endless);
        server.call(request("x")).await.unwrap();
    }

    #[test]
    fn a_timeout_has_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("99999999H", Some(Duration::from_secs(3600 * 99_999_999))),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("-1S", None),
            ("+1S", None),
            ("1.5S", None),
            ("123456789n", None),
        ] {
            assert_eq!(timeout(request(text).headers()), expected, "{text}");
        }
    }

    #[test]
    fn a_call_that_is_dropped_at_its_deadline_ran_out_of_time() {
        let observer = ServerLayer::new(METHODS).0;
        for (timeout, expected) in [("0n", true), ("1H", false), ("x", false)] {
            let request = request(timeout);
            let limit = super::timeout(request.headers());
            let call = observer
                .start(request.uri(), limit, TraceContext::new)
                .unwrap();
            assert_eq!(call.is_out_of_time(), expected, "{timeout}");
        }
    }
}
