//! What a sign-up leaves behind: one trace, its logs, and its metrics.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, ensure};
use e2e::{
    Collector, System,
    collector::{Received, text},
    system::eventually,
};
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::trace::v1::{
    Span, span::SpanKind, status::StatusCode as SpanStatus,
};
use reqwest::{Client, redirect::Policy};

use crate::trial;

const EMAIL: &str = "ann@example.com";
const PASSWORD: &str = "correct horse battery";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "telemetry::a_sign_up_is_one_trace_through_three_services",
            async || {
                let received = sign_up().await?;
                one_trace(&received)
            },
        ),
        trial(
            "telemetry::each_log_record_of_a_request_names_its_trace",
            async || {
                let received = sign_up().await?;
                let trace = &sign_up_span(&received)?.trace_id;
                let services: BTreeSet<&str> = received
                    .logs
                    .iter()
                    .filter(|(_, record)| record.trace_id == *trace)
                    .map(|(service, _)| service.as_str())
                    .collect();
                ensure!(services == BTreeSet::from(["auth", "user"]), "{services:?}");
                Ok(())
            },
        ),
        trial(
            "telemetry::rate_errors_and_duration_are_there_for_each_side",
            async || {
                let received = sign_up().await?;
                let names: BTreeSet<(&str, &str)> = received
                    .metrics
                    .iter()
                    .map(|(service, metric)| (service.as_str(), metric.name.as_str()))
                    .collect();
                for wanted in [
                    ("frontend", "http.server.request.duration"),
                    ("frontend", "rpc.client.call.duration"),
                    ("auth", "rpc.server.call.duration"),
                    ("auth", "rpc.client.call.duration"),
                    ("user", "rpc.server.call.duration"),
                ] {
                    ensure!(names.contains(&wanted), "{wanted:?} is not in {names:?}");
                }
                Ok(())
            },
        ),
        trial(
            "telemetry::no_signal_holds_an_email_a_password_or_a_token",
            async || {
                let received = format!("{:?}", sign_up().await?);
                ensure!(
                    received.contains("user registered"),
                    "the search would find something"
                );
                for secret in [EMAIL, PASSWORD, "eyJ", "argon2"] {
                    ensure!(!received.contains(secret), "{secret} was exported");
                }
                Ok(())
            },
        ),
        trial(
            "telemetry::a_failed_sign_in_fails_the_call_and_not_the_server",
            async || failed_sign_in().await,
        ),
        trial(
            "telemetry::a_collector_that_is_away_stops_nobody",
            async || {
                let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")];
                let system = System::start(&variables).await?;
                for _ in 0..20 {
                    let status = client()?.get(system.url("/")).send().await?.status();
                    ensure!(status.is_success(), "{status}");
                }
                post(&system, "/register", PASSWORD).await?;
                ensure!(system.frontend.stop().await?.success());
                Ok(())
            },
        ),
    ]
}

/// Signs up, stops the services, and returns all that they exported.
async fn sign_up() -> anyhow::Result<Received> {
    let collector = Collector::start().await?;
    let system = start(&collector).await?;
    post(&system, "/register", PASSWORD).await?;
    // Whatever is queued must arrive: that is what the flush at the end is for.
    for process in [system.frontend, system.auth, system.user] {
        process.stop().await?;
    }
    Ok(collector.received())
}

async fn failed_sign_in() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let system = start(&collector).await?;
    post(&system, "/login", PASSWORD).await?;
    eventually(Duration::from_secs(5), async || {
        let received = collector.received();
        let find = |service: &str, kind: SpanKind| {
            received
                .spans
                .iter()
                .find(|(name, span)| name == service && span.kind == kind as i32)
                .map(|(_, span)| span)
                .with_context(|| format!("no span of {service}"))
        };
        for (service, kind, failed) in [
            ("frontend", SpanKind::Server, false),
            ("frontend", SpanKind::Client, true),
            ("auth", SpanKind::Server, false),
            ("auth", SpanKind::Client, true),
            ("user", SpanKind::Server, false),
        ] {
            let span = find(service, kind)?;
            let code = span.status.as_ref().map_or(0, |status| status.code);
            ensure!(
                (code == SpanStatus::Error as i32) == failed,
                "{service}: {span:#?}"
            );
        }
        Ok(())
    })
    .await
}

fn one_trace(received: &Received) -> anyhow::Result<()> {
    let root = sign_up_span(received)?;
    let mut spans: Vec<_> = received
        .spans
        .iter()
        .filter(|(_, span)| span.trace_id == root.trace_id)
        .collect();
    spans.sort_by_key(|(_, span)| span.start_time_unix_nano);
    let seen: Vec<(&str, &str, i32)> = spans
        .iter()
        .map(|(service, span)| (service.as_str(), span.name.as_str(), span.kind))
        .collect();
    let expected = [
        ("frontend", "POST /register", SpanKind::Server as i32),
        (
            "frontend",
            "auth.v1.AuthService/Register",
            SpanKind::Client as i32,
        ),
        (
            "auth",
            "auth.v1.AuthService/Register",
            SpanKind::Server as i32,
        ),
        (
            "auth",
            "user.v1.UserService/CreateUser",
            SpanKind::Client as i32,
        ),
        (
            "user",
            "user.v1.UserService/CreateUser",
            SpanKind::Server as i32,
        ),
    ];
    ensure!(seen == expected, "{seen:#?}");
    ensure!(root.parent_span_id.is_empty());
    for pair in spans.windows(2) {
        ensure!(pair[1].1.parent_span_id == pair[0].1.span_id, "{pair:#?}");
    }
    for (_, span) in &spans[1..] {
        ensure!(
            text(&span.attributes, "rpc.response.status_code") == Some("OK"),
            "{span:#?}"
        );
    }
    Ok(())
}

fn sign_up_span(received: &Received) -> anyhow::Result<&Span> {
    received
        .spans
        .iter()
        .map(|(_, span)| span)
        .find(|span| span.name == "POST /register")
        .with_context(|| format!("no sign-up in {:#?}", received.spans))
}

async fn start(collector: &Collector) -> anyhow::Result<System> {
    System::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
    ])
    .await
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().redirect(Policy::none()).build()?)
}

async fn post(system: &System, path: &str, password: &str) -> anyhow::Result<()> {
    let form = [("email", EMAIL), ("password", password)];
    client()?.post(system.url(path)).form(&form).send().await?;
    Ok(())
}
