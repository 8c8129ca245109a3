//! Tower layers that record a span and a duration for every HTTP request, on the server and on the client.
//!
//! At level debug, a server also logs each request.

use std::{
    borrow::Cow,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::Duration,
};

use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt as _,
    trace::{SpanKind, TraceContextExt as _},
};
use tower::{Layer, Service};
use tracing::Level;

use crate::{
    metrics::{self, Histogram},
    names, propagate,
    requests::{REQUEST, milliseconds},
    trace::{Attributes, Span},
};

/// Finds the route, such as `/users/{id}`, that the router has put into a request's extensions.
pub type Route = fn(&Extensions) -> Option<&str>;

/// The sender of a request, as far as the server knows it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// Whether its trace context and baggage are used. If not, the request starts a new trace, which
    /// links to the context that was sent.
    pub trusted: bool,
    /// Whether the original client uses `https`; `None` if the request's own scheme applies.
    pub https: Option<bool>,
}

type FindCaller = dyn Fn(&Extensions, &HeaderMap) -> Caller + Send + Sync;

/// Observes the requests that a server answers, and continues the trace of a trusted caller.
///
/// Apply it behind the router's matching (in axum: `Router::layer`), or it finds no route.
#[derive(Clone)]
pub struct ServerLayer {
    route: Route,
    caller: Arc<FindCaller>,
    duration: Histogram,
    /// The service that has created the layer. The tasks of connections are outside of its scope.
    service: crate::Service,
}

impl fmt::Debug for ServerLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerLayer")
            .finish_non_exhaustive()
    }
}

/// A service with a [`ServerLayer`].
#[derive(Clone, Debug)]
pub struct Server<S> {
    inner: S,
    layer: ServerLayer,
}

impl ServerLayer {
    /// A layer that calls `route` for the route of a request, and `caller` for its sender.
    #[must_use]
    pub fn new(
        route: Route,
        caller: impl Fn(&Extensions, &HeaderMap) -> Caller + Send + Sync + 'static,
    ) -> Self {
        Self {
            route,
            caller: Arc::new(caller),
            duration: metrics::HTTP_SERVER_REQUEST_DURATION.histogram(env!("CARGO_PKG_NAME")),
            service: crate::Service::current(),
        }
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Server {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S, Q, P> Service<Request<Q>> for Server<S>
where
    S: Service<Request<Q>, Response = Response<P>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    P: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let Caller { trusted, https } =
            (self.layer.caller)(request.extensions(), request.headers());
        let (method, of_name, original) = method(request.method());
        let route = (self.layer.route)(request.extensions()).map(str::to_owned);
        let name = match &route {
            Some(route) => Cow::Owned(format!("{of_name} {route}")),
            None => Cow::Borrowed(of_name),
        };
        let https = https.unwrap_or_else(|| request.uri().scheme_str() == Some("https"));
        let mut attributes = vec![
            KeyValue::new(names::HTTP_REQUEST_METHOD, method),
            KeyValue::new(names::URL_SCHEME, if https { "https" } else { "http" }),
        ];
        let mut of_span: Vec<_> = original.into_iter().collect();
        // A path without a route may be anything, even an email, so it is not recorded.
        if let Some(route) = route {
            attributes.push(KeyValue::new(names::HTTP_ROUTE, route));
            of_span.push(KeyValue::new(
                names::URL_PATH,
                request.uri().path().to_owned(),
            ));
        }
        let sent = propagate::headers::extract(request.headers());
        let service = self.layer.service;
        let span = if trusted {
            Span::start(&service.within(sent), SpanKind::Server, name)
        } else {
            let root = service.within(Context::new());
            Span::start(&root, SpanKind::Server, name).linked(sent.span().span_context())
        };
        let exchange = Exchange {
            span,
            side: Side::Server,
            attributes,
            of_span,
            duration: self.layer.duration.clone(),
            finished: false,
        };
        Box::pin(observe(exchange, self.inner.call(request)))
    }
}

/// The template of a request's path, such as `/users/{id}`. A client adds it to the request's
/// extensions; there must be few templates.
#[derive(Clone, Copy, Debug)]
pub struct UrlTemplate(pub &'static str);

/// Observes the requests that a client makes, until the head of the response, and propagates its
/// trace context.
#[derive(Clone, Debug)]
pub struct ClientLayer {
    duration: Histogram,
}

/// A client with a [`ClientLayer`].
#[derive(Clone, Debug)]
pub struct Client<S> {
    inner: S,
    layer: ClientLayer,
}

impl ClientLayer {
    /// A layer for a client of few servers, because each server adds series.
    #[must_use]
    pub fn new() -> Self {
        let duration = metrics::HTTP_CLIENT_REQUEST_DURATION.histogram(env!("CARGO_PKG_NAME"));
        Self { duration }
    }
}

impl Default for ClientLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = Client<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Client {
            inner,
            layer: self.clone(),
        }
    }
}

