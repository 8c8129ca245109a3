//! The schema of the events, published to a registry for those who read the topics with other
//! tools. Nothing here needs the registry.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use backon::{ExponentialBuilder, Retryable as _};
use bytes::Bytes;
use http::{Request, Uri, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};

/// How long the registry may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much of its answer is read, to say it in the log.
const MAX_ANSWER_BYTES: usize = 4096;

/// Publishes the schema for the values of these topics. What fails is tried some more times, and
/// then said in the log.
pub(crate) async fn publish(registry: &Uri, topics: &[&str]) {
    let delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_times(5)
        .with_jitter();
    let attempt = async || {
        for topic in topics {
            register(registry, &format!("{topic}-value")).await?;
        }
        anyhow::Ok(())
    };
    match attempt.retry(delays).await {
        Ok(()) => tracing::info!(%registry, "schema published"),
        Err(error) => tracing::warn!(
            %registry,
            error = AsRef::<dyn std::error::Error>::as_ref(&error),
            "cannot publish the schema"
        ),
    }
}

async fn register(registry: &Uri, subject: &str) -> anyhow::Result<()> {
    let base = registry.to_string();
    let url = format!("{}/subjects/{subject}/versions", base.trim_end_matches('/'));
    let body = serde_json::json!({ "schemaType": "PROTOBUF", "schema": proto::EVENTS });
    let request = Request::post(url)
        .header(CONTENT_TYPE, "application/vnd.schemaregistry.v1+json")
        .body(Full::new(Bytes::from(body.to_string())))?;
    let exchange = async {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.context("no answer")?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES);
        let answer = body.collect().await.map(|body| body.to_bytes());
        let answer = answer.unwrap_or_default();
        let answer = String::from_utf8_lossy(&answer);
        ensure!(status.is_success(), "{status}: {answer}");
        Ok(())
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .context("no answer in time")?
}
