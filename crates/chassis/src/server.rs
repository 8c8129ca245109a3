//! gRPC server: health, reflection, telemetry, limits, and a drain at the stop.

use std::{any::Any, convert::Infallible, time::Duration};

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyStream, StreamBody};
use telemetry::grpc::ServerLayer;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::{
    body::Body,
    service::{LayerExt as _, Routes},
    transport::Server,
};
use tonic_health::ServingStatus;
use tonic_reflection::{pb, server::Builder as Reflection};
use tower::util::MapRequestLayer;
use tower_http::{catch_panic::CatchPanicLayer, validate_request::ValidateRequestHeaderLayer};

use crate::{accept::Acceptor, panics, requests::Requests, stop::drain};

/// Maximum number of concurrent calls on one connection. A process of `auth` calls `user` over one
/// connection, so reads must find room even when the queue for password hashes is full.
const STREAMS: u32 = 1024;

/// Mean age at which a connection is closed, once its calls have ended. Clients behind a load balancer of connections open
/// the next one to an instance that may be new.
const CONNECTION_AGE: Duration = Duration::from_secs(5 * 60);

/// Maximum size of a call's metadata: more than `tracestate` and `baggage` of 8 KiB each.
const HEAD_BYTES: u32 = 32 << 10;

/// Maximum size of a message for health and reflection.
const MESSAGE_BYTES: usize = 4 << 10;

/// The description of a service, for health, telemetry and reflection.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    /// The full name of the service, for health checks.
    pub service: &'static str,
    /// Its methods as `package.Service/Method`, for telemetry.
    pub methods: &'static [&'static str],
    /// The encoded `FileDescriptorSet`, for reflection; empty if the server has health alone.
    pub descriptors: &'static [u8],
}

/// Serves until `shutdown` ends. Then it answers `NOT_SERVING` to health checks.
///
/// After the time `lame_duck`, it accepts no new calls, and waits up to [`DRAIN`](crate::stop::DRAIN) for the calls under
/// way.
///
/// # Errors
/// When the server fails, or the descriptors cannot be read.
pub async fn serve(
    contract: Contract,
    own: Routes,
    listener: TcpListener,
    lame_duck: Duration,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    serve_within(
        connection_age(),
        contract,
        own,
        listener,
        lame_duck,
        shutdown,
    )
    .await
}

/// Like [`serve`], and closes connections at this age.
pub(crate) async fn serve_within(
    age: Duration,
    contract: Contract,
    own: Routes,
    listener: TcpListener,
    lame_duck: Duration,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let (mut health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status(contract.service, ServingStatus::Serving)
        .await;
    let (stop, stopped) = watch::channel(());
    let reflection = || reflection(&contract);
    // A client may keep its stream open forever.
    let until_stop = MapRequestLayer::new({
        let stopped = stopped.clone();
        move |request| until(stopped.clone(), request)
    });
    let v1 = reflection()
        .build_v1()
        .context("cannot serve reflection")?
        .max_decoding_message_size(MESSAGE_BYTES);
    let v1alpha = reflection()
        .build_v1alpha()
        .context("cannot serve reflection")?
        .max_decoding_message_size(MESSAGE_BYTES);

    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    tracing::info!(%address, "ready");

    let requests = Requests::default();
    let server = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .max_connection_age(age)
        .max_concurrent_streams(Some(STREAMS))
        .http2_max_header_list_size(Some(HEAD_BYTES))
        // A service calls over one connection. With fewer, the cancelled calls of some of its clients
        // would close the connection of all.
        .http2_max_pending_accept_reset_streams(Some(STREAMS as usize))
        .layer(requests.clone())
        .layer(ValidateRequestHeaderLayer::custom(only_grpc))
        .layer(ServerLayer::new(contract.methods))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| {
            internal_after_panic(panic.as_ref())
        }))
        .add_routes(own)
        .add_service(health_service.max_decoding_message_size(MESSAGE_BYTES))
        .add_service(until_stop.named_layer(v1))
        .add_service(until_stop.named_layer(v1alpha))
        .serve_with_incoming_shutdown(incoming(listener), ended(stopped));

    let drained = async {
        shutdown.await;
        let names = ["", contract.service];
        for name in names {
            health
                .set_service_status(name, ServingStatus::NotServing)
                .await;
        }
        tokio::time::sleep(lame_duck).await;
        for name in names {
            // Ends the `Watch` streams, after the last status.
            health.clear_service_status(name).await;
        }
        drop(stop);
        drain(requests.drained()).await;
    };

    tokio::select! {
        outcome = server => outcome.context("the server failed")?,
        // Idle connections may still be open. They end with the process.
        () = drained => {}
    }
    Ok(())
}

