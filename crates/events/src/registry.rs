//! Publishes the schema of the events to a schema registry, for consumers outside this project.
//! Nothing here reads from the registry.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use backon::{ExponentialBuilder, Retryable as _};
use reqwest::{Client, Url, header::CONTENT_TYPE, redirect::Policy};

/// Deadline of a request to the registry.
const PATIENCE: Duration = Duration::from_secs(5);

/// Maximum number of bytes that are read of an answer, which is enough for the log.
const MAX_ANSWER_BYTES: usize = 4096;

/// Publishes the schema for the values of these topics. If it still fails after some retries, logs it.
pub(crate) async fn publish(registry: &Url, topics: &[&str]) {
    let delays = ExponentialBuilder::default()
        .with_min_delay(Duration::from_secs(1))
        .with_max_times(5)
        .with_jitter();
    let attempt = async || {
        let http = Client::builder()
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .context("cannot make an HTTP client")?;
        for topic in topics {
            register(&http, registry, topic).await?;
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

async fn register(http: &Client, registry: &Url, topic: &str) -> anyhow::Result<()> {
    let mut url = registry.clone();
    // Always true for an http URL.
    if let Ok(mut path) = url.path_segments_mut() {
        let subject = format!("{topic}-value");
        path.pop_if_empty()
            .extend(["subjects", &subject, "versions"]);
    }
    let body = serde_json::json!({ "schemaType": "PROTOBUF", "schema": proto::EVENTS });
    let request = http
        .post(url)
        .header(CONTENT_TYPE, "application/vnd.schemaregistry.v1+json")
        .body(body.to_string());
    let mut response = request.send().await?;
    let status = response.status();
    let mut answer = Vec::new();
    while answer.len() < MAX_ANSWER_BYTES
        && let Ok(Some(chunk)) = response.chunk().await
    {
        answer.extend_from_slice(&chunk);
    }
    answer.truncate(MAX_ANSWER_BYTES);
    let answer = String::from_utf8_lossy(&answer);
    ensure!(status.is_success(), "{status}: {answer}");
    Ok(())
}
