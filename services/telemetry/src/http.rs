//! A span and a duration of every HTTP request that a server answers.

use std::{
    pin::Pin,
    task::{self, Poll},
    time::Instant,
};

use http::{Extensions, Method, Request, Response, StatusCode};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt as _,
    trace::{SpanKind, Status, TraceContextExt as _},
};
use tower::{Layer, Service};

use crate::{
    metrics::{self, Histogram},
    names, propagate, trace,
};

/// Finds the route, such as `/users/{id}`, that the router has left in a request's extensions.
pub type Route = fn(&Extensions) -> Option<&str>;

/// Observes the requests that a server answers, and continues the caller's trace.
///
/// It must be applied where the router has matched already (in axum: `Router::layer`).
#[derive(Clone, Debug)]
pub struct ServerLayer {
    route: Route,
    duration: Histogram,
}

/// What [`ServerLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct Server<S> {
    inner: S,
    layer: ServerLayer,
}

impl ServerLayer {
    /// A layer that asks `route` for the route of a request.
    #[must_use]
    pub fn new(route: Route) -> Self {
        let duration = metrics::HTTP_SERVER_REQUEST_DURATION.histogram(env!("CARGO_PKG_NAME"));
        Self { route, duration }
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
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let started = Instant::now();
        let method = method(request.method());
        let route = (self.layer.route)(request.extensions()).map(str::to_owned);
        let name = match &route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        };
        let scheme = match request.uri().scheme_str() {
            Some("https") => "https",
            _ => "http",
        };
        let mut attributes = vec![
            KeyValue::new(names::HTTP_REQUEST_METHOD, method),
            KeyValue::new(names::URL_SCHEME, scheme),
        ];
        let mut span_attributes = attributes.clone();
        if let Some(route) = route {
            attributes.push(KeyValue::new(names::HTTP_ROUTE, route.clone()));
            span_attributes.extend([
                KeyValue::new(names::HTTP_ROUTE, route),
                KeyValue::new(names::URL_PATH, request.uri().path().to_owned()),
            ]);
        }
        // A path that is no route is whatever somebody typed, an email for instance: it stays here.
        let parent = propagate::headers::extract(request.headers());
        let context = trace::start(&parent, SpanKind::Server, name, span_attributes);

        let mut exchange = Exchange {
            context: context.clone(),
            started,
            attributes,
            duration: self.layer.duration.clone(),
            finished: false,
        };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let outcome = answer.with_context(context).await;
            exchange.finish(outcome.as_ref().ok().map(Response::status));
            outcome
        })
    }
}

/// A request under observation; one that is dropped before its end lost its caller.
struct Exchange {
    context: Context,
    started: Instant,
    attributes: Vec<KeyValue>,
    duration: Histogram,
    finished: bool,
}

impl Exchange {
    fn finish(&mut self, status: Option<StatusCode>) {
        self.finished = true;
        let span = self.context.span();
        if let Some(status) = status {
            let code = KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, i64::from(status.as_u16()));
            span.set_attribute(code.clone());
            self.attributes.push(code);
        }
        // A client's mistake is no failure of the server (semantic conventions for HTTP spans).
        let error = match status {
            Some(status) if !status.is_server_error() => None,
            Some(status) => Some(status.as_str().to_owned()),
            None => Some("cancelled".to_owned()),
        };
        if let Some(error) = error {
            let error = KeyValue::new(names::ERROR_TYPE, error);
            span.set_status(Status::error(""));
            span.set_attribute(error.clone());
            self.attributes.push(error);
        }
        let seconds = self.started.elapsed().as_secs_f64();
        self.duration
            .record_in(span.span_context(), seconds, &self.attributes);
        span.end();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.finished {
            self.finish(None);
        }
    }
}

/// The method, if it is one that HTTP defines: a caller must not be able to make series.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::CONNECT => "CONNECT",
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::TRACE => "TRACE",
        _ => names::OTHER,
    }
}
