//! The JSON encoding, over HTTP.

use anyhow::{Context as _, bail};
use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    Target,
    http::Encoding,
    sample::{Signal, hex, json_gauge, json_metrics, json_span, json_traces, merge, now, trace_id},
};

async fn accepts(target: &Target, signal: Signal, request: &Value) -> anyhow::Result<()> {
    accepts_text(target, signal, request.to_string()).await
}

async fn accepts_text(target: &Target, signal: Signal, request: String) -> anyhow::Result<()> {
    let client = target.http()?;
    let answer = client.post(signal, Encoding::Json, request.into_bytes());
    answer.await?.accepted(signal, Encoding::Json)
}

/// Requires that a span with these fields is accepted.
async fn accepts_span(target: &Target, fields: Value) -> anyhow::Result<()> {
    let shown = fields.to_string();
    let mut span = json_span();
    merge(&mut span, fields);
    let accepted = accepts(target, Signal::Traces, &json_traces(&span)).await;
    accepted.context(shown)
}

/// Requires that a gauge with this value is accepted.
async fn accepts_value(target: &Target, value: Value) -> anyhow::Result<()> {
    let shown = value.to_string();
    let mut metric = json_gauge();
    let mut point = json!({ "timeUnixNano": now().to_string() });
    merge(&mut point, value);
    metric["gauge"]["dataPoints"] = json!([point]);
    let accepted = accepts(target, Signal::Metrics, &json_metrics(&metric)).await;
    accepted.context(shown)
}

/// Requires status 400.
async fn refuses(target: &Target, signal: Signal, request: String) -> anyhow::Result<()> {
    let client = target.http()?;
    let answer = client.post(signal, Encoding::Json, request.into_bytes());
    let refused = answer
        .await?
        .refused(StatusCode::BAD_REQUEST, Encoding::Json);
    refused.map(drop)
}

pub(super) async fn hex_ids(target: &Target) -> anyhow::Result<()> {
    let id = hex(&trace_id());
    for id in [id.to_lowercase(), id.to_uppercase()] {
        let link = json!({ "traceId": id, "spanId": "00F067AA0BA902B7" });
        let fields = json!({ "traceId": id, "spanId": "ABCDEFabcdef0123", "links": [link] });
        accepts_span(target, fields).await?;
    }
    Ok(())
}

pub(super) async fn other_ids(target: &Target) -> anyhow::Result<()> {
    let client = target.http()?;
    for id in [
        "W47/95gDgQPSabYzgT/GDA==",
        "5b8efff798038103d269b633813fc60",
    ] {
        let mut span = json_span();
        span["traceId"] = json!(id);
        let request = json_traces(&span).to_string().into_bytes();
        let answer = client.post(Signal::Traces, Encoding::Json, request).await?;
        if answer.status == StatusCode::BAD_REQUEST {
            continue;
        }
        match answer.success(Signal::Traces, Encoding::Json)? {
            Some(partial) if partial.rejected == 1 => {}
            _ => bail!("accepted the trace id \"{id}\""),
        }
    }
    Ok(())
}

