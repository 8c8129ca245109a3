//! Tests that a record that a backend refuses costs nothing of other services.
//!
//! Each request has a bad record of one service and a good one of another.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use anyhow::ensure;
use axum::{Router, http::StatusCode};
use e2e::{
    Stack,
    mixed::{Records, Service, hostile, queued},
    stack::{LogLine, TELEMETRY},
    system::eventually,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    limits::{nanoseconds, resource, send},
    trial_with,
};

/// Time limit for records to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Seconds from now.
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Bytes of a text that neither Prometheus nor Loki can make a label.
const LONGEST: usize = 17_000_000;

const COLLECTOR: &str = "otel-collector";
const ADMISSION: &str = "admission";

const NO_REDACTION: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../configs/otel-collector/no-redaction.yaml"
);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial_with(
            "isolation::a_bad_data_point_costs_no_other",
            Stack::missing(&[COLLECTOR, ADMISSION, "prometheus"]),
            async || metrics(&[]).await,
        ),
        trial_with(
            "isolation::without_redaction_a_bad_data_point_costs_no_other",
            Stack::missing(&[COLLECTOR, ADMISSION, "prometheus"]),
            async || metrics(&[("OTELIX_COLLECTOR_CONFIG", NO_REDACTION)]).await,
        ),
        trial_with(
            "isolation::series_without_end_cost_no_other",
            Stack::missing(&[COLLECTOR, ADMISSION, "prometheus"]),
            async || series().await,
        ),
        trial_with(
            "isolation::a_bad_log_record_costs_no_other",
            Stack::missing(&[COLLECTOR, "loki"]),
            async || logs().await,
        ),
        trial_with(
            "isolation::a_bad_span_costs_no_other",
            Stack::missing(&[COLLECTOR, ADMISSION, "tempo", "prometheus"]),
            async || spans().await,
        ),
        trial_with(
            "isolation::the_collector_logs_why_a_batch_is_dropped",
            Stack::missing(&[COLLECTOR, "loki"]),
            async || refused_batch().await,
        ),
        trial_with(
            "isolation::a_hostile_sender_costs_no_other",
            Stack::missing(TELEMETRY),
            async || hostile_sender().await,
        ),
    ]
}

/// A bad record, and what becomes of it.
struct Bad {
    service: &'static str,
    record: Value,
    fate: Fate,
}