/// The age at which this process closes connections: [`CONNECTION_AGE`], and up to a tenth more or less. So the clients of
/// several processes that started together do not all connect at the same moment.
///
/// There is no limit for the calls that are under way then, because tonic's `max_connection_age_grace` replaces the graceful
/// close by an abrupt one. Calls have deadlines of their own.
fn connection_age() -> Duration {
    CONNECTION_AGE.mul_f64(0.9 + 0.2 * fastrand::f64())
}

fn incoming(
    listener: TcpListener,
) -> impl futures_util::Stream<Item = Result<TcpStream, Infallible>> {
    stream::unfold(Acceptor::new(listener), async |mut acceptor| {
        let (stream, _) = acceptor.accept().await;
        Some((Ok(stream), acceptor))
    })
}

/// Reflection of the services of this server alone, even if the descriptors have more.
fn reflection(contract: &Contract) -> Reflection<'static> {
    let mut reflection = Reflection::configure()
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(pb::v1alpha::FILE_DESCRIPTOR_SET)
        .with_service_name(tonic_health::pb::health_server::SERVICE_NAME)
        .with_service_name(pb::v1::server_reflection_server::SERVICE_NAME)
        .with_service_name(pb::v1alpha::server_reflection_server::SERVICE_NAME);
    if !contract.descriptors.is_empty() {
        reflection = reflection
            .register_encoded_file_descriptor_set(contract.descriptors)
            .with_service_name(contract.service);
    }
    reflection
}

/// The request with a body that ends at the stop.
fn until(stopped: watch::Receiver<()>, request: Request<Body>) -> Request<Body> {
    request.map(|body| {
        let frames = BodyStream::new(body).take_until(Box::pin(ended(stopped)));
        Body::new(StreamBody::new(frames))
    })
}

/// Ends when the sender is dropped.
async fn ended(mut receiver: watch::Receiver<()>) {
    while receiver.changed().await.is_ok() {}
}

/// Refuses requests that are not gRPC with HTTP status 415, as the protocol requires (gRPC over
/// HTTP/2, "Requests"). tonic leaves this to its layers.
fn only_grpc<B: Default>(request: &mut Request<Body>) -> Result<(), Response<B>> {
    let content_type = request.headers().get(CONTENT_TYPE);
    let rest = content_type.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    // application/grpc-web is refused too, because its framing differs.
    if rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';'))) {
        return Ok(());
    }
    let mut refusal = Response::new(B::default());
    *refusal.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(refusal)
}

/// The answer to a request that panicked. Other requests of the connection continue.
fn internal_after_panic(panic: &(dyn Any + Send)) -> Response<Body> {
    tracing::error!(reason = panics::reason(panic), "a request panicked");
    crate::status::internal().into_http()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_close_connections_at_different_ages() {
        let ages: Vec<_> = (0..100).map(|_| connection_age().as_secs()).collect();
        assert!(ages.iter().all(|age| (270..=330).contains(age)), "{ages:?}");
        assert!(ages.iter().any(|age| *age < 290) && ages.iter().any(|age| *age > 310));
    }
}
