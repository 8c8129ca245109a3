//! Streams and connections that clients hold open.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Streaming, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_reflection::pb::{v1, v1alpha};

/// Streams and connections that a client may hold open forever.
#[derive(Debug)]
pub struct Held {
    watched: Streaming<HealthCheckResponse>,
    _v1: Streaming<v1::ServerReflectionResponse>,
    _v1alpha: Streaming<v1alpha::ServerReflectionResponse>,
    /// Connections without requests: one has sent nothing, one has sent the start of HTTP/2.
    _mute: [TcpStream; 2],
}

impl Held {
    /// Opens streams and connections to the server at this address.
    pub async fn open(address: SocketAddr) -> Self {
        let url = format!("http://{address}");
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        let request = HealthCheckRequest::default();
        let mut health = HealthClient::new(channel.clone());
        let mut watched = health.watch(request).await.unwrap().into_inner();
        let first = watched.message().await.unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::Serving);

        let silent = TcpStream::connect(address).await.unwrap();
        let mut idle = TcpStream::connect(address).await.unwrap();
        // The HTTP/2 preface and an empty SETTINGS frame.
        idle.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
            .await
            .unwrap();
        idle.read_u8().await.unwrap();
        let mut reflection =
            v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let mut older = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
        Self {
            watched,
            _v1: reflection
                .server_reflection_info(tokio_stream::pending())
                .await
                .unwrap()
                .into_inner(),
            _v1alpha: older
                .server_reflection_info(tokio_stream::pending())
                .await
                .unwrap()
                .into_inner(),
            _mute: [silent, idle],
        }
    }

    /// Whether the last status on the health stream was `NOT_SERVING`, and the stream ended without an error.
    pub async fn was_told(mut self) -> bool {
        let last = self.watched.message().await.unwrap().unwrap();
        let end = self.watched.message().await.unwrap();
        last.status() == ServingStatus::NotServing && end.is_none()
    }
}

/// Time limit of a stop with open streams. It takes a tenth of a second; if it waited for the streams, it
/// would take four seconds.
pub const AT_ONCE: Duration = Duration::from_secs(1);
