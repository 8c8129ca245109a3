//! The routes of pages and API, and of the receiver.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, Uri},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use otlp::{Limits, Receiver};
use pages::{assets, headers};
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::{
    Lens, api,
    doctor::Signal,
    guard,
    guard::Guard,
    intake::Intake,
    pages::{Files, Problem},
};

/// Largest request in bytes, if there is enough memory: what the OTLP specification recommends.
const REQUEST: usize = 64 << 20;

/// The receiver. A request may have a quarter of the memory.
pub(crate) fn receiver(lens: &Arc<Lens>) -> Receiver<Intake> {
    let limits = Limits {
        request: REQUEST.min(lens.memory / 4),
    };
    Receiver::new(Intake(Arc::clone(lens)), limits)
}

/// OTLP.
pub(crate) fn otlp(lens: &Arc<Lens>, receiver: Receiver<Intake>, guard: &Arc<Guard>) -> Router {
    let lens = Arc::clone(lens);
    receiver
        .routes()
        .layer(middleware::from_fn_with_state(
            Arc::clone(guard),
            guard::sending,
        ))
        .layer(middleware::from_fn_with_state(lens, note_denied))
        .layer(middleware::from_fn(otlp::read_rest))
}

/// Tells the doctor about OTLP that the guard refused.
async fn note_denied(State(lens): State<Arc<Lens>>, request: Request, next: Next) -> Response {
    let signal = signal(request.uri().path());
    let response = next.run(request).await;
    let code = response.headers().get("grpc-status");
    let is = |status, grpc| response.status() == status || code.is_some_and(|code| code == grpc);
    let reason = if is(StatusCode::UNAUTHORIZED, "16") {
        "the secret of this receiver is missing or wrong"
    } else if is(StatusCode::FORBIDDEN, "7") {
        "a page of another site tried to send telemetry"
    } else {
        return response;
    };
    lens.doctor.turned_away(signal, reason);
    response
}

/// Tells the doctor about pages that were refused because of the name of the host.
async fn note_wrong_host(State(lens): State<Arc<Lens>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::MISDIRECTED_REQUEST {
        let reason = "a page was requested under a name other than localhost or an IP address";
        lens.doctor.turned_away(None, reason);
    }
    response
}

/// Bounds the memory of answers that readers do not take.
async fn deliver(State(lens): State<Arc<Lens>>, request: Request, next: Next) -> Response {
    let is_api = api::is_path(request.uri().path());
    let response = next.run(request).await;
    match lens.delivery.hold_body(response).await {
        Ok(response) => response,
        Err(_) if is_api => Problem::SlowReaders.for_programs(),
        Err(_) => Problem::SlowReaders.into_response(),
    }
}

/// Answers requests for what does not exist. Telemetry among them has the wrong port.
async fn not_found(State(lens): State<Arc<Lens>>, uri: Uri) -> Response {
    if api::is_path(uri.path()) {
        return api::not_found().into_response();
    }
    if uri.path().starts_with("/v1/") || uri.path().starts_with("/opentelemetry.proto.") {
        let reason = "telemetry was sent to the port of the pages";
        lens.doctor.turned_away(signal(uri.path()), reason);
    }
    Problem::NotFound.into_response()
}

/// The signal that a path of OTLP is for.
fn signal(path: &str) -> Option<Signal> {
    let signals = [
        ("trace", Signal::Traces),
        ("metrics", Signal::Metrics),
        ("logs", Signal::Logs),
    ];
    let found = signals.iter().find(|(name, _)| path.contains(name));
    found.map(|(_, signal)| *signal)
}

/// Pages and API, and health by HTTP and gRPC.
pub(crate) fn pages<H: Health>(
    lens: Arc<Lens>,
    receiver: Receiver<Intake>,
    guard: Arc<Guard>,
    health: HealthServer<H>,
) -> Router {
    let guarded = crate::pages::routes()
        .nest("/api", api::routes(Arc::clone(&lens), receiver))
        .fallback(not_found)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&lens), deliver))
        .layer(middleware::from_fn_with_state(guard, guard::reading))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&lens),
            note_wrong_host,
        ))
        .layer(middleware::from_fn(otlp::read_rest))
        .with_state(lens);
    Router::new()
        .merge(assets::router::<Files, ()>())
        .route("/health/live", get(async || "live\n"))
        .route_service("/grpc.health.v1.Health/Check", health)
        // `Watch` is not served: a client could open any number of its streams.
        .route(
            "/grpc.health.v1.Health/{*method}",
            any(async || StatusCode::NOT_IMPLEMENTED),
        )
        .merge(guarded)
        .layer(middleware::map_response(
            async |mut response: Response<Body>| {
                headers::secure(response.headers_mut(), false);
                response
            },
        ))
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;
    use crate::samples::lens;

    async fn ask(router: Router, path: &str, headers: &[(&str, &str)]) -> StatusCode {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn the_doctor_knows_requests_that_are_turned_away() {
        let lens = lens();
        let arguments = ["--lens-otlp-token", "a-secret-of-this-test"];
        let settings = testing::settings::<crate::Config>(&arguments).settings;
        let guard = Guard::new(&settings, "127.0.0.1:1".parse().unwrap()).unwrap();
        let guard = Arc::new(guard);
        let receiver = receiver(&lens);
        let otlp = otlp(&lens, receiver.clone(), &guard);
        let grpc = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
        let is_grpc = [("content-type", "application/grpc")];
        assert_eq!(ask(otlp.clone(), "/v1/traces", &[]).await, 401);
        assert_eq!(ask(otlp, grpc, &is_grpc).await, 200);
        let (_, health) = tonic_health::server::health_reporter();
        let pages = pages(Arc::clone(&lens), receiver, guard, health);
        let own = [("host", "localhost")];
        assert_eq!(ask(pages.clone(), "/v1/logs", &own).await, 404);
        assert_eq!(ask(pages, "/", &[("host", "evil.example")]).await, 421);

        let mut notes: Vec<_> = lens
            .doctor
            .notes()
            .into_iter()
            .map(|note| (note.reason, note.signal, note.refused))
            .collect();
        notes.sort_by(|one, other| (&one.0, one.1.is_none()).cmp(&(&other.0, other.1.is_none())));
        let secret = "the secret of this receiver is missing or wrong".to_owned();
        assert_eq!(notes.len(), 4, "{notes:?}");
        assert!(notes[0].0.contains("a name other than localhost"));
        assert_eq!(
            notes[1],
            (
                "telemetry was sent to the port of the pages".to_owned(),
                Some(Signal::Logs),
                1
            )
        );
        assert!(notes.contains(&(secret.clone(), Some(Signal::Traces), 1)));
        assert!(notes.contains(&(secret, Some(Signal::Metrics), 1)));
    }
}