pub(super) async fn integers(target: &Target) -> anyhow::Result<()> {
    let (start, end) = (now() - 1_000, now());
    for fields in [
        json!({ "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string() }),
        json!({ "startTimeUnixNano": start, "endTimeUnixNano": end }),
    ] {
        accepts_span(target, fields).await?;
    }
    for value in [
        json!({ "asInt": "10" }),
        json!({ "asInt": 10 }),
        json!({ "asInt": "-10" }),
        json!({ "asInt": "9223372036854775807" }),
        json!({ "asInt": "-9223372036854775808" }),
    ] {
        accepts_value(target, value).await?;
    }
    let attribute = |value| json!({ "key": "n", "value": { "intValue": value } });
    let numbers = [json!("10"), json!(10), json!("9007199254740993")];
    let attributes: Vec<Value> = numbers.map(attribute).to_vec();
    accepts_span(target, json!({ "attributes": attributes })).await
}

pub(super) async fn unknown_fields(target: &Target) -> anyhow::Result<()> {
    for signal in Signal::ALL {
        let mut request = signal.json();
        add_everywhere(&mut request, "unknownField");
        accepts(target, signal, &request)
            .await
            .context(signal.name())?;
    }
    Ok(())
}

/// Adds an unknown field to each object.
fn add_everywhere(value: &mut Value, name: &str) {
    match value {
        Value::Object(fields) => {
            for field in fields.values_mut() {
                add_everywhere(field, name);
            }
            let content = json!({ "deep": [1, "two", null, { "three": 3 }] });
            fields.insert(name.to_owned(), content);
        }
        Value::Array(items) => {
            for item in items {
                add_everywhere(item, name);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

pub(super) async fn snake_case(target: &Target) -> anyhow::Result<()> {
    // A receiver that knows these names refuses the wrong types.
    let wrong = json!({ "not": "this" });
    let fields = json!({ "trace_id": wrong, "dropped_attributes_count": wrong });
    accepts_span(target, fields).await?;
    let mut request = Signal::Traces.json();
    request["resource_spans"] = wrong;
    let accepted = accepts(target, Signal::Traces, &request).await;
    accepted.context("resource_spans")
}

pub(super) async fn enum_number(target: &Target) -> anyhow::Result<()> {
    accepts_span(target, json!({ "kind": 3, "status": { "code": 2 } })).await
}

pub(super) async fn enum_name(target: &Target) -> anyhow::Result<()> {
    let mut span = json_span();
    span["kind"] = json!("SPAN_KIND_SERVER");
    refuses(target, Signal::Traces, json_traces(&span).to_string()).await
}

pub(super) async fn special_doubles(target: &Target) -> anyhow::Result<()> {
    for value in ["NaN", "Infinity", "-Infinity"] {
        accepts_value(target, json!({ "asDouble": value })).await?;
    }
    let value = json!({ "doubleValue": "NaN" });
    let attributes = json!([{ "key": "n", "value": value }]);
    accepts_span(target, json!({ "attributes": attributes })).await
}

pub(super) async fn double_as_string(target: &Target) -> anyhow::Result<()> {
    for value in [json!("1.5"), json!(1), json!("-1e3")] {
        accepts_value(target, json!({ "asDouble": value })).await?;
    }
    Ok(())
}

pub(super) async fn huge_double(target: &Target) -> anyhow::Result<()> {
    let mut metric = json_gauge();
    metric["gauge"]["dataPoints"][0]["asDouble"] = json!("HUGE");
    let request = json_metrics(&metric).to_string();
    refuses(
        target,
        Signal::Metrics,
        request.replace("\"HUGE\"", "1e400"),
    )
    .await
}

pub(super) async fn null_fields(target: &Target) -> anyhow::Result<()> {
    for field in [
        "name",
        "kind",
        "traceState",
        "flags",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "droppedAttributesCount",
        "status",
    ] {
        accepts_span(target, json!({ field: null })).await?;
    }
    let mut request = Signal::Traces.json();
    request["resourceSpans"][0]["resource"] = Value::Null;
    request["resourceSpans"][0]["schemaUrl"] = Value::Null;
    request["resourceSpans"][0]["scopeSpans"][0]["scope"] = Value::Null;
    accepts(target, Signal::Traces, &request).await?;

    let mut request = Signal::Logs.json();
    let record = &mut request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    merge(
        record,
        json!({ "body": null, "severityText": null, "severityNumber": null }),
    );
    accepts(target, Signal::Logs, &request).await
}

pub(super) async fn null_ids(target: &Target) -> anyhow::Result<()> {
    accepts_span(target, json!({ "parentSpanId": null })).await?;
    let mut request = Signal::Logs.json();
    let record = &mut request["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    merge(record, json!({ "traceId": null, "spanId": null }));
    accepts(target, Signal::Logs, &request).await
}

pub(super) async fn null_arrays(target: &Target) -> anyhow::Result<()> {
    for field in ["attributes", "events", "links"] {
        accepts_span(target, json!({ field: null })).await?;
    }
    for signal in Signal::ALL {
        accepts(target, signal, &json!({ signal.resources(): null })).await?;
        let resource = json!({ signal.scopes(): null });
        accepts(target, signal, &json!({ signal.resources(): [resource] })).await?;
    }
    Ok(())
}

pub(super) async fn bytes(target: &Target) -> anyhow::Result<()> {
    // Standard and URL-safe, with and without padding.
    for value in ["+/8=", "-_8=", "+/8", "-_8", ""] {
        let value = json!({ "bytesValue": value });
        let attributes = json!([{ "key": "b", "value": value }]);
        accepts_span(target, json!({ "attributes": attributes })).await?;
    }
    Ok(())
}

pub(super) async fn values(target: &Target) -> anyhow::Result<()> {
    let list = json!({ "kvlistValue": { "values": [{ "key": "k", "value": {} }] } });
    for value in [
        json!({}),
        json!({ "stringValue": "" }),
        json!({ "boolValue": false }),
        json!({ "arrayValue": {} }),
        json!({ "kvlistValue": {} }),
        json!({ "arrayValue": { "values": [{}, list, { "arrayValue": { "values": [] } }] } }),
    ] {
        let attributes = json!([{ "key": "a", "value": value }]);
        accepts_span(target, json!({ "attributes": attributes })).await?;
    }
    accepts_span(target, json!({ "attributes": [{ "key": "a" }] })).await
}
