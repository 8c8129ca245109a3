//! Test of a call whose deadline passes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use e2e::{Collector, Process, collector::text, system::eventually};
use http::{HeaderValue, Request};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
use prost::Message as _;
use proto::user::v1::CreateUserRequest;

use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial(
        "deadlines::a_missed_deadline_is_a_failure_of_the_server",
        async || missed().await,
    )]
}

/// Calls of a client that sets a deadline, but waits longer for the answer.
async fn missed() -> anyhow::Result<()> {
    const CALLS: usize = 20;
    let collector = Collector::start().await?;
    let endpoint = collector.endpoint();
    let folder = tempfile::tempdir()?;
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        // One password at a time, and each takes longer than the caller's deadline.
        ("HASH_MEMORY_KIB", "262144"),
        ("HASH_CONCURRENCY", "1"),
        ("PORT", "0"),
    ];
    let mut user = Process::start("user", &[], &variables, folder.path())?;
    let address = user.ready().await?;
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let calls = (0..CALLS).map(|number| {
        let message = CreateUserRequest {
            email: format!("ann{number}@example.com"),
            password: "correct horse battery".to_owned(),
            user_id: String::new(),
        };
        let mut body = vec![0];
        body.extend((message.encoded_len() as u32).to_be_bytes());
        body.extend(message.encode_to_vec());
        let uri = format!("http://{address}/user.v1.UserService/CreateUser");
        let request = Request::post(uri)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", "20m")
            .body(Full::from(body));
        let client = client.clone();
        async move {
            let response = client.request(request?).await?;
            let code = response.headers().get("grpc-status").cloned();
            anyhow::Ok(code)
        }
    });
    let calls: Vec<_> = calls.map(tokio::spawn).collect();
    for call in calls {
        let code = call.await??;
        let code = code.as_ref().map(HeaderValue::as_bytes);
        ensure!(code == Some(b"4"), "{code:?}");
    }

    eventually(Duration::from_secs(20), async || {
        let received = collector.received();
        let server = SpanKind::Server as i32;
        let spans = received.spans.iter().map(|(_, span)| span);
        let spans: Vec<_> = spans.filter(|span| span.kind == server).collect();
        ensure!(spans.len() == CALLS, "{} spans", spans.len());
        for span in spans {
            let code = text(&span.attributes, "rpc.response.status_code");
            let error = text(&span.attributes, "error.type");
            let late = Some("DEADLINE_EXCEEDED");
            ensure!(code == late && error == late, "{span:#?}");
            let status = span.status.as_ref().context("no status")?;
            ensure!(status.code() == StatusCode::Error, "{span:#?}");
        }
        let duration = received
            .metrics
            .iter()
            .rfind(|(_, metric)| metric.name == "rpc.server.call.duration")
            .context("no durations")?;
        let duration = format!("{duration:?}");
        ensure!(duration.contains("DEADLINE_EXCEEDED"), "{duration}");
        ensure!(!duration.contains("CANCELLED"), "{duration}");
        Ok(())
    })
    .await?;
    ensure!(user.stop().await?.success());
    Ok(())
}
