//! Tests of what the collector redacts, with the project's configuration.

use std::{path::Path, time::Duration};

use anyhow::ensure;
use e2e::{
    Stack,
    collector::{Answer, Collector, Received, text},
    compose::ROOT,
    system::eventually,
};
use libtest_mimic::Trial;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use reqwest::Client;
use serde_json::{Value, json};

use crate::{limits::nanoseconds, trial_with};

const COLLECTOR: &[&str] = &["otel-collector"];

/// Secrets of all kinds, each in another place.
const SECRETS: &[&str] = &[
    "of-arguments",
    "of-a-command-line",
    "of-an-email@example.com",
    "of-a-name@example.com",
    "of-a-status",
    "of-a-scope",
    "of-a-key",
    "of-a-nested-key",
    "abcdefghijklmnopqrstuv",
    "of-an-event",
    "of-a-body",
    "of-a-nested-body",
    "of-a-list-of-a-body",
    "of-a-nested-email@example.com",
    "of-a-connection",
    "of-a-pair",
    "of-a-header",
    "of-a-cookie",
    "of-an-api-key",
    "of-a-python-dict",
    "of-a-rust-debug",
    "of-json-in-json",
    "of-an-arrow",
    "(of-parentheses",
    "of-a-flag",
    "ofAPrivateKey",
    "of-a-token",
    "of-a-point@example.com",
];

pub(crate) fn trials() -> Vec<Trial> {
    let missing = || Stack::missing(COLLECTOR);
    vec![
        trial_with(
            "redaction::secrets_are_redacted_at_any_depth_and_all_else_is_kept",
            missing(),
            async || secrets_are_redacted().await,
        ),
        trial_with(
            "redaction::without_redaction_telemetry_is_stored_as_it_was_sent",
            missing(),
            async || redaction_can_be_switched_off().await,
        ),
        trial_with(
            "redaction::spans_of_zipkin_are_redacted_too",
            Stack::missing(&["otel-collector", "tempo"]),
            async || zipkin().await,
        ),
    ]
}

async fn zipkin() -> anyhow::Result<()> {
    const TRACE: &str = "463ac35c9f6413ad48485a3953bb6124";
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), &["otel-collector", "tempo"]).await?;
    let address = stack.address("OTEL_COLLECTOR_ZIPKIN_PORT");
    let now = nanoseconds()? / 1_000;
    let span = json!([{
        "id": "a2fb4a1d1a96d312", "traceId": TRACE, "name": "order", "timestamp": now, "duration": 1_000,
        "localEndpoint": { "serviceName": "shop" }, "tags": { "http.url": "/?token=of-a-zipkin-span&page=7" },
    }]);
    let request = Client::new()
        .post(format!("http://{address}/api/v2/spans"))
        .header("content-type", "application/json")
        .body(span.to_string());
    request.send().await?.error_for_status()?;
    eventually(Duration::from_secs(30), async || {
        let trace = stack.tempo.trace(TRACE).await?.to_string();
        ensure!(
            trace.contains("page=7") && !trace.contains("of-a-zipkin-span"),
            "{trace}"
        );
        Ok(())
    })
    .await
}

async fn secrets_are_redacted() -> anyhow::Result<()> {
    let received = forwarded(&[]).await?;
    let all = format!("{received:?}");
    for secret in SECRETS {
        ensure!(!all.contains(secret), "{secret} is stored: {all}");
    }

    let resource = &attributes_of_resource(&received, "app@one.example.com")?;
    ensure!(text(resource, "host.name") == Some("one"), "{resource:?}");
    // A secret in an array makes an attribute of each value.
    let argument = text(resource, "process.command_args.1");
    ensure!(argument == Some("--password=[redacted]"), "{resource:?}");
    // Two instances whose names look like an email stay two.
    attributes_of_resource(&received, "app@two.example.com")?;

    let span = |name: &str| {
        let mut spans = received.spans.iter().map(|(_, span)| span);
        spans.find(|span| span.name == name).cloned()
    };
    let plain = span("plain").unwrap_or_default();
    let values: Vec<_> = plain.attributes.iter().map(value).collect();
    let is_kept = matches!(
        values[..],
        [
            Some(Any::IntValue(5)),
            Some(Any::ArrayValue(_)),
            Some(Any::KvlistValue(_))
        ]
    );
    ensure!(is_kept, "{plain:?}");
    let nested = span("nested").unwrap_or_default();
    let mut attributes = nested.attributes.iter();
    let id = attributes.find(|one| one.key == "user.id").and_then(value);
    ensure!(id == Some(&Any::IntValue(7)), "{nested:?}");
    let text_of = |key| text(&nested.attributes, key);
    ensure!(
        text_of("gen_ai.usage.input_tokens") == Some("5"),
        "{nested:?}"
    );
    let url = Some("postgres://shop:[redacted]@orders:5432/shop");
    ensure!(text_of("db.url") == url, "{nested:?}");
    let url = Some("http://[::1]:4318/v1?q=a@b");
    ensure!(text_of("server.url") == url, "{nested:?}");
    ensure!(span("GET /users/[redacted]").is_some(), "{received:?}");

    let bodies = received.logs.iter().map(|(_, record)| record.body.clone());
    let bodies: Vec<_> = bodies
        .map(|body| body.and_then(|body| body.value))
        .collect();
    for kept in [
        "user: one, password: [redacted], port: 7",
        "Cookie: [redacted]\nHost: shop",
        "{'password': '[redacted]', 'user': 7}",
        r#"Login { token: Some("[redacted]"), user: 7 }"#,
        r#"{"token": null, "user": 5, "raw": "{\"password\": \"[redacted]\"}"}"#,
        "unexpected token: }",
        "password => [redacted], token=[redacted]",
        "shop --api-token [redacted] --page 7 --max-tokens 9",
        "[redacted]-----END",
    ] {
        let kept = Some(Any::StringValue(kept.to_owned()));
        ensure!(bodies.contains(&kept), "{kept:?}: {bodies:?}");
    }
    let is_text = |body: &&Option<Any>| matches!(body, Some(Any::StringValue(_)));
    ensure!(bodies.iter().filter(is_text).count() == 13, "{bodies:?}");
    let plain = bodies
        .iter()
        .filter(|body| matches!(body, Some(Any::KvlistValue(_))));
    ensure!(
        plain.count() == 1,
        "a body without secrets changed: {bodies:?}"
    );
    Ok(())
}

