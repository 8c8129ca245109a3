//! The routes, and the middleware around them.

use std::{convert::Infallible, net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Extensions, HeaderMap, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use futures_util::FutureExt as _;
use pages::{PublicUrl, assets, cross_origin, headers};
use telemetry::http::{Caller, ServerLayer};
use tower::Service;

use crate::{
    app::App,
    form::Receiving,
    handlers,
    pages::{Files, Frame, Problem},
};

/// All routes: pages, assets, and health by HTTP and gRPC.
pub(crate) fn router<H>(app: Arc<App>, health: H) -> Router
where
    H: Service<Request, Response = axum::http::Response<tonic::body::Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    H::Future: Send + 'static,
{
    let pages = Router::new()
        .route("/", get(handlers::home))
        .route(
            "/register",
            get(handlers::register_form).post(handlers::register),
        )
        .route("/login", get(handlers::login_form).post(handlers::login))
        .route("/account", get(handlers::account))
        .route("/logout", axum::routing::post(handlers::logout))
        .route("/status", get(handlers::status))
        .route("/activity", get(handlers::activity))
        .route("/activity/events", get(handlers::activity_events));

    // Probes and assets get no spans. Otherwise they would outnumber the spans of pages.
    let unobserved = Router::new()
        .merge(assets::router::<Files, _>())
        .route("/health/live", get(|| async { "live\n" }))
        .route("/health/ready", get(ready))
        .route_service("/grpc.health.v1.Health/Check", health)
        // `Watch` is not served: a client could open any number of its streams.
        .route("/grpc.health.v1.Health/{*method}", any(unimplemented))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), in_time));

    let https = app.is_https();
    observed(pages, &app)
        .merge(unobserved)
        .layer(middleware::map_response(
            move |mut response: Response<Body>| async move {
                headers::secure(response.headers_mut(), https);
                response
            },
        ))
        .with_state(app)
}

/// The pages with their middleware: a span, a time limit, and a page for every failure.
fn observed(pages: Router<Arc<App>>, app: &Arc<App>) -> Router<Arc<App>> {
    let knowing = Arc::clone(app);
    pages
        .fallback(|frame: Frame| async move { frame.problem(Problem::NotFound) })
        .method_not_allowed_fallback(|frame: Frame| async move {
            frame.problem(Problem::MethodNotAllowed)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(app), guard))
        .layer(ServerLayer::new(route, move |extensions, headers| {
            caller(&knowing, extensions, headers)
        }))
}

fn route(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

/// Whether the sender of a request is trusted, and the scheme that the browser used. A trusted
/// proxy passes on the trace context and the scheme. The headers of other senders may be forged.
fn caller(app: &App, extensions: &Extensions, headers: &HeaderMap) -> Caller {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    let trusted = peer.is_some_and(|peer| app.proxies.contains(peer.0.ip().to_canonical()));
    let scheme = headers
        .get("x-forwarded-proto")
        .filter(|_| trusted)
        // With several proxies, the first entry is the browser's scheme.
        .and_then(|schemes| schemes.to_str().ok()?.split(',').next());
    let https = match scheme
        .map(|scheme| scheme.trim().to_ascii_lowercase())
        .as_deref()
    {
        Some("https") => Some(true),
        Some("http") => Some(false),
        _ => app.public.as_ref().map(PublicUrl::is_https),
    };
    Caller { trusted, https }
}

async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    }
}

async fn unimplemented() -> Response {
    tonic::Status::unimplemented("only Check is served").into_http()
}

/// Limits the time of a request to a probe. Otherwise, requests whose bodies never arrive could hold all
/// connections.
async fn in_time(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(app.timeout, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

/// Refuses requests from other sites, limits the time of a request, and turns a panic into a page.
async fn guard(
    State(app): State<Arc<App>>,
    frame: Frame,
    mut request: Request,
    next: Next,
) -> Response {
    let own = cross_origin::is_allowed(
        request.method(),
        request.uri(),
        request.headers(),
        app.public.as_ref(),
    );
    if !own {
        return frame.problem(Problem::CrossSite);
    }

    let receiving = Receiving::default();
    request.extensions_mut().insert(receiving.clone());
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(app.timeout, answer).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            let reason = chassis::panics::reason(panic.as_ref());
            tracing::error!(reason, "a request panicked");
            frame.problem(Problem::Internal)
        }
        Err(_) if receiving.get() => frame.problem(Problem::NotReceived),
        Err(_) => {
            tracing::warn!(
                timeout_seconds = app.timeout.as_secs(),
                "a request took too long"
            );
            frame.problem(Problem::TimedOut)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{body::to_bytes, routing::post};
    use futures_util::{StreamExt as _, stream};
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        activity::{Activity, Source},
        auth::Credentials,
    };

    fn app() -> anyhow::Result<App> {
        App::new(&testing::settings(&[]), Activity::new(Source::Off))
    }

    async fn get_page(path: &str) -> (StatusCode, String) {
        page(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn page(request: Request) -> (StatusCode, String) {
        async fn panics() {
            panic!("a secret");
        }
        let mut app = app().unwrap();
        app.timeout = Duration::from_millis(50);
        let app = Arc::new(app);
        let pages = Router::new()
            .route("/panic", get(panics))
            .route("/stuck", get(std::future::pending::<()>))
            .route(
                "/form",
                post(async |_: Credentials| std::future::pending::<()>().await),
            );
        let router = observed(pages, &app).with_state(app);
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn a_process_that_stops_is_not_ready() {
        let app = Arc::new(app().unwrap());
        assert_eq!(ready(State(Arc::clone(&app))).await.0, StatusCode::OK);
        app.announce_stop();
        assert_eq!(ready(State(app)).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_page_without_the_reason() {
        let (status, page) = get_page("/panic").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(page.contains("Something went wrong"), "{page}");
        assert!(!page.contains("a secret"), "{page}");
    }

    #[tokio::test]
    async fn a_request_that_hangs_is_ended_with_a_page() {
        let (status, page) = get_page("/stuck").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(page.contains("took too long"), "{page}");
    }

    #[tokio::test]
    async fn a_health_check_that_does_not_arrive_is_ended() {
        let (_, health) = tonic_health::server::health_reporter();
        let mut app = app().unwrap();
        app.timeout = Duration::from_millis(50);
        let router = router(Arc::new(app), health);
        let request = Request::post("/grpc.health.v1.Health/Check")
            .header("content-type", "application/grpc")
            .body(Body::from_stream(
                stream::pending::<Result<&str, Infallible>>(),
            ))
            .unwrap();
        let response = tokio::time::timeout(Duration::from_secs(10), router.oneshot(request)).await;
        let status = response.unwrap().unwrap().status();
        assert_eq!(status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_form_that_does_not_arrive_in_time_is_not_an_error_of_the_server() {
        let first = stream::iter([Ok::<_, Infallible>("email=a")]);
        let part = Body::from_stream(first.chain(stream::pending()));
        for (body, expected) in [
            (part, StatusCode::REQUEST_TIMEOUT),
            (Body::from("email=a"), StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let request = Request::post("/form")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body)
                .unwrap();
            let (status, page) = page(request).await;
            assert_eq!(status, expected, "{page}");
        }
    }
}
