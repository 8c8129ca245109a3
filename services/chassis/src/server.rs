//! Serving gRPC: health, reflection, observed calls, a drain at the end.

use std::{any::Any, time::Duration};

use anyhow::Context as _;
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use telemetry::grpc::ServerLayer;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{body::Body, service::Routes, transport::Server};
use tonic_health::ServingStatus;
use tower_http::{catch_panic::CatchPanicLayer, validate_request::ValidateRequestHeaderLayer};

/// How long calls that are under way at a stop may take to end.
pub const DRAIN: Duration = Duration::from_secs(10);

/// What a gRPC server serves besides its own services.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    /// The full name of the service, for health checks.
    pub service: &'static str,
    /// Its methods as `package.Service/Method`, for telemetry.
    pub methods: &'static [&'static str],
    /// The encoded `FileDescriptorSet`, for reflection.
    pub descriptors: &'static [u8],
}

/// Serves until `shutdown` ends: then says so to health checks, takes no new calls, and waits
/// up to [`DRAIN`] for those under way.
///
/// # Errors
/// When the server fails, or the descriptors cannot be read.
pub async fn serve(
    contract: Contract,
    own: Routes,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status(contract.service, ServingStatus::Serving)
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(contract.descriptors)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("cannot serve reflection")?;

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    tracing::info!(%address, "ready");

    let server = Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .layer(ValidateRequestHeaderLayer::custom(only_grpc))
        .layer(ServerLayer::new(contract.methods))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| {
            internal_after_panic(panic.as_ref())
        }))
        .add_routes(own)
        .add_service(health_service)
        .add_service(reflection)
        .serve_with_incoming_shutdown(nodelay(listener), async {
            // An error means that the sender is gone, which is a stop too.
            let _ = stopped.await;
        });

    let announced = async {
        shutdown.await;
        health
            .set_service_status("", ServingStatus::NotServing)
            .await;
        health
            .set_service_status(contract.service, ServingStatus::NotServing)
            .await;
        let _ = stop.send(());
        tokio::time::sleep(DRAIN).await;
    };

    tokio::select! {
        outcome = server => outcome.context("the server failed")?,
        () = announced => tracing::warn!(
            drain_seconds = DRAIN.as_secs(),
            "calls were still under way at the end of the drain"
        ),
    }
    Ok(())
}

/// Small answers must not wait for more to say (Nagle's algorithm).
fn nodelay(
    listener: TcpListener,
) -> impl tokio_stream::Stream<Item = std::io::Result<tokio::net::TcpStream>> {
    use tokio_stream::StreamExt as _;
    TcpListenerStream::new(listener).map(|stream| {
        let stream = stream?;
        stream.set_nodelay(true)?;
        Ok(stream)
    })
}

/// What is not gRPC is refused as the protocol says, which tonic leaves to its layers (gRPC over
/// HTTP/2, "Requests": HTTP status 415).
fn only_grpc<B: Default>(request: &mut Request<Body>) -> Result<(), Response<B>> {
    let content_type = request.headers().get(CONTENT_TYPE);
    let rest = content_type.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    // Not application/grpc-web, which has another framing.
    if rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';'))) {
        return Ok(());
    }
    let mut refusal = Response::new(B::default());
    *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(refusal)
}

/// A panic fails its own request and no other of the connection.
fn internal_after_panic(panic: &(dyn Any + Send)) -> Response<Body> {
    let reason = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(reason, "a request panicked");
    crate::status::internal().into_http()
}