impl<S, Q, P> Service<Request<Q>> for Client<S>
where
    S: Service<Request<Q>, Response = Response<P>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    P: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let (method, of_name, original) = method(request.method());
        let template = request.extensions().get::<UrlTemplate>();
        let name = match template {
            Some(UrlTemplate(template)) => Cow::Owned(format!("{of_name} {template}")),
            None => Cow::Borrowed(of_name),
        };
        let uri = request.uri();
        let scheme = uri.scheme_str().unwrap_or("http");
        let host = uri.host().unwrap_or_default();
        let known = if scheme == "https" { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(known);
        let mut attributes = vec![
            KeyValue::new(names::HTTP_REQUEST_METHOD, method),
            KeyValue::new(names::SERVER_ADDRESS, host.to_owned()),
            KeyValue::new(names::SERVER_PORT, i64::from(port)),
        ];
        if let Some(UrlTemplate(template)) = template {
            attributes.push(KeyValue::new(names::URL_TEMPLATE, *template));
        }
        // Query and credentials are left out, since they may be secrets.
        let url = format!("{scheme}://{host}:{port}{}", uri.path());
        let mut of_span = vec![KeyValue::new(names::URL_FULL, url)];
        of_span.extend(original);
        let span = Span::start(&Context::current(), SpanKind::Client, name);
        propagate::headers::inject(span.context(), request.headers_mut());
        let exchange = Exchange {
            span,
            side: Side::Client,
            attributes,
            of_span,
            duration: self.layer.duration.clone(),
            finished: false,
        };
        Box::pin(observe(exchange, self.inner.call(request)))
    }
}

async fn observe<F, P, E>(mut exchange: Exchange, answer: F) -> Result<Response<P>, E>
where
    F: Future<Output = Result<Response<P>, E>>,
{
    let context = exchange.span.context().clone();
    let outcome = answer.with_context(context).await;
    exchange.finish(match &outcome {
        Ok(response) => Ok(response.status()),
        Err(_) => Err(names::OTHER),
    });
    outcome
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Client,
    Server,
}

/// A request under observation. If it is dropped before its end, the caller has disconnected.
struct Exchange {
    span: Span,
    side: Side,
    attributes: Vec<KeyValue>,
    of_span: Vec<KeyValue>,
    duration: Histogram,
    finished: bool,
}

impl Exchange {
    /// Ends the request with a status, or with the type of an error.
    fn finish(&mut self, outcome: Result<StatusCode, &'static str>) {
        self.finished = true;
        let attributes = &mut self.attributes;
        if let Ok(status) = outcome {
            let code = i64::from(status.as_u16());
            attributes.push(KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, code));
        }
        let error = match outcome {
            Ok(status) if is_failure(self.side, status) => Some(status.as_str().to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_owned()),
        };
        let failed = error.is_some();
        attributes.extend(error.map(|error| KeyValue::new(names::ERROR_TYPE, error)));

        let elapsed = self.span.elapsed();
        self.duration.record_in(
            self.span.context().span().span_context(),
            elapsed.as_secs_f64(),
            attributes,
        );
        if matches!(self.side, Side::Server) {
            log(&self.span, attributes, elapsed);
        }
        attributes.append(&mut self.of_span);
        let attributes = Attributes::new(std::mem::take(attributes));
        self.span.end(elapsed, &attributes, failed);
    }
}

