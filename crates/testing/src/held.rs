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

/// Streams and connections that a client may hold open for ever.
#[derive(Debug)]
pub struct Held {
    watched: Streaming<HealthCheckResponse>,
    _v1: Streaming<v1::ServerReflectionResponse>,
    _v1alpha: Streaming<v1alpha::ServerReflectionResponse>,
    /// Connections that answer nothing: one has sent nothing, one has begun to speak HTTP/2.
    _mute: [TcpStream; 2],
}

impl Held {
    /// Opens them at the server with this address.
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
        // The preface, and SETTINGS without any.
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

    /// Whether the last status was that nothing is served any more, and the stream ended properly.
    pub async fn was_told(mut self) -> bool {
        let last = self.watched.message().await.unwrap().unwrap();
        let end = self.watched.message().await.unwrap();
        last.status() == ServingStatus::NotServing && end.is_none()
    }
}

/// A stop with open streams takes a tenth of a second; one that waits for them takes four.
pub const AT_ONCE: Duration = Duration::from_secs(1);
