//! Tests of the telemetry of a sign-up: one trace, its logs and its metrics.

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
        trial("telemetry::resource_attributes_are_decoded", async || {
            let collector = Collector::start().await?;
            let system = System::start(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
                ("OTEL_RESOURCE_ATTRIBUTES", "service.name=web%20shop"),
            ])
            .await?;
            client()?.get(system.url("/")).send().await?;
            system.frontend.stop().await?;
            let received = collector.received();
            let is_named = received.spans.iter().any(|(name, _)| name == "web shop");
            ensure!(is_named, "{:?}", received.spans);
            Ok(())
        }),
        trial(
            "telemetry::exports_do_not_report_on_themselves",
            async || exports_are_silent().await,
        ),
        trial(
            "telemetry::requests_and_stops_work_without_a_collector",
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
    // The stop flushes all queued telemetry.
    for process in [system.frontend, system.auth, system.user] {
        process.stop().await?;
    }
    Ok(collector.received())
}

/// At level trace, idle services export their metrics ten times a second. If an export made log records, these would
/// be exported in turn, without end.
async fn exports_are_silent() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let system = System::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ("RUST_LOG", "trace"),
    ])
    .await?;
    post(&system, "/register", PASSWORD).await?;
    eventually(Duration::from_secs(10), async || {
        sign_up_span(&collector.received()).map(drop)
    })
    .await?;
    // Waits for the remaining telemetry of the request and of the first connections.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = collector.received();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = collector.received();
    let exports = after.metrics.len() - before.metrics.len();
    ensure!(exports > 100, "only {exports} metrics were exported");
    let (logs, spans) = (
        after.logs.len() - before.logs.len(),
        after.spans.len() - before.spans.len(),
    );
    ensure!(logs < 10, "{:#?}", &after.logs[before.logs.len()..]);
    ensure!(spans < 10, "{:#?}", &after.spans[before.spans.len()..]);
    Ok(())
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
                .find(|(name, span)| name == service && span.kind == kind as i32 && !is_query(span))
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
    let (register, create) = (
        "auth.v1.AuthService/Register",
        "user.v1.UserService/CreateUser",
    );
    // The spans in the order of their start, each with the index of its parent.
    let expected = [
        ("frontend", "POST /register", SpanKind::Server, None),
        ("frontend", register, SpanKind::Client, Some(0)),
        ("auth", register, SpanKind::Server, Some(1)),
        ("auth", create, SpanKind::Client, Some(2)),
        ("user", create, SpanKind::Server, Some(3)),
        ("user", "SELECT users", SpanKind::Client, Some(4)),
        ("user", "hash password", SpanKind::Internal, Some(4)),
        ("user", "INSERT users", SpanKind::Client, Some(4)),
        ("auth", "INSERT sessions", SpanKind::Client, Some(2)),
    ];
    let names = expected.map(|(service, name, kind, _)| (service, name, kind as i32));
    ensure!(seen == names, "{seen:#?}");
    for ((_, span), (.., parent)) in spans.iter().zip(expected) {
        let parent = parent.map_or(&[][..], |place: usize| &spans[place].1.span_id);
        ensure!(span.parent_span_id == parent, "{span:#?}");
    }
    for (_, span) in &spans[1..] {
        let rpc = text(&span.attributes, "rpc.response.status_code");
        let database = text(&span.attributes, "db.query.summary");
        ensure!(
            rpc == Some("OK") || database == Some(&span.name) || span.kind() == SpanKind::Internal,
            "{span:#?}"
        );
    }
    for (service, span) in spans.iter().filter(|(_, span)| is_query(span)) {
        let attributes: Vec<_> = span
            .attributes
            .iter()
            .map(|attribute| {
                let value = text(&span.attributes, &attribute.key).unwrap_or_default();
                (attribute.key.as_str(), value)
            })
            .collect();
        let (operation, table) = span.name.split_once(' ').context("a summary")?;
        let expected = [
            ("db.system.name", "sqlite"),
            ("db.namespace", service),
            ("db.operation.name", operation),
            ("db.collection.name", table),
            ("db.query.summary", &span.name),
        ];
        ensure!(attributes == expected, "{span:#?}");
    }
    Ok(())
}

fn is_query(span: &Span) -> bool {
    text(&span.attributes, "db.query.summary").is_some()
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
