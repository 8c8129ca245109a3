//! The limit of a request.

use anyhow::{Context as _, bail, ensure};
use http::StatusCode;
use tonic::Code;

use crate::{
    Target,
    case::Skip,
    http::Encoding,
    sample::{self, Signal, gzip},
    target::MIB,
};

const TRACES: Signal = Signal::Traces;

/// More than the default limits of gRPC implementations and of some HTTP frameworks.
const USUAL: usize = 5 * MIB;

pub(super) async fn up_to(target: &Target) -> anyhow::Result<()> {
    for bytes in [target.limit - 1, target.limit] {
        protobuf_accepted(target, bytes).await?;
    }
    Ok(())
}

pub(super) async fn default(target: &Target) -> anyhow::Result<()> {
    if target.limit < USUAL {
        bail!(Skip("the limit is below 5 MiB"));
    }
    protobuf_accepted(target, USUAL).await
}

async fn protobuf_accepted(target: &Target, bytes: usize) -> anyhow::Result<()> {
    let encoding = Encoding::Protobuf;
    let client = target.http()?;
    let answer = client.post(TRACES, encoding, sample::protobuf_of(bytes)?);
    let answer = answer.await.with_context(|| size(bytes))?;
    let accepted = answer.accepted(TRACES, encoding);
    accepted.with_context(|| size(bytes))
}

pub(super) async fn above(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    let body = sample::protobuf_of(target.limit + 1)?;
    let answer = client.post(TRACES, Encoding::Protobuf, body).await?;
    let refused = answer.refused(StatusCode::PAYLOAD_TOO_LARGE, Encoding::Protobuf);
    refused.map(drop)
}

pub(super) async fn json_above(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    let body = sample::json_of(target.limit + 1)?;
    let answer = client.post(TRACES, Encoding::Json, body).await?;
    let refused = answer.refused(StatusCode::PAYLOAD_TOO_LARGE, Encoding::Json);
    refused.map(drop)
}

pub(super) async fn unpacked(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    let body = gzip(&sample::protobuf_of(target.limit + 1)?)?;
    let answer = client.post_encoded(TRACES, Encoding::Protobuf, "gzip", body);
    let refused = answer
        .await?
        .refused(StatusCode::PAYLOAD_TOO_LARGE, Encoding::Protobuf);
    refused.map(drop)
}

pub(super) async fn grpc_up_to(target: &Target) -> anyhow::Result<()> {
    for bytes in [target.limit - 1, target.limit] {
        grpc_accepted(target, bytes).await?;
    }
    Ok(())
}

pub(super) async fn grpc_default(target: &Target) -> anyhow::Result<()> {
    if target.limit < USUAL {
        bail!(Skip("the limit is below 5 MiB"));
    }
    grpc_accepted(target, USUAL).await
}

async fn grpc_accepted(target: &Target, bytes: usize) -> anyhow::Result<()> {
    let message = sample::protobuf_of(bytes)?;
    let answer = target.grpc()?.export(TRACES, &message).await;
    let answer = answer.with_context(|| size(bytes))?;
    answer.accepted().with_context(|| size(bytes))
}

pub(super) async fn grpc_above(target: &Target) -> anyhow::Result<()> {
    let message = sample::protobuf_of(target.limit + 1)?;
    let answer = target.grpc()?.export(TRACES, &message).await?;
    ensure!(answer.status.code() != Code::Ok, "accepted");
    answer.refused(Code::ResourceExhausted)?;
    answer.refused_for_good()
}

pub(super) async fn grpc_unpacked(target: &Target) -> anyhow::Result<()> {
    let message = gzip(&sample::protobuf_of(target.limit + 1)?)?;
    let answer = target.grpc()?.export_gzip(TRACES, &message).await?;
    answer.refused(Code::ResourceExhausted)?;
    answer.refused_for_good()
}

fn size(bytes: usize) -> String {
    format!("{bytes} bytes")
}
