//! A span and a duration of every HTTP request that a server answers.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use http::{Extensions, Method, Request, Response};
use opentelemetry::{KeyValue, metrics::Histogram};
use tower::{Layer, Service};
use tracing::{Instrument as _, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::{names, propagate};

/// Finds the route, such as `/users/{id}`, that the router has left in a request's extensions.
pub type Route = fn(&Extensions) -> Option<&str>;

/// Observes the requests that a server answers, and continues the caller's trace.
///
/// It must be applied where the router has matched already (in axum: `Router::layer`).
#[derive(Clone, Debug)]
pub struct ServerLayer {
    route: Route,
    duration: Histogram<f64>,
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
        let duration = crate::meter(env!("CARGO_PKG_NAME"))
            .f64_histogram(names::HTTP_SERVER_REQUEST_DURATION)
            .with_unit("s")
            .with_description("Duration of HTTP server requests")
            .with_boundaries(names::DURATION_BOUNDS.to_vec())
            .build();
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

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
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
        let span = tracing::info_span!(
            "http",
            otel.name = name,
            otel.kind = "server",
            otel.status_code = Empty,
            { names::HTTP_REQUEST_METHOD } = method,
            { names::HTTP_ROUTE } = route,
            { names::HTTP_RESPONSE_STATUS_CODE } = Empty,
            { names::URL_PATH } = request.uri().path(),
            { names::URL_SCHEME } = request.uri().scheme_str().unwrap_or("http"),
            { names::ERROR_TYPE } = Empty,
        );
        // Fails only where spans are not exported, or the span has begun: neither matters.
        let _ = span.set_parent(propagate::headers::extract(request.headers()));

        let duration = self.layer.duration.clone();
        let answer = self.inner.call(request);
        Box::pin(
            async move {
                let outcome = answer.await;
                let mut attributes = vec![
                    KeyValue::new(names::HTTP_REQUEST_METHOD, method),
                    KeyValue::new(names::URL_SCHEME, "http"),
                ];
                if let Some(route) = route {
                    attributes.push(KeyValue::new(names::HTTP_ROUTE, route));
                }
                if let Ok(response) = &outcome {
                    let status = response.status();
                    let code = i64::from(status.as_u16());
                    let span = tracing::Span::current();
                    span.record(names::HTTP_RESPONSE_STATUS_CODE, code);
                    attributes.push(KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, code));
                    if status.is_server_error() {
                        span.record("otel.status_code", "ERROR");
                        span.record(names::ERROR_TYPE, status.as_str());
                        attributes
                            .push(KeyValue::new(names::ERROR_TYPE, status.as_str().to_owned()));
                    }
                }
                duration.record(started.elapsed().as_secs_f64(), &attributes);
                outcome
            }
            .instrument(span),
        )
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
