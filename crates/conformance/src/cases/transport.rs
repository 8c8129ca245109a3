//! Transports, methods and paths.

use anyhow::{Context as _, bail, ensure};
use http::{HeaderValue, Method, StatusCode, header};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{ExportLogsServiceRequest, logs_service_client::LogsServiceClient},
    metrics::v1::{ExportMetricsServiceRequest, metrics_service_client::MetricsServiceClient},
    trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
};
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::{Code, codec::CompressionEncoding, transport::Channel};

use crate::{
    Target, answer,
    case::Skip,
    grpc,
    http::{Encoding, Http},
    sample::{Signal, gzip},
};

/// Number of clients in parallel, and requests of each.
const CLIENTS: usize = 100;
const REQUESTS: usize = 3;

const PROFILES: &str = "/v1development/profiles";
const PROFILES_METHOD: &str =
    "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export";

pub(super) async fn grpc_plain(target: &Target) -> anyhow::Result<()> {
    generated_clients(target, None).await
}

pub(super) async fn grpc_gzip(target: &Target) -> anyhow::Result<()> {
    generated_clients(target, Some(CompressionEncoding::Gzip)).await
}

/// Sends each signal with the clients that are generated from the service definitions.
async fn generated_clients(
    target: &Target,
    compression: Option<CompressionEncoding>,
) -> anyhow::Result<()> {
    let url = target.grpc.clone().ok_or(Skip("no gRPC URL"))?;
    let channel = Channel::from_shared(url)?.connect().await?;

    let mut traces = TraceServiceClient::new(channel.clone());
    let mut metrics = MetricsServiceClient::new(channel.clone());
    let mut logs = LogsServiceClient::new(channel);
    if let Some(encoding) = compression {
        traces = traces.send_compressed(encoding).accept_compressed(encoding);
        metrics = metrics
            .send_compressed(encoding)
            .accept_compressed(encoding);
        logs = logs.send_compressed(encoding).accept_compressed(encoding);
    }

    let request = ExportTraceServiceRequest::decode(&*Signal::Traces.protobuf())?;
    let answer = traces.export(request).await.context("traces")?;
    let partial = answer.into_inner().partial_success.unwrap_or_default();
    ensure!(partial.rejected_spans == 0, "traces: {partial:?}");

    let request = ExportMetricsServiceRequest::decode(&*Signal::Metrics.protobuf())?;
    let answer = metrics.export(request).await.context("metrics")?;
    let partial = answer.into_inner().partial_success.unwrap_or_default();
    ensure!(partial.rejected_data_points == 0, "metrics: {partial:?}");

    let request = ExportLogsServiceRequest::decode(&*Signal::Logs.protobuf())?;
    let answer = logs.export(request).await.context("logs")?;
    let partial = answer.into_inner().partial_success.unwrap_or_default();
    ensure!(partial.rejected_log_records == 0, "logs: {partial:?}");
    Ok(())
}

pub(super) async fn protobuf_plain(target: &Target) -> anyhow::Result<()> {
    http_plain(target, Encoding::Protobuf).await
}

pub(super) async fn json_plain(target: &Target) -> anyhow::Result<()> {
    http_plain(target, Encoding::Json).await
}

pub(super) async fn protobuf_gzip(target: &Target) -> anyhow::Result<()> {
    http_gzip(target, Encoding::Protobuf).await
}

pub(super) async fn json_gzip(target: &Target) -> anyhow::Result<()> {
    http_gzip(target, Encoding::Json).await
}

async fn http_plain(target: &Target, encoding: Encoding) -> anyhow::Result<()> {
    let client = target.http()?;
    for signal in Signal::ALL {
        let answer = client.post(signal, encoding, encoding.request(signal));
        let answer = answer.await.context(signal.name())?;
        answer.accepted(signal, encoding).context(signal.name())?;
    }
    Ok(())
}

