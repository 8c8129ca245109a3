//! Reading by the API.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{ResourceMetrics, metric::Data},
};
use reqwest::StatusCode;
use serde_json::Value;

use crate::server::{Server, hex};

/// The ids of the traces of an answer, in its order, each as often as it has spans.
fn trace_ids(answer: &Value) -> Vec<String> {
    let groups = answer["resourceSpans"].as_array().unwrap().iter();
    let scopes = groups.flat_map(|group| group["scopeSpans"].as_array().unwrap());
    scopes
        .flat_map(|scope| scope["spans"].as_array().unwrap())
        .map(|span| span["traceId"].as_str().unwrap().to_owned())
        .collect()
}

fn bodies(answer: &Value) -> Vec<String> {
    let groups = answer["resourceLogs"].as_array().unwrap().iter();
    let scopes = groups.flat_map(|group| group["scopeLogs"].as_array().unwrap());
    scopes
        .flat_map(|scope| scope["logRecords"].as_array().unwrap())
        .map(|record| record["body"]["stringValue"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn traces_are_paged_newest_first() {
    let server = Server::start().await;
    let (empty, next) = server.json("/api/traces").await;
    assert_eq!((trace_ids(&empty).len(), next), (0, None));
    for number in 1..=5 {
        server.add_trace(number, 2, number == 3);
    }
    let (first, next) = server.json("/api/traces?limit=2&q=service:checkout").await;
    assert_eq!(trace_ids(&first), [5, 5, 4, 4].map(hex));
    let (second, next) = server.json(&next.unwrap()).await;
    assert_eq!(trace_ids(&second), [3, 3, 2, 2].map(hex));
    let (third, next) = server.json(&next.unwrap()).await;
    assert_eq!((trace_ids(&third), next), ([1, 1].map(hex).to_vec(), None));
    let (failed, _) = server.json("/api/traces?q=status:error").await;
    assert_eq!(trace_ids(&failed), [3, 3].map(hex));
}

#[tokio::test]
async fn a_large_trace_is_sent_in_parts_as_one_object() {
    let server = Server::start().await;
    server.add_trace(1, 12_345, false);
    server.add_trace(2, 3, false);
    let (trace, _) = server.json(&format!("/api/traces/{}", hex(1))).await;
    assert_eq!(trace_ids(&trace).len(), 12_345);
    // An answer ends before it has too many spans.
    let (first, next) = server.json("/api/traces").await;
    assert_eq!(trace_ids(&first).len(), 3);
    let (second, next) = server.json(&next.unwrap()).await;
    assert_eq!((trace_ids(&second).len(), next), (12_345, None));
}

#[tokio::test]
async fn logs_are_paged_newest_first() {
    let server = Server::start().await;
    server.add_logs(1..251, "number");
    let (first, next) = server.json("/api/logs?limit=120&q=level:info").await;
    let first = bodies(&first);
    assert_eq!(
        (first.len(), &*first[0], &*first[119]),
        (120, "number 250", "number 131")
    );
    let (second, next) = server.json(&next.unwrap()).await;
    assert_eq!(bodies(&second)[0], "number 130");
    let (third, next) = server.json(&next.unwrap()).await;
    assert_eq!((bodies(&third).len(), next), (10, None));
    let (one, _) = server
        .json("/api/logs?q=%22number+7%22+trace:abababababababab0000000000000007")
        .await;
    assert_eq!(bodies(&one), ["number 7"]);
}

#[tokio::test]
async fn large_log_records_make_an_answer_shorter() {
    let server = Server::start().await;
    server.add_logs(0..300, &"x".repeat(100_000));
    let (first, next) = server.json("/api/logs?limit=300").await;
    let count = bodies(&first).len();
    assert!((80..=200).contains(&count), "{count}");
    assert!(next.is_some());
}

#[tokio::test]
async fn series_are_paged_with_their_points() {
    let server = Server::start().await;
    let sample = include_str!("../../../../crates/otlp/tests/data/metrics.json");
    let request: ExportMetricsServiceRequest = otlp::json::decode(sample.as_bytes()).unwrap();
    server.lens.metrics.insert(&request);
    let mut found: Vec<ResourceMetrics> = Vec::new();
    let mut next = Some("/api/metrics?limit=1&q=service:my.service".to_owned());
    let mut pages = 0;
    while let Some(path) = next {
        let page;
        (page, next) = server.json(&path).await;
        let page = serde_json::to_vec(&page).unwrap();
        let page: ExportMetricsServiceRequest = otlp::json::decode(&page).unwrap();
        found.extend(page.resource_metrics);
        pages += 1;
    }
    assert_eq!(pages, 4);
    let metrics = |groups: &[ResourceMetrics]| {
        let scopes = groups.iter().flat_map(|group| &group.scope_metrics);
        let mut metrics: Vec<_> = scopes.flat_map(|scope| scope.metrics.clone()).collect();
        // Empty buckets at the ends are not stored.
        for metric in &mut metrics {
            if let Some(Data::ExponentialHistogram(histogram)) = &mut metric.data {
                let buckets = histogram.data_points[0].positive.as_mut().unwrap();
                let empty = buckets.bucket_counts.iter().position(|count| *count > 0);
                buckets.bucket_counts.drain(..empty.unwrap());
                buckets.offset += empty.unwrap() as i32;
            }
        }
        metrics.sort_by(|a, b| a.name.cmp(&b.name));
        metrics
    };
    assert_eq!(metrics(&found), metrics(&request.resource_metrics));
    let (none, _) = server.json("/api/metrics?from=1&to=2").await;
    assert_eq!(none["resourceMetrics"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn errors_are_json() {
    let server = Server::start().await;
    for (path, status, text) in [
        ("/api/traces?q=servise:a", 400, "do you mean `service`?"),
        ("/api/traces?q=level:warn", 400, "traces have no `level`"),
        ("/api/logs?q=status:error", 400, "logs have no `status`"),
        ("/api/metrics?q=text", 400, "series have no text"),
        ("/api/traces?limit=0", 400, "1 to 1000"),
        ("/api/matches?q=a&q=b", 400, "`q` is there twice"),
        ("/api/matches?q=%ff", 400, "not valid UTF-8"),
        ("/api/traces?before=x", 400, "cursor"),
        // A filter by time would have no effect.
        ("/api/traces?from=1", 400, "before, follow, limit"),
        ("/api/matches?q=a&before=1", 400, "limit, signal"),
        ("/api/logs?follow=maybe", 400, "`follow`"),
        (
            "/api/traces?follow=true&q=trace.duration>1s",
            400,
            "`trace.duration`",
        ),
        ("/api/traces/12", 400, "32 hexadecimal digits"),
        ("/api/matches?signal=metrics", 400, "`signal`"),
        ("/api/traces/%ff", 400, "Invalid UTF-8"),
        ("/api", 404, "no such resource"),
        ("/api/", 404, "no such resource"),
        ("/api/?q=a", 404, "no such resource"),
        ("/api/nothing", 404, "no such resource"),
        ("/api/nothing/", 404, "no such resource"),
        ("/api/traces/1/2", 404, "no such resource"),
        ("/api/import", 405, "no such method"),
    ] {
        let (found, error) = server.error(path).await;
        assert_eq!(found.as_u16(), status, "{path}: {error}");
        assert!(error.contains(text), "{path}: {error}");
    }
    let (status, error) = server.error(&format!("/api/traces/{}", hex(1))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(error.contains("no span of the trace"), "{error}");
}

#[tokio::test]
async fn the_guard_answers_programs_in_json() {
    let server = Server::start_with(64 << 20, &["--lens-token", "0123456789abcdef"]).await;
    let (status, error) = server.error("/api/status").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(error.contains("authorization: Bearer"), "{error}");
    let url = format!("{}/api/status", server.url);
    let request = reqwest::Client::new()
        .get(url)
        .bearer_auth("0123456789abcdef");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_status_counts() {
    let server = Server::start().await;
    server.add_trace(1, 3, false);
    server.add_logs(0..2, "x");
    let (status, _) = server.json("/api/status").await;
    assert_eq!(status["spans"]["records"], 3);
    assert_eq!(status["logs"]["records"], 2);
    assert_eq!(status["logs"]["oldestUnixNano"], "1700000000000000000");
    assert_eq!(status["memory"]["limit"], 64 << 20);
}

#[tokio::test]
async fn matches_are_counted() {
    let server = Server::start().await;
    for number in 1..=3 {
        server.add_trace(number, 2, true);
    }
    server.add_logs(0..500, "number");
    let (found, _) = server.json("/api/matches?limit=2").await;
    assert_eq!((&found["count"], &found["more"]), (&2.into(), &true.into()));
    assert_eq!(found["matches"][0]["traceId"], hex(3));
    assert_eq!(found["matches"][0]["durationNano"], "6000000");
    assert_eq!(found["matches"][0]["errors"], 2);
    let (found, _) = server.json("/api/matches?signal=logs&limit=1000").await;
    assert_eq!(
        (&found["count"], &found["more"]),
        (&500.into(), &false.into())
    );
    assert_eq!(found["matches"][0]["text"], "number 499");
    assert_eq!(found["matches"][0]["level"], "INFO");
}

/// The next line of a stream.
async fn line(response: &mut reqwest::Response, rest: &mut Vec<u8>) -> Option<Value> {
    loop {
        if let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            return Some(serde_json::from_slice(&line).unwrap());
        }
        let chunk = tokio::time::timeout(Duration::from_secs(10), response.chunk());
        rest.extend_from_slice(&chunk.await.unwrap().unwrap()?);
    }
}

#[tokio::test]
async fn a_stream_has_new_records_that_match() {
    let server = Server::start().await;
    server.add_trace(1, 1, true);
    server.add_logs(0..1, "old");
    let mut traces = server.get("/api/traces?follow=true&q=status:error").await;
    let mut logs = server.get("/api/logs?follow=true&q=new").await;
    assert_eq!(traces.headers()["content-type"], "application/x-ndjson");
    let (mut of_traces, mut of_logs) = (Vec::new(), Vec::new());
    for number in 2..5 {
        server.add_trace(number, 1, number != 3);
        server.add_logs(
            number..number + 1,
            if number == 3 { "new" } else { "other" },
        );
    }
    assert_eq!(
        bodies(&line(&mut logs, &mut of_logs).await.unwrap()),
        ["new 3"]
    );
    let mut ids = Vec::new();
    while ids.len() < 2 {
        ids.extend(trace_ids(&line(&mut traces, &mut of_traces).await.unwrap()));
    }
    assert_eq!(ids, [2, 4].map(hex));
    server.stop().await;
    assert_eq!(line(&mut traces, &mut of_traces).await, None);
    assert_eq!(line(&mut logs, &mut of_logs).await, None);
}

#[tokio::test]
async fn a_reader_learns_how_many_records_it_missed() {
    let server = Server::start_with(8 << 20, &[]).await;
    server.add_logs(0..1000, "old");
    let mut logs = server.get("/api/logs?follow=true").await;
    let before = server.lens.store.stats().logs;
    // Faster than the stream reads.
    for number in 0..6000 {
        let noise: String = std::iter::repeat_with(fastrand::alphanumeric)
            .take(3000)
            .collect();
        server.add_logs(number..number + 1, &noise);
    }
    let (mut rest, mut received, mut missed) = (Vec::new(), 0, 0);
    while received + missed < 6000 {
        let line = line(&mut logs, &mut rest).await.unwrap();
        match line["missed"].as_u64() {
            Some(count) => missed += count,
            None => received += bodies(&line).len() as u64,
        }
    }
    assert_eq!(received + missed, 6000);
    let evicted = server.lens.store.stats().logs.evicted;
    assert!(evicted > before.records, "{evicted}");
    assert!(missed > 0 && missed <= evicted, "{missed} of {evicted}");
}