async fn redaction_can_be_switched_off() -> anyhow::Result<()> {
    let off = Path::new(ROOT).join("configs/otel-collector/no-redaction.yaml");
    let off = off.to_string_lossy();
    let received = forwarded(&[("OTELIX_COLLECTOR_CONFIG", &off)]).await?;
    let all = format!("{received:?}");
    // Scopes are not among what the receiver keeps.
    for secret in SECRETS.iter().filter(|secret| **secret != "of-a-scope") {
        ensure!(all.contains(secret), "{secret} is missing: {all}");
    }
    Ok(())
}

/// What the collector makes of the requests.
async fn forwarded(variables: &[(&str, &str)]) -> anyhow::Result<Received> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start_with(folder.path(), COLLECTOR, variables).await?;
    let mut stores = Vec::new();
    for port in ["TEMPO_OTLP_HTTP_PORT", "LOKI_PORT", "ADMISSION_PORT"] {
        stores.push(Collector::start_at(&stack.address(port), Answer::Keep).await?);
    }
    let endpoint = stack.otlp_http();
    for (signal, request) in [
        ("traces", spans()),
        ("logs", records()?),
        ("metrics", points()?),
    ] {
        let request = Client::new()
            .post(format!("{endpoint}/v1/{signal}"))
            .header("content-type", "application/json")
            .body(request.to_string());
        request.send().await?.error_for_status()?;
    }
    eventually(Duration::from_secs(30), async || {
        let mut all = Received::default();
        for store in &stores {
            let received = store.received();
            all.spans.extend(received.spans);
            // The collector sends its own log too.
            all.logs.extend(of_shop(received.logs));
            all.metrics.extend(of_shop(received.metrics));
            all.resources.extend(of_shop(received.resources));
        }
        let is_complete = all.spans.len() == 3 && all.logs.len() == 14 && all.metrics.len() == 1;
        ensure!(is_complete, "{all:?}");
        Ok(all)
    })
    .await
}

fn of_shop<T>(items: Vec<(String, T)>) -> impl Iterator<Item = (String, T)> {
    items.into_iter().filter(|(service, _)| service == "shop")
}

fn attributes_of_resource(received: &Received, instance: &str) -> anyhow::Result<Vec<KeyValue>> {
    let mut resources = received.resources.iter().map(|(_, resource)| resource);
    let found = resources
        .find(|resource| text(&resource.attributes, "service.instance.id") == Some(instance));
    ensure!(found.is_some(), "no {instance}: {received:?}");
    Ok(found
        .map(|found| found.attributes.clone())
        .unwrap_or_default())
}

fn value(attribute: &KeyValue) -> Option<&Any> {
    attribute.value.as_ref()?.value.as_ref()
}