async fn http_gzip(target: &Target, encoding: Encoding) -> anyhow::Result<()> {
    let client = target.http()?;
    for signal in Signal::ALL {
        let body = gzip(&encoding.request(signal))?;
        let answer = client.post_encoded(signal, encoding, "gzip", body);
        let answer = answer.await.context(signal.name())?;
        answer.accepted(signal, encoding).context(signal.name())?;
    }
    Ok(())
}

pub(super) async fn grpc_unset(target: &Target) -> anyhow::Result<()> {
    let client = target.grpc()?;
    for signal in Signal::ALL {
        let answer = client.export(signal, &signal.protobuf()).await?;
        answer::unset(answer.success()?.as_ref()).context(signal.name())?;
    }
    Ok(())
}

pub(super) async fn http_unset(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    for encoding in Encoding::ALL {
        for signal in Signal::ALL {
            let answer = client.post(signal, encoding, encoding.request(signal));
            let partial = answer.await?.success(signal, encoding)?;
            answer::unset(partial.as_ref()).context(signal.name())?;
        }
    }
    Ok(())
}

pub(super) async fn json_charset(target: &Target) -> anyhow::Result<()> {
    content_type(target, "application/json; charset=utf-8", Encoding::Json).await
}

pub(super) async fn content_type_case(target: &Target) -> anyhow::Result<()> {
    content_type(target, "Application/JSON", Encoding::Json).await?;
    content_type(target, "APPLICATION/X-PROTOBUF", Encoding::Protobuf).await
}

async fn content_type(target: &Target, value: &str, encoding: Encoding) -> anyhow::Result<()> {
    let signal = Signal::Traces;
    let headers = [(header::CONTENT_TYPE, value)];
    let body = encoding.request(signal);
    let client = target.http()?;
    let answer = client.send(Method::POST, signal.path(), &headers, body);
    answer
        .await?
        .accepted(signal, encoding)
        .context(value.to_owned())
}

pub(super) async fn unsupported_type(target: &Target) -> anyhow::Result<()> {
    let (client, path) = (target.http()?, Signal::Traces.path());
    let body = Signal::Traces.protobuf();
    let text = [(header::CONTENT_TYPE, "text/plain")];
    for (what, headers) in [("text/plain", &text[..]), ("no content type", &[])] {
        let answer = client.send(Method::POST, path, headers, body.clone());
        let answer = answer.await.context(what)?;
        let refused = answer.has(&[StatusCode::UNSUPPORTED_MEDIA_TYPE]);
        refused.context(what)?;
    }
    Ok(())
}

pub(super) async fn unsupported_type_status(target: &Target) -> anyhow::Result<()> {
    let headers = [(header::CONTENT_TYPE, "text/plain")];
    let path = Signal::Traces.path();
    let client = target.http()?;
    let answer = client.send(Method::POST, path, &headers, b"text".to_vec());
    let answer = answer.await?;
    if answer.status.is_success() {
        bail!(Skip("the receiver accepts text/plain"));
    }
    answer.any_problem().map(drop)
}

pub(super) async fn other_methods(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    for method in [Method::GET, Method::PUT] {
        let what = method.to_string();
        let answer = client.send(method, Signal::Traces.path(), &[], Vec::new());
        let answer = answer.await?;
        let refused = answer.has(&[StatusCode::METHOD_NOT_ALLOWED]);
        refused.context(what.clone())?;
        let allow = answer.headers.get(header::ALLOW);
        let allow = allow.and_then(|value| value.to_str().ok());
        let allow = allow.unwrap_or_default();
        ensure!(allow.contains("POST"), "{what}: Allow is \"{allow}\"");
    }
    Ok(())
}

pub(super) async fn unknown_path(target: &Target) -> anyhow::Result<()> {
    let headers = [(header::CONTENT_TYPE, Encoding::Protobuf.content_type())];
    let client = target.http()?;
    let answer = client.send(Method::POST, "/v1/unknown", &headers, Vec::new());
    answer.await?.has(&[StatusCode::NOT_FOUND])
}

