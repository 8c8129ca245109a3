//! Compression, empty requests, partial success and undecodable requests.

use anyhow::{Context as _, bail, ensure};
use http::{Method, StatusCode, header};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message as _;
use serde_json::json;
use tonic::Code;

use crate::{
    Target,
    answer::{self, Partial},
    case::Skip,
    grpc,
    http::{Answer, Encoding},
    sample::{self, GARBAGE, Signal, gzip, span},
};

const TRACES: Signal = Signal::Traces;

pub(super) async fn accept_encoding(target: &Target) -> anyhow::Result<()> {
    let headers = [
        (header::CONTENT_TYPE, Encoding::Protobuf.content_type()),
        (header::ACCEPT_ENCODING, "gzip"),
    ];
    let client = target.http()?;
    let answer = client.send(Method::POST, TRACES.path(), &headers, TRACES.protobuf());
    let mut answer = answer.await?;
    if let Some(encoding) = answer.headers.get(header::CONTENT_ENCODING) {
        ensure!(encoding == "gzip", "Content-Encoding is {encoding:?}");
        answer.body = sample::gunzip(&answer.body)?.into();
    }
    answer.accepted(TRACES, Encoding::Protobuf)
}

pub(super) async fn unknown_encoding(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    for name in ["zstd", "unknown"] {
        let encoding = Encoding::Protobuf;
        let answer = client.post_encoded(TRACES, encoding, name, TRACES.protobuf());
        let answer = answer.await.context(name)?;
        let statuses = [StatusCode::BAD_REQUEST, StatusCode::UNSUPPORTED_MEDIA_TYPE];
        answer.has(&statuses).context(name)?;
    }
    Ok(())
}

pub(super) async fn wrong_gzip(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    for encoding in Encoding::ALL {
        let plain = encoding.request(TRACES);
        let whole = gzip(&plain)?;
        let cut = whole[..whole.len() / 2].to_vec();
        for (what, body) in [("plain bytes", plain), ("cut gzip", cut)] {
            let answer = client.post_encoded(TRACES, encoding, "gzip", body);
            let answer = answer.await.context(what)?;
            let refused = answer.refused(StatusCode::BAD_REQUEST, encoding);
            refused.context(what)?;
        }
    }
    Ok(())
}

pub(super) async fn grpc_wrong_gzip(target: &Target) -> anyhow::Result<()> {
    let client = target.grpc()?;
    let plain = TRACES.protobuf();
    let whole = gzip(&plain)?;
    let cut = whole[..whole.len() / 2].to_vec();
    for (what, message) in [("plain bytes", plain), ("cut gzip", cut)] {
        let answer = client.export_gzip(TRACES, &message).await.context(what)?;
        answer.refused_for_good().context(what)?;
    }
    Ok(())
}

pub(super) async fn grpc_unknown_encoding(target: &Target) -> anyhow::Result<()> {
    let client = target.grpc()?;
    let body = grpc::frame(true, &TRACES.protobuf());
    let answer = client.send(TRACES.method(), Some("unknown"), body).await?;
    answer.refused(Code::Unimplemented)
}

pub(super) async fn empty(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    for signal in Signal::ALL {
        let resources = json!({ signal.resources(): [] }).to_string();
        for (encoding, body) in [
            (Encoding::Protobuf, Vec::new()),
            (Encoding::Json, b"{}".to_vec()),
            (Encoding::Json, resources.into_bytes()),
        ] {
            let answer = client.post(signal, encoding, body).await?;
            answer.accepted(signal, encoding).context(signal.name())?;
        }
    }
    Ok(())
}

pub(super) async fn grpc_empty(target: &Target) -> anyhow::Result<()> {
    let client = target.grpc()?;
    for signal in Signal::ALL {
        let answer = client.export(signal, &[]).await?;
        answer.accepted().context(signal.name())?;
    }
    Ok(())
}

pub(super) async fn empty_envelopes(target: &Target) -> anyhow::Result<()> {
    let resource = ResourceSpans::default();
    let scope = ResourceSpans {
        scope_spans: vec![ScopeSpans::default()],
        ..ResourceSpans::default()
    };
    for resource_spans in [
        vec![resource.clone()],
        vec![scope.clone()],
        vec![resource, scope],
    ] {
        let mut request = sample::traces(Vec::new());
        request.resource_spans = resource_spans;
        answer::accepted(target.export(TRACES, request.encode_to_vec()).await?)?;
    }
    Ok(())
}

