//! The routes of pages and API, and of the receiver.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::StatusCode,
    middleware,
    response::Response,
    routing::{any, get},
};
use otlp::{Limits, Receiver};
use pages::{assets, headers};
use tonic_health::pb::health_server::{Health, HealthServer};

use crate::{
    Lens, api, guard,
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
pub(crate) fn otlp(receiver: Receiver<Intake>, guard: &Arc<Guard>) -> Router {
    receiver.routes().layer(middleware::from_fn_with_state(
        Arc::clone(guard),
        guard::sending,
    ))
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
        .fallback(async || Problem::NotFound)
        .method_not_allowed_fallback(async || Problem::MethodNotAllowed)
        .layer(middleware::from_fn_with_state(guard, guard::reading))
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