/// Logs a request that a server has answered.
fn log(span: &Span, attributes: &[KeyValue], elapsed: Duration) {
    if !tracing::enabled!(target: REQUEST, Level::DEBUG) {
        return;
    }
    let of = |name: &str| {
        let attribute = attributes.iter().find(|it| it.key.as_str() == name);
        attribute.map(|it| it.value.as_str())
    };
    let route = of(names::HTTP_ROUTE);
    // A request whose caller has disconnected ends outside its context.
    let _guard = span.context().clone().attach();
    tracing::debug!(
        target: REQUEST,
        {
        http.request.method = of(names::HTTP_REQUEST_METHOD).as_deref(),
        http.route = route.as_deref(),
        http.response.status_code = of(names::HTTP_RESPONSE_STATUS_CODE).as_deref(),
        error.type = of(names::ERROR_TYPE).as_deref(),
        duration_ms = milliseconds(elapsed),
        },
        "answered"
    );
}

/// Whether a status marks the span as failed: 4xx on the client alone, 5xx on both sides (semantic
/// conventions for HTTP spans).
fn is_failure(side: Side, status: StatusCode) -> bool {
    match side {
        Side::Client => status.is_client_error() || status.is_server_error(),
        Side::Server => status.is_server_error(),
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(Err("cancelled"));
        }
    }
}

/// The method as an attribute, the method in a span's name, and an attribute with the original method for spans, if
/// HTTP does not define it. So a caller cannot create new series.
fn method(method: &Method) -> (&'static str, &'static str, Option<KeyValue>) {
    let known = match *method {
        Method::CONNECT => "CONNECT",
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::TRACE => "TRACE",
        _ => {
            let original = method.as_str().to_owned();
            let original = KeyValue::new(names::HTTP_REQUEST_METHOD_ORIGINAL, original);
            return (names::OTHER, "HTTP", Some(original));
        }
    };
    (known, known, None)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::service_fn;

    use super::*;
    use crate::requests::tests::Log;

    /// The route that a router puts into a request's extensions.
    #[derive(Clone)]
    struct Matched(&'static str);

    #[tokio::test]
    async fn a_server_logs_each_request_without_its_path() {
        let log = Log::default();
        let guard = log.record();
        let layer = ServerLayer::new(
            |extensions| extensions.get::<Matched>().map(|Matched(route)| *route),
            |_, _| Caller {
                trusted: true,
                https: None,
            },
        );
        let answer = service_fn(async |_| {
            let response = Response::builder().status(StatusCode::SEE_OTHER).body(());
            Ok::<_, Infallible>(response.unwrap())
        });
        let mut server = layer.layer(answer);
        let request = Request::post("/users/ann@example.com").extension(Matched("/users/{id}"));
        server.call(request.body(()).unwrap()).await.unwrap();
        drop(guard);
        let text = log.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        for words in [
            "DEBUG request: answered",
            "POST",
            "/users/{id}",
            "303",
            "duration_ms=",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("ann@"), "{text}");
    }

    #[tokio::test]
    async fn a_request_runs_in_the_scope_of_the_service_that_has_made_the_server() {
        let user = crate::Service::named("user");
        for trusted in [true, false] {
            let caller = Caller {
                trusted,
                https: None,
            };
            let answer = service_fn(async |_| {
                assert_eq!(crate::Service::current(), crate::Service::named("user"));
                Ok::<_, Infallible>(Response::new(()))
            });
            let server = async { ServerLayer::new(|_| None, move |_, _| caller).layer(answer) };
            let mut server = user.run(server).await;
            server.call(Request::new(())).await.unwrap();
        }
    }

    #[test]
    fn an_unknown_method_makes_no_new_series() {
        assert_eq!(method(&Method::GET), ("GET", "GET", None));
        let (value, of_name, original) = method(&Method::from_bytes(b"BREW").unwrap());
        assert_eq!((value, of_name), ("_OTHER", "HTTP"));
        assert_eq!(original.unwrap().value.as_str(), "BREW");
    }
}