fn string(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn list(values: &[&str]) -> Value {
    let values: Vec<_> = values
        .iter()
        .map(|value| json!({ "stringValue": value }))
        .collect();
    json!({ "arrayValue": { "values": values } })
}

fn map(values: &[Value]) -> Value {
    json!({ "kvlistValue": { "values": values } })
}

fn plain_attributes() -> Value {
    json!([
        { "key": "number", "value": { "intValue": "5" } },
        { "key": "list", "value": list(&["a", "b"]) },
        { "key": "map", "value": map(&[string("c", "d")]) },
    ])
}

fn resource(instance: &str) -> Value {
    let arguments = list(&["java", "--password=of-arguments"]);
    json!({ "attributes": [
        string("service.name", "shop"),
        string("service.instance.id", instance),
        string("host.name", "one"),
        string("process.command_line", "java --password=of-a-command-line of-an-email@example.com"),
        { "key": "process.command_args", "value": arguments },
    ] })
}

fn spans() -> Value {
    let span = |id: &str, name: &str, attributes: Value| {
        json!({
            "traceId": "5b8efff798038103d269b633813fc60c",
            "spanId": id,
            "name": name,
            "startTimeUnixNano": "1000",
            "endTimeUnixNano": "2000",
            "attributes": attributes,
        })
    };
    let mut failed = span(
        "eee19b7ec3c1b174",
        "GET /users/of-a-name@example.com",
        json!([string("password", "of-a-key")]),
    );
    failed["status"] = json!({ "code": 2, "message": "password=of-a-status" });
    let user = map(&[
        string("password", "of-a-nested-key"),
        json!({ "key": "id", "value": { "intValue": "7" } }),
    ]);
    let mut nested = span(
        "eee19b7ec3c1b175",
        "nested",
        json!([
            { "key": "user", "value": user },
            { "key": "http.args", "value": list(&["Bearer abcdefghijklmnopqrstuv"]) },
            string("db.url", "postgres://shop:of-a-connection@orders:5432/shop"),
            string("x-api-key", "of-an-api-key"),
            string("accessToken", "of-a-token"),
            string("gen_ai.usage.input_tokens", "5"),
            string("server.url", "http://[::1]:4318/v1?q=a@b"),
        ]),
    );
    let headers = map(&[json!({ "key": "authorization", "value": list(&["Basic of-an-event"]) })]);
    nested["events"] = json!([{
        "timeUnixNano": "1500",
        "name": "request",
        "attributes": [{ "key": "headers", "value": headers }],
    }]);
    let plain = span("eee19b7ec3c1b176", "plain", plain_attributes());
    json!({ "resourceSpans": [{
        "resource": resource("app@one.example.com"),
        "scopeSpans": [{
            "scope": { "name": "test", "attributes": [string("text", "token=of-a-scope")] },
            "spans": [failed, nested, plain],
        }],
    }] })
}

fn records() -> anyhow::Result<Value> {
    // In two parts, so that no search for secrets finds it here.
    const KIND: &str = concat!("PRIVATE", " KEY");
    let now = nanoseconds()?.to_string();
    let user = map(&[string("password", "of-a-nested-body")]);
    let user = json!({ "key": "user", "value": user });
    let email = map(&[string("email", "of-a-nested-email@example.com")]);
    Ok(json!({ "resourceLogs": [{
        "resource": resource("app@two.example.com"),
        "scopeLogs": [{ "logRecords": [
            { "timeUnixNano": now, "body": { "stringValue": "token=of-a-body" } },
            { "timeUnixNano": now, "body": { "stringValue": "user: one, password: of-a-pair, port: 7" } },
            { "timeUnixNano": now, "body": { "stringValue": "Authorization: Basic of-a-header" } },
            { "timeUnixNano": now, "body": { "stringValue": "Cookie: a=of-a-cookie; b=2\nHost: shop" } },
            { "timeUnixNano": now, "body": { "stringValue": "{'password': 'of-a-python-dict', 'user': 7}" } },
            { "timeUnixNano": now, "body": { "stringValue": r#"Login { token: Some("of-a-rust-debug"), user: 7 }"# } },
            { "timeUnixNano": now, "body": { "stringValue": r#"{"token": null, "user": 5, "raw": "{\"password\": \"of-json-in-json\"}"}"# } },
            { "timeUnixNano": now, "body": { "stringValue": "unexpected token: }" } },
            { "timeUnixNano": now, "body": { "stringValue": "password => of-an-arrow, token=(of-parentheses)" } },
            { "timeUnixNano": now, "body": { "stringValue": "shop --api-token of-a-flag --page 7 --max-tokens 9" } },
            { "timeUnixNano": now, "body": { "stringValue": format!("-----BEGIN {KIND}-----\nofAPrivateKey\n-----END") } },
            { "timeUnixNano": now, "body": map(&[user]) },
            { "timeUnixNano": now, "body": list(&["secret=of-a-list-of-a-body"]) },
            {
                "timeUnixNano": now,
                "body": map(&[string("plain", "text")]),
                "attributes": [{ "key": "account", "value": email }],
            },
        ] }],
    }] }))
}

fn points() -> anyhow::Result<Value> {
    let now = nanoseconds()?.to_string();
    Ok(json!({ "resourceMetrics": [{
        "resource": resource("app@one.example.com"),
        "scopeMetrics": [{ "metrics": [{
            "name": "queue.length",
            "gauge": { "dataPoints": [{
                "asInt": "1",
                "timeUnixNano": now,
                "attributes": [string("owner", "of-a-point@example.com")],
            }] },
        }] }],
    }] }))
}