pub(super) async fn other_statuses(target: &Target) -> anyhow::Result<()> {
    let headers = [(header::CONTENT_TYPE, Encoding::Protobuf.content_type())];
    let client = target.http()?;
    for (method, path) in [
        (Method::GET, Signal::Traces.path()),
        (Method::POST, "/v1/unknown"),
    ] {
        let answer = client.send(method, path, &headers, Vec::new()).await?;
        answer.any_problem().context(path)?;
    }
    Ok(())
}

pub(super) async fn parallel(target: &Target) -> anyhow::Result<()> {
    let url = target.http.clone().ok_or(Skip("no HTTP URL"))?;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let client = Http::new(&url);
        clients.spawn(async move {
            for _ in 0..REQUESTS {
                let (signal, encoding) = (Signal::Traces, Encoding::Protobuf);
                let answer = client.post(signal, encoding, signal.protobuf());
                answer.await?.accepted(signal, encoding)?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(client) = clients.join_next().await {
        client??;
    }
    Ok(())
}

pub(super) async fn http2(target: &Target) -> anyhow::Result<()> {
    let url = target.http.as_deref().ok_or(Skip("no HTTP URL"))?;
    let (signal, encoding) = (Signal::Traces, Encoding::Protobuf);
    let client = Http::http2(url);
    let answer = client.post(signal, encoding, signal.protobuf()).await?;
    answer.accepted(signal, encoding)
}

pub(super) async fn chunked(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    let status = client.chunked(&Signal::Traces.protobuf()).await?;
    ensure!(status == StatusCode::OK, "answer {status}");
    Ok(())
}

pub(super) async fn expect_continue(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    let body = Signal::Traces.protobuf();
    let (continues, status) = client.expecting(&body).await?;
    ensure!(status == StatusCode::OK, "answer {status}");
    ensure!(continues, "no interim answer 100 within 2 s");
    Ok(())
}

pub(super) async fn twice(target: &Target) -> anyhow::Result<()> {
    let request = Signal::Traces.protobuf();
    for _ in 0..2 {
        let partial = target.export(Signal::Traces, request.clone()).await?;
        answer::accepted(partial)?;
    }
    Ok(())
}

pub(super) async fn local_origin(target: &Target) -> anyhow::Result<()> {
    let origin = "http://localhost:3000";
    match preflight(target, origin).await? {
        Some(allowed) if allowed == origin || allowed == "*" => Ok(()),
        allowed => bail!("Access-Control-Allow-Origin is {allowed:?}"),
    }
}

pub(super) async fn other_origin(target: &Target) -> anyhow::Result<()> {
    let origin = "https://evil.example";
    match preflight(target, origin).await? {
        Some(allowed) if allowed == origin || allowed == "*" => {
            bail!("Access-Control-Allow-Origin is {allowed:?}")
        }
        _ => Ok(()),
    }
}

async fn preflight(target: &Target, origin: &str) -> anyhow::Result<Option<HeaderValue>> {
    let headers = [
        (header::ORIGIN, origin),
        (header::ACCESS_CONTROL_REQUEST_METHOD, "POST"),
        (header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type"),
    ];
    let path = Signal::Traces.path();
    let client = target.http()?;
    let answer = client.send(Method::OPTIONS, path, &headers, Vec::new());
    let allowed = answer.await?.headers;
    Ok(allowed.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned())
}

pub(super) async fn profiles_path(target: &Target) -> anyhow::Result<()> {
    let encoding = Encoding::Protobuf;
    let headers = [(header::CONTENT_TYPE, encoding.content_type())];
    let client = target.http()?;
    let answer = client.send(Method::POST, PROFILES, &headers, Vec::new());
    let answer = answer.await?;
    if answer.status.is_success() {
        bail!(Skip("the receiver takes profiles"));
    }
    answer.refused(StatusCode::NOT_FOUND, encoding).map(drop)
}

pub(super) async fn profiles_service(target: &Target) -> anyhow::Result<()> {
    let client = target.grpc()?;
    let answer = client.send(PROFILES_METHOD, None, grpc::frame(false, &[]));
    let answer = answer.await?;
    if answer.status.code() == Code::Ok {
        bail!(Skip("the receiver takes profiles"));
    }
    answer.refused(Code::Unimplemented)
}