#[derive(Clone, Copy)]
enum Fate {
    /// Stored as it is, or after a repair that changes no value.
    Stored,
    /// Stored, and counted with this reason.
    Repaired(&'static str),
    /// Not stored, and counted with this reason.
    Dropped(&'static str),
    /// Not stored, because Prometheus refuses it.
    Refused,
    /// There is nothing to store.
    Empty,
}

use Fate::{Dropped, Empty, Refused, Repaired, Stored};

/// The time in this many seconds, as OTLP has it in JSON.
fn time(seconds: i64) -> anyhow::Result<String> {
    Ok((nanoseconds()? + i128::from(seconds) * 1_000_000_000).to_string())
}

/// The good service beside a bad one.
fn neighbor(service: &str) -> String {
    format!("beside-{service}")
}

/// The names of that many attributes.
fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key{number}")).collect()
}

/// Attributes with these names.
fn named(names: &[String]) -> Vec<(&str, &str)> {
    names.iter().map(|name| (name.as_str(), "value")).collect()
}

fn texts(attributes: &[(&str, &str)]) -> Vec<Value> {
    let attribute =
        |(key, value): &(&str, &str)| json!({ "key": key, "value": { "stringValue": value } });
    attributes.iter().map(attribute).collect()
}

async fn metrics(variables: &[(&str, &str)]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let wanted = [COLLECTOR, ADMISSION, "prometheus"];
    let stack = Stack::start_with(folder.path(), &wanted, variables).await?;
    let gauge = |name: &str, seconds: Option<i64>, attributes: &[(&str, &str)]| {
        let time = seconds.map_or(Ok("0".to_owned()), time)?;
        anyhow::Ok(json!({ "name": name, "gauge": { "dataPoints": [{
            "timeUnixNano": time, "asDouble": 7, "attributes": texts(attributes),
        }] } }))
    };
    let longest = "v".repeat(LONGEST);
    let (start, now) = (time(-MINUTE)?, time(0)?);
    let sum = |temporality: u8| {
        json!({ "name": "orders", "sum": {
            "aggregationTemporality": temporality, "isMonotonic": true,
            "dataPoints": [{ "startTimeUnixNano": start, "timeUnixNano": now, "asDouble": 7 }],
        } })
    };
    let exponential = |temporality: u8, scale: i32| {
        json!({ "name": "orders", "exponentialHistogram": {
            "aggregationTemporality": temporality,
            "dataPoints": [{
                "startTimeUnixNano": start, "timeUnixNano": now, "count": "1", "sum": 1.5, "scale": scale,
                "zeroCount": "0", "positive": { "offset": 0, "bucketCounts": ["1"] },
            }],
        } })
    };
    let counted = |count: &str, bucket: &str| {
        let mut metric = exponential(2, 3);
        let point = &mut metric["exponentialHistogram"]["dataPoints"][0];
        point["count"] = json!(count);
        point["positive"]["bucketCounts"] = json!([bucket]);
        metric
    };
    let explicit = json!({ "name": "orders", "histogram": {
        "aggregationTemporality": 1,
        "dataPoints": [{
            "startTimeUnixNano": start, "timeUnixNano": now, "count": "1", "sum": 1.5,
            "bucketCounts": ["0", "1"], "explicitBounds": [1],
        }],
    } });
    let bad = [
        ("delta-sum", sum(1), Stored),
        ("delta-histogram", explicit, Stored),
        ("delta-exponential", exponential(1, 3), Stored),
        ("no-temporality", sum(0), Repaired("no temporality")),
        ("other-temporality", sum(7), Repaired("no temporality")),
        ("coarse", exponential(2, -5), Dropped("scale below -4")),
        ("fine", exponential(2, 20), Stored),
        ("wrong-count", counted("5", "1"), Refused),
        (
            "large-bucket",
            counted("9223372036854775808", "9223372036854775808"),
            Refused,
        ),
        ("no-type", json!({ "name": "orders" }), Empty),
        ("no-points", json!({ "name": "orders", "gauge": {} }), Empty),
        ("no-time", gauge("orders", None, &[])?, Repaired("no time")),
        (
            "ahead",
            gauge("orders", Some(15 * MINUTE), &[])?,
            Repaired("more than 5 minutes ahead"),
        ),
        ("late", gauge("orders", Some(-20 * HOUR), &[])?, Stored),
        (
            "old",
            gauge("orders", Some(-40 * DAY), &[])?,
            Repaired("older than 24 hours"),
        ),
        ("no-name", gauge("", Some(0), &[])?, Stored),
        ("other-name", gauge("注文", Some(0), &[])?, Stored),
        (
            "long-label",
            gauge("orders", Some(0), &[("sql", &longest)])?,
            Repaired("too long"),
        ),
        (
            "long-name",
            gauge(&format!("orders1{}", "é".repeat(2_000)), Some(0), &[])?,
            Repaired("name too long"),
        ),
        (
            "long-key",
            gauge("orders", Some(0), &[(&longest, "x")])?,
            Repaired("too large"),
        ),
        (
            "many-labels",
            gauge("orders", Some(0), &named(&names(12_000)))?,
            Repaired("too many attributes"),
        ),
        ("no-key", gauge("orders", Some(0), &[("", "x")])?, Stored),
        (
            "other-key",
            gauge("orders", Some(0), &[("国", "x")])?,
            Stored,
        ),
    ];
    let bad = bad.map(|(service, record, fate)| Bad {
        service,
        record,
        fate,
    });
    let good = gauge("neighbor", Some(0), &[])?;
    for bad in &bad {
        let group = |service: &str, metric: &Value| json!({ "resource": resource(service), "scopeMetrics": [{ "metrics": [metric] }] });
        let groups = [
            group(bad.service, &bad.record),
            group(&neighbor(bad.service), &good),
        ];
        send(&stack, "metrics", &json!({ "resourceMetrics": groups })).await?;
    }
    // Names without a letter or a digit of ASCII, in an attribute of a resource too.
    let resource = json!({ "attributes": [
        { "key": "service.name", "value": { "stringValue": "resource-key" } },
        { "key": "国", "value": { "stringValue": "日本" } },
    ] });
    let group = json!({ "resource": resource, "scopeMetrics": [{ "metrics": [good] }] });
    send(&stack, "metrics", &json!({ "resourceMetrics": [group] })).await?;

    eventually(ARRIVAL, async || {
        let jobs = jobs(&stack, r#"last_over_time(neighbor[5m])"#).await?;
        for bad in &bad {
            let neighbor = neighbor(bad.service);
            ensure!(jobs.contains_key(&neighbor), "{neighbor} is missing");
        }
        ensure!(jobs.contains_key("resource-key"), "{jobs:?}");
        let stored = self::jobs(
            &stack,
            r#"count by (job) (last_over_time({__name__=~"orders.*|metric.*"}[25h]))"#,
        )
        .await?;
        let repaired = jobs_by(
            &stack,
            "otelix_data_points_repaired_total",
            "otelix_repaired",
        )
        .await?;
        let dropped = jobs_by(&stack, "otelix_data_points_dropped_total", "otelix_dropped").await?;
        let refused = refused(&stack).await?;
        for Bad { service, fate, .. } in &bad {
            let found = (
                stored.contains_key(*service),
                repaired.get(*service).map(String::as_str),
                dropped.get(*service).map(String::as_str),
                refused.contains(*service),
            );
            let expected = match *fate {
                Stored => (true, None, None, false),
                Repaired(reason) => (true, Some(reason), None, false),
                Dropped(reason) => (false, None, Some(reason), false),
                Refused => (false, None, None, true),
                Empty => (false, None, None, false),
            };
            ensure!(found == expected, "{service}: {found:?}");
        }
        Ok(())
    })
    .await?;
    // A long label is cut, and a long name has no place.
    let series = stack.prometheus.query(r#"orders{job=~"long-.*"}"#).await?;
    let lengths = series.iter().map(|series| {
        let label = series["metric"]["sql"].as_str();
        label.map_or(0, str::len)
    });
    let lengths: BTreeSet<_> = lengths.collect();
    ensure!(lengths == BTreeSet::from([0, 65_536]), "{lengths:?}");
    // The value of a delta is that of the sum, and the repair leaves no label.
    let series = stack.prometheus.query("orders_total").await?;
    ensure!(series.len() == 3, "{series:?}");
    for series in series {
        ensure!(series["value"][1] == "7", "{series}");
        ensure!(series["metric"]["otelix_repaired"].is_null(), "{series}");
    }
    Ok(())
}

/// The services of which Prometheus has refused one data point.
async fn refused(stack: &Stack) -> anyhow::Result<BTreeSet<String>> {
    let query = r#"admission_data_points_dropped_total{admission_reason="refused"} == 1"#;
    let series = stack.prometheus.query(query).await?;
    let senders = series
        .iter()
        .filter_map(|series| series["metric"]["admission_sender"].as_str());
    Ok(senders.map(ToOwned::to_owned).collect())
}

/// A second value of a series for the same time costs nobody else, and neither do ids in a label.
async fn series() -> anyhow::Result<()> {
    const LIMIT: usize = 200;
    let folder = tempfile::tempdir()?;
    let wanted = [COLLECTOR, ADMISSION, "prometheus"];
    let limit = LIMIT.to_string();
    let variables = [("ADMISSION_MAX_SERIES_PER_SERVICE", limit.as_str())];
    let stack = Stack::start_with(folder.path(), &wanted, &variables).await?;
    let now = time(0)?;
    let gauge = |name: &str, value: usize, ids: std::ops::Range<usize>| {
        let points = ids.map(|id| {
            let id = id.to_string();
            json!({
                "timeUnixNano": now, "asInt": value.to_string(), "attributes": texts(&[("order.id", &id)]),
            })
        });
        json!({ "name": name, "gauge": { "dataPoints": points.collect::<Vec<_>>() } })
    };
    let group = |service: &str, metric: Value| json!({ "resource": resource(service), "scopeMetrics": [{ "metrics": [metric] }] });
    let send = async |groups: &[Value]| {
        send(&stack, "metrics", &json!({ "resourceMetrics": groups })).await
    };
    send(&[group("twice", gauge("first", 1, 0..1))]).await?;
    eventually(ARRIVAL, async || {
        let first = jobs(&stack, "first").await?;
        ensure!(first.contains_key("twice"), "{first:?}");
        Ok(())
    })
    .await?;
    // Both have a series that is new, and those that were there stay.
    for start in (0..4 * LIMIT).step_by(LIMIT) {
        let neighbor = format!("after-{start}");
        send(&[
            group("twice", gauge("first", 2, 0..1)),
            group("many", gauge("orders", 1, start..start + LIMIT)),
            group(&neighbor, gauge("neighbor", 1, 0..1)),
        ])
        .await?;
    }
    eventually(ARRIVAL, async || {
        let neighbors = jobs(&stack, "neighbor").await?;
        ensure!(neighbors.len() == 4, "{neighbors:?}");
        let first = jobs(&stack, "first").await?;
        ensure!(first["twice"] == "1", "{first:?}");
        // One of its series is that of its resource.
        let many = jobs(&stack, "count by (job) (orders)").await?;
        ensure!(many["many"] == (LIMIT - 1).to_string(), "{many:?}");
        let query =
            "sum by (admission_sender, admission_reason) (admission_data_points_dropped_total)";
        let series = stack.prometheus.query(query).await?;
        let counts: BTreeSet<_> = series
            .iter()
            .filter_map(|series| {
                let metric = &series["metric"];
                Some((
                    metric["admission_sender"].as_str()?,
                    metric["admission_reason"].as_str()?,
                    series["value"][1].as_str()?,
                ))
            })
            .collect();
        let over = (3 * LIMIT + 1).to_string();
        let expected = BTreeSet::from([
            ("many", "max_series_per_service", over.as_str()),
            ("twice", "refused", "4"),
        ]);
        ensure!(counts == expected, "{counts:?}");
        Ok(())
    })
    .await
}

/// The values of a query by service.
async fn jobs(stack: &Stack, promql: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let series = stack.prometheus.query(promql).await?;
    let value = |series: &Value| {
        let job = series["metric"]["job"].as_str()?;
        Some((job.to_owned(), series["value"][1].as_str()?.to_owned()))
    };
    Ok(series.iter().filter_map(value).collect())
}

/// A label of the series of a metric by service. Each has counted one record.
async fn jobs_by(
    stack: &Stack,
    metric: &str,
    label: &str,
) -> anyhow::Result<BTreeMap<String, String>> {
    let series = stack.prometheus.query(&format!("{metric} == 1")).await?;
    let value = |series: &Value| {
        let job = series["metric"]["job"].as_str()?;
        Some((job.to_owned(), series["metric"][label].as_str()?.to_owned()))
    };
    Ok(series.iter().filter_map(value).collect())
}

async fn logs() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), &[COLLECTOR, "loki"]).await?;
    let record = |seconds: Option<i64>, attributes: &[(&str, &str)]| {
        let time = seconds.map_or(Ok("0".to_owned()), time)?;
        anyhow::Ok(json!({
            "timeUnixNano": time, "body": { "stringValue": "a line" }, "attributes": texts(attributes),
        }))
    };
    let observed = json!({
        "timeUnixNano": "0", "observedTimeUnixNano": time(0)?, "body": { "stringValue": "a line" },
    });
    let long = "x".repeat(1_000_000);
    let longest = "x".repeat(LONGEST);
    let bad = [
        ("no-time", record(None, &[])?, Repaired("no time")),
        ("observed", observed, Stored),
        (
            "ahead",
            record(Some(15 * MINUTE), &[])?,
            Repaired("more than 5 minutes ahead"),
        ),
        ("late", record(Some(-20 * HOUR), &[])?, Stored),
        (
            "old",
            record(Some(-40 * DAY), &[])?,
            Repaired("older than 24 hours"),
        ),
        ("no-key", record(Some(0), &[("", "x")])?, Stored),
        ("other-key", record(Some(0), &[("国", "x")])?, Stored),
        (
            "many-attributes",
            record(Some(0), &named(&names(500)))?,
            Stored,
        ),
        (
            "too-many-attributes",
            record(Some(0), &named(&names(12_000)))?,
            Repaired("too many attributes"),
        ),
        (
            "long-attribute",
            record(Some(0), &[("key", &long)])?,
            Stored,
        ),
        (
            "longest-attribute",
            record(Some(0), &[("key", &longest)])?,
            Repaired("too long"),
        ),
    ];
    let good = record(Some(0), &[])?;
    for (service, bad, _) in &bad {
        let group = |service: &str, records: &[&Value]| json!({ "resource": resource(service), "scopeLogs": [{ "logRecords": records }] });
        // A record of now in the same stream comes first, so that an old one is behind it.
        let groups = [
            group(service, &[&good]),
            group(service, &[bad]),
            group(&neighbor(service), &[&good]),
        ];
        send(&stack, "logs", &json!({ "resourceLogs": groups })).await?;
    }
    // Of a long line, the attributes are kept.
    let mut long_line = record(Some(0), &[("kept", "yes")])?;
    long_line["body"] = json!({ "stringValue": "x".repeat(9_000_000) });
    let group =
        json!({ "resource": resource("long-line"), "scopeLogs": [{ "logRecords": [long_line] }] });
    send(&stack, "logs", &json!({ "resourceLogs": [group] })).await?;
    eventually(ARRIVAL, async || {
        let since = 25 * HOUR;
        let lines = stack
            .loki
            .query(r#"{service_name="long-line"} | kept="yes" | otelix_repaired="line too long""#);
        ensure!(lines.await?.len() == 1, "the long line lost its attributes");
        for &(service, _, fate) in &bad {
            let count = async |filter: &str, service: &str| {
                let query = format!(
                    r#"sum(count_over_time({{service_name="{service}"}}{filter}[{since}s]))"#
                );
                let series = stack.loki.result(&query).await?;
                let values = series
                    .first()
                    .and_then(|series| series["values"].as_array());
                let newest = values.and_then(|values| values.last()).map(|pair| &pair[1]);
                anyhow::Ok(newest.and_then(Value::as_str).unwrap_or("0").to_owned())
            };
            let stored = count("", service).await?;
            ensure!(stored == "2", "{stored} of {service}");
            ensure!(count("", &neighbor(service)).await? == "1", "{service}");
            if let Repaired(reason) = fate {
                let filter = format!(r#" | otelix_repaired="{reason}""#);
                ensure!(count(&filter, service).await? == "1", "{service}: {reason}");
            }
        }
        Ok(())
    })
    .await
}

async fn spans() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let wanted = [COLLECTOR, ADMISSION, "tempo", "prometheus"];
    let stack = Stack::start(folder.path(), &wanted).await?;
    let span = |trace: &str, span: &str, start: &str, end: &str| {
        json!({
            "traceId": trace, "spanId": span, "name": "order", "kind": 2,
            "startTimeUnixNano": start, "endTimeUnixNano": end,
        })
    };
    let (start, end) = (time(-1)?, time(0)?);
    let id = |number: usize| {
        (
            format!("{:032x}", number + 1),
            format!("{:016x}", number + 1),
        )
    };
    let (trace, own) = id(100);
    let zeros = "0".repeat(32);
    let mut long = span(&trace, &own, &start, &end);
    long["attributes"] = json!(texts(&[("sql", &"v".repeat(100_000))]));
    let bad = [
        (
            "no-trace-id",
            span(&zeros, &own, &start, &end),
            Repaired("no trace id"),
        ),
        (
            "no-span-id",
            span(&trace, &zeros[..16], &start, &end),
            Repaired("no span id"),
        ),
        (
            "no-start",
            span(&trace, &own, "0", &end),
            Repaired("no start time"),
        ),
        (
            "no-end",
            span(&trace, &own, &start, "0"),
            Repaired("no end time"),
        ),
        (
            "far-ahead",
            span(&trace, &own, "18446744073709551615", &end),
            Repaired("no start time"),
        ),
        ("backwards", span(&trace, &own, &end, &start), Stored),
        ("long-attribute", long, Repaired("too long")),
    ];
    for (number, (service, bad, _)) in bad.iter().enumerate() {
        let (trace, own) = id(number);
        let good = span(&trace, &own, &start, &end);
        let group = |service: &str, span: &Value| json!({ "resource": resource(service), "scopeSpans": [{ "spans": [span] }] });
        let groups = [group(service, bad), group(&neighbor(service), &good)];
        send(&stack, "traces", &json!({ "resourceSpans": groups })).await?;
    }
    eventually(ARRIVAL, async || {
        for &(service, _, fate) in &bad {
            let filter = match fate {
                Repaired(reason) => format!(r#" && span.otelix.repaired="{reason}""#),
                _ => String::new(),
            };
            for (service, filter) in [(service, filter), (&neighbor(service), String::new())] {
                let query = format!(r#"{{resource.service.name="{service}"{filter}}}"#);
                let found = stack.tempo.search(&query).await?;
                ensure!(found.len() == 1, "{query}: {found:?}");
            }
            if let Repaired(reason) = fate {
                let query = format!(
                    r#"traces_spanmetrics_calls_total{{service="{service}",otelix_repaired="{reason}"}}"#
                );
                let counted = stack.prometheus.query(&query).await?;
                ensure!(!counted.is_empty(), "{query}");
            }
        }
        Ok(())
    })
    .await?;

    // A span of yesterday is found by a search of that time, when its block is complete.
    let (start, end) = (time(-DAY)?, time(-DAY + 1)?);
    let (trace, own) = id(200);
    let group = json!({ "resource": resource("late"), "scopeSpans": [{ "spans": [span(&trace, &own, &start, &end)] }] });
    send(&stack, "traces", &json!({ "resourceSpans": [group] })).await?;
    let yesterday = u64::try_from(nanoseconds()? / 1_000_000_000)? - 24 * 3600;
    eventually(Duration::from_secs(150), async || {
        let time = yesterday - 600..yesterday + 600;
        let found = stack
            .tempo
            .search_between(r#"{resource.service.name="late"}"#, time)
            .await?;
        ensure!(found.len() == 1, "{found:?}");
        Ok(())
    })
    .await
}

/// In place of Tempo, a server refuses everything.
async fn refused_batch() -> anyhow::Result<()> {
    const REASON: &str = "HTTP Status Code 400";
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), &[COLLECTOR, "loki"]).await?;
    let listener = TcpListener::bind(stack.address("TEMPO_OTLP_HTTP_PORT")).await?;
    let refuse = async || StatusCode::BAD_REQUEST;
    let server = axum::serve(listener, Router::new().fallback(refuse));
    let server = tokio::spawn(server.into_future());
    let span = json!({
        "traceId": format!("{:032x}", 1), "spanId": format!("{:016x}", 1), "name": "order",
        "startTimeUnixNano": time(-1)?, "endTimeUnixNano": time(0)?,
    });
    let group = json!({ "resource": resource("shop"), "scopeSpans": [{ "spans": [span] }] });
    send(&stack, "traces", &json!({ "resourceSpans": [group] })).await?;
    eventually(ARRIVAL, async || {
        let lines = stack
            .loki
            .query(r#"{service_name="otel-collector"}"#)
            .await?;
        let says = |line: &LogLine| {
            let reason = line.labels.get("exception_message");
            line.text.starts_with("Exporting failed")
                && reason.is_some_and(|reason| reason.contains(REASON))
        };
        ensure!(lines.iter().any(says), "no line has the reason: {lines:?}");
        Ok(())
    })
    .await?;
    server.abort();
    Ok(())
}

/// A sender of bad, large and many records runs beside a good one. The bench `lgtm` finds higher rates.
async fn hostile_sender() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let stack = Stack::start(folder.path(), TELEMETRY).await?;
    let service = Service::new(1);
    let (endpoint, time) = (stack.otlp_grpc(), Duration::from_secs(60));
    let taken = AtomicU64::new(0);
    let outcome = tokio::select! {
        outcome = service.send(&endpoint, Records::mixed(100), time) => outcome?,
        ended = hostile(&stack, &taken) => return ended,
    };
    // Too few would show nothing.
    ensure!(taken.load(Relaxed) > 60, "{taken:?}");
    ensure!(outcome.refused == 0, "{outcome:?}");
    eventually(ARRIVAL, async || {
        let stored = service.stored(&stack).await?;
        ensure!(stored == outcome.sent, "{stored:?} of {outcome:?}");
        let queued = queued(&stack).await?;
        ensure!(queued == 0.0, "{queued} batches are queued");
        Ok(())
    })
    .await?;
    service.read_traces(&stack, outcome.sent.spans).await
}
