//! The used parts of Tempo's `tempopb.StreamingQuerier` (`pkg/tempopb/tempo.proto`).

use opentelemetry_proto::tonic::common::v1::KeyValue;
use tonic::{Request, Streaming, client::Grpc, transport::Channel};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SearchRequest {
    #[prost(uint32, tag = "4")]
    pub(super) limit: u32,
    #[prost(uint32, tag = "5")]
    pub(super) start: u32,
    #[prost(uint32, tag = "6")]
    pub(super) end: u32,
    #[prost(string, tag = "8")]
    pub(super) query: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SearchResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) traces: Vec<TraceFound>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TraceFound {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct QueryRangeRequest {
    #[prost(string, tag = "1")]
    pub(super) query: String,
    #[prost(uint64, tag = "2")]
    pub(super) start: u64,
    #[prost(uint64, tag = "3")]
    pub(super) end: u64,
    #[prost(uint64, tag = "4")]
    pub(super) step: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct QueryRangeResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) series: Vec<Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Series {
    #[prost(message, repeated, tag = "1")]
    pub(super) labels: Vec<KeyValue>,
}

/// Asks Tempo for a stream of answers.
pub(super) async fn ask<Q, A>(
    channel: Channel,
    method: &str,
    request: Q,
) -> anyhow::Result<Streaming<A>>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let path = format!("/tempopb.StreamingQuerier/{method}").parse()?;
    let codec: ProstCodec<Q, A> = ProstCodec::default();
    let answer = client.server_streaming(Request::new(request), path, codec);
    Ok(answer.await?.into_inner())
}