pub(super) async fn partial(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    for encoding in Encoding::ALL {
        let body = match encoding {
            Encoding::Protobuf => one_bad_of_three(),
            Encoding::Json => {
                let mut bad = sample::json_span();
                bad["traceId"] = json!("00".repeat(16));
                let mut request = sample::json_traces(&sample::json_span());
                request["resourceSpans"][0]["scopeSpans"][0]["spans"] =
                    json!([sample::json_span(), bad, sample::json_span()]);
                request.to_string().into_bytes()
            }
        };
        let answer = client.post(TRACES, encoding, body).await?;
        if answer.status == StatusCode::BAD_REQUEST {
            bail!(Skip("the receiver refuses the whole request"));
        }
        exact(answer.success(TRACES, encoding)?)?;
    }
    Ok(())
}

pub(super) async fn grpc_partial(target: &Target) -> anyhow::Result<()> {
    let client = target.grpc()?;
    let answer = client.export(TRACES, &one_bad_of_three()).await?;
    if answer.status.code() == Code::InvalidArgument {
        bail!(Skip("the receiver refuses the whole request"));
    }
    exact(answer.success()?)
}

/// Requires that the answer counts the one bad span, if it reports a rejection.
fn exact(partial: Option<Partial>) -> anyhow::Result<()> {
    match partial {
        Some(Partial {
            rejected: 1,
            message,
        }) => {
            ensure!(!message.is_empty(), "1 rejected without an error_message");
            Ok(())
        }
        Some(partial) if partial.rejected != 0 => bail!("1 of 3 spans is bad: {partial:?}"),
        _ => bail!(Skip("the receiver accepts a span without a valid trace id")),
    }
}

fn one_bad_of_three() -> Vec<u8> {
    let mut bad = span();
    bad.trace_id = vec![0; 16];
    sample::traces(vec![span(), bad, span()]).encode_to_vec()
}

pub(super) async fn garbage_protobuf(target: &Target) -> anyhow::Result<()> {
    for signal in Signal::ALL {
        let answer = bad_request(target, signal, Encoding::Protobuf, GARBAGE).await?;
        let refused = answer.refused(StatusCode::BAD_REQUEST, Encoding::Protobuf);
        refused.context(signal.name())?;
    }
    Ok(())
}

pub(super) async fn garbage_json(target: &Target) -> anyhow::Result<()> {
    for signal in Signal::ALL {
        let answer = bad_request(target, signal, Encoding::Json, b"{\"resourceSpans\":").await?;
        let refused = answer.refused(StatusCode::BAD_REQUEST, Encoding::Json);
        refused.context(signal.name())?;
    }
    Ok(())
}

pub(super) async fn json_array(target: &Target) -> anyhow::Result<()> {
    let answer = bad_request(target, TRACES, Encoding::Json, b"[]").await?;
    let refused = answer.refused(StatusCode::BAD_REQUEST, Encoding::Json);
    refused.map(drop)
}

pub(super) async fn details(target: &Target) -> anyhow::Result<()> {
    for encoding in Encoding::ALL {
        let answer = bad_request(target, TRACES, encoding, GARBAGE).await?;
        let problem = answer.refused(StatusCode::BAD_REQUEST, encoding)?;
        ensure!(
            problem.bad_request,
            "no BadRequest in the details of the Status in {}",
            encoding.content_type()
        );
    }
    Ok(())
}

async fn bad_request(
    target: &Target,
    signal: Signal,
    encoding: Encoding,
    body: &[u8],
) -> anyhow::Result<Answer> {
    target.http()?.post(signal, encoding, body.to_vec()).await
}

pub(super) async fn grpc_garbage(target: &Target) -> anyhow::Result<()> {
    let client = target.grpc()?;
    for signal in Signal::ALL {
        let answer = client.export(signal, GARBAGE).await?;
        answer.refused_for_good().context(signal.name())?;
    }
    Ok(())
}

pub(super) async fn grpc_garbage_code(target: &Target) -> anyhow::Result<()> {
    let answer = target.grpc()?.export(TRACES, GARBAGE).await?;
    answer.refused(Code::InvalidArgument)
}

pub(super) async fn grpc_details(target: &Target) -> anyhow::Result<()> {
    let answer = target.grpc()?.export(TRACES, GARBAGE).await?;
    ensure!(
        answer.has_bad_request(),
        "no BadRequest in the details of {:?}",
        answer.status.code()
    );
    Ok(())
}
