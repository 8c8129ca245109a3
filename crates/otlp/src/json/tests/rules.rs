//! The rules of protobuf's JSON mapping, and the exceptions of OTLP.

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest,
        metrics::v1::ExportMetricsServiceRequest,
        trace::v1::{
            ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
        },
    },
    common::v1::{AnyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{
        ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, metric::Data,
        number_data_point,
    },
    trace::v1::Span,
};
use prost::Message as _;

use crate::json::{
    decode, encode,
    table::{self, Table},
};

const TRACE_ID: &str = "5b8efff798038103d269b633813fc60c";

/// Decodes a span with these fields.
fn span(fields: &str) -> Result<Span, String> {
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{fields}}}]}}]}}]}}"#);
    let request = decode::<ExportTraceServiceRequest>(json.as_bytes());
    let mut request = request.map_err(|error| {
        let field = error
            .field()
            .replace("resourceSpans[0].scopeSpans[0].spans[0]", "");
        format!("{field}: {}", error.reason())
    })?;
    Ok(request
        .resource_spans
        .remove(0)
        .scope_spans
        .remove(0)
        .spans
        .remove(0))
}

/// Decodes the value of an attribute.
fn value(json: &str) -> Result<Option<AnyValue>, String> {
    let mut span = span(&format!(r#""attributes":[{{"key":"a","value":{json}}}]"#))?;
    Ok(span.attributes.remove(0).value)
}

fn any(value: Value) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

/// Decodes a metric.
fn metric(fields: &str) -> Result<Option<Data>, String> {
    let json =
        format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{{fields}}}]}}]}}]}}"#);
    let request = decode::<ExportMetricsServiceRequest>(json.as_bytes());
    let mut request = request.map_err(|error| error.to_string())?;
    Ok(request
        .resource_metrics
        .remove(0)
        .scope_metrics
        .remove(0)
        .metrics
        .remove(0)
        .data)
}

fn gauge(point: &str) -> NumberDataPoint {
    match metric(&format!(r#""gauge":{{"dataPoints":[{{{point}}}]}}"#)).unwrap() {
        Some(Data::Gauge(mut gauge)) => gauge.data_points.remove(0),
        other => panic!("{other:?}"),
    }
}

fn histogram(point: &str) -> HistogramDataPoint {
    match metric(&format!(r#""histogram":{{"dataPoints":[{{{point}}}]}}"#)).unwrap() {
        Some(Data::Histogram(mut histogram)) => histogram.data_points.remove(0),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, String>, parts: [&str; 2]) {
    let error = result.unwrap_err();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    assert!(error.len() < 400, "{error}");
}

#[test]
fn ids_are_hex_of_any_case() {
    let bytes = decode_hex(TRACE_ID);
    for id in [TRACE_ID, &TRACE_ID.to_uppercase()] {
        let span = span(&format!(r#""traceId":"{id}","spanId":"EEe19b7ec3c1b174""#)).unwrap();
        assert_eq!(span.trace_id, bytes);
        assert_eq!(span.span_id, decode_hex("eee19b7ec3c1b174"));
        assert!(span.parent_span_id.is_empty());
    }
    assert!(
        span(r#""parentSpanId":"""#)
            .unwrap()
            .parent_span_id
            .is_empty()
    );
}

fn decode_hex(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn other_ids_are_refused() {
    refused(
        span(r#""traceId":"W47/95gDgQPSabYzgT/GDA==""#),
        [".traceId: ", "hex digits"],
    );
    refused(span(r#""traceId":"é""#), [".traceId: ", "hex digits"]);
    refused(
        span(r#""traceId":"abc""#),
        [".traceId: ", "even number of hex digits, found 3"],
    );
    refused(
        span(r#""links":[{},{"spanId":12}]"#),
        [".links[1].spanId: ", "a string of hex digits"],
    );
    let long = format!(r#""spanId":"{}""#, "x".repeat(10_000));
    refused(span(&long), [".spanId: ", "hex digits"]);
}

#[test]
fn numbers_of_64_bits_keep_every_digit() {
    for (json, time) in [
        (r#""1544712660300000001""#, 1_544_712_660_300_000_001),
        ("1544712660300000001", 1_544_712_660_300_000_001),
        ("18446744073709551615", u64::MAX),
        (r#""9007199254740993""#, 9_007_199_254_740_993),
        ("9007199254740993.0", 9_007_199_254_740_993),
        (r#""\u0031e3""#, 1000),
        ("1e3", 1000),
        ("1.0", 1),
    ] {
        let span = span(&format!(r#""startTimeUnixNano":{json}"#)).unwrap();
        assert_eq!(span.start_time_unix_nano, time, "{json}");
    }
    for json in [
        "-1",
        "18446744073709551616",
        r#""""#,
        r#""1.5""#,
        "1.5",
        "true",
        "{}",
        "[[]]",
    ] {
        let result = span(&format!(r#""startTimeUnixNano":{json}"#));
        refused(
            result,
            [
                ".startTimeUnixNano: ",
                "a whole number from 0 to 18446744073709551615",
            ],
        );
    }
    for json in ["-9223372036854775808", r#""-9223372036854775808""#] {
        let number = value(&format!(r#"{{"intValue":{json}}}"#)).unwrap();
        assert_eq!(number, any(Value::IntValue(i64::MIN)), "{json}");
        let point = gauge(&format!(r#""asInt":{json}"#));
        assert_eq!(
            point.value,
            Some(number_data_point::Value::AsInt(i64::MIN)),
            "{json}"
        );
    }
    refused(
        value(r#"{"intValue":-9223372036854775809}"#),
        ["intValue", "-9223372036854775808 to"],
    );
    refused(
        value(r#"{"intValue":"9223372036854775808"}"#),
        ["intValue", "found \"92233720368"],
    );
    assert_eq!(
        histogram(r#""bucketCounts":["1",2,3e0]"#).bucket_counts,
        [1, 2, 3]
    );
}

#[test]
fn numbers_of_32_bits_stay_in_range() {
    let given = span(r#""flags":"4294967295","droppedEventsCount":4294967295"#).unwrap();
    assert_eq!(
        (given.flags, given.dropped_events_count),
        (u32::MAX, u32::MAX)
    );
    refused(
        span(r#""flags":4294967296"#),
        [".flags: ", "from 0 to 4294967295"],
    );
    refused(
        span(r#""droppedLinksCount":-1"#),
        [".droppedLinksCount: ", "found -1"],
    );
    let exponential = |point: &str| {
        let fields = format!(r#""exponentialHistogram":{{"dataPoints":[{{{point}}}]}}"#);
        match metric(&fields)? {
            Some(Data::ExponentialHistogram(mut data)) => Ok(data.data_points.remove(0)),
            other => Err(format!("{other:?}")),
        }
    };
    for scale in [i32::MIN, -10, 0, 20, i32::MAX] {
        let point: ExponentialHistogramDataPoint = exponential(&format!(
            r#""scale":{scale},"positive":{{"offset":"{scale}"}}"#
        ))
        .unwrap();
        assert_eq!(
            (point.scale, point.positive.unwrap().offset),
            (scale, scale)
        );
    }
    refused(
        exponential(r#""scale":2147483648"#),
        ["dataPoints[0].scale: ", "2147483647"],
    );
}

#[test]
fn enums_are_numbers() {
    assert_eq!(span(r#""kind":2,"status":{"code":2}"#).unwrap().kind, 2);
    assert_eq!(span(r#""kind":77"#).unwrap().kind, 77);
    refused(
        span(r#""kind":"SPAN_KIND_SERVER""#),
        [".kind: ", "not its name"],
    );
    refused(
        span(r#""status":{"code":"STATUS_CODE_OK"}"#),
        [".status.code: ", "not its name"],
    );
}

#[test]
fn doubles_include_the_special_values() {
    for (json, number) in [
        (r#""Infinity""#, f64::INFINITY),
        (r#""-Infinity""#, f64::NEG_INFINITY),
        (r#""1.5""#, 1.5),
        ("0.1", 0.1),
        ("5", 5.0),
        ("123456789012345678.5", 123_456_789_012_345_678.5),
    ] {
        let given = value(&format!(r#"{{"doubleValue":{json}}}"#)).unwrap();
        assert_eq!(given, any(Value::DoubleValue(number)), "{json}");
    }
    assert!(histogram(r#""sum":"NaN""#).sum.unwrap().is_nan());
    assert_eq!(
        histogram(r#""explicitBounds":[0,"Infinity"]"#).explicit_bounds,
        [0.0, f64::INFINITY]
    );
    for json in [
        "1e400",
        r#""1e400""#,
        r#""inf""#,
        r#""nan""#,
        "true",
        r#""""#,
    ] {
        refused(
            value(&format!(r#"{{"doubleValue":{json}}}"#)),
            ["doubleValue: ", "a number of 64"],
        );
    }
}

#[test]
fn the_absence_of_an_optional_number_is_kept() {
    let point = histogram(r#""sum":0,"min":null"#);
    assert_eq!((point.sum, point.min, point.max), (Some(0.0), None, None));
}

#[test]
fn null_is_the_default_of_every_field() {
    assert_eq!(span(&nulls(&table::SPAN)).unwrap(), Span::default());
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":null,"scopeLogs":[{{"logRecords":[{{{}}}]}}]}}]}}"#,
        nulls(&table::LOG_RECORD)
    );
    let request: ExportLogsServiceRequest = decode(json.as_bytes()).unwrap();
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    assert_eq!(*record, LogRecord::default());
    assert_eq!(
        histogram(&nulls(&table::HISTOGRAM_DATA_POINT)),
        HistogramDataPoint::default()
    );
    assert_eq!(
        gauge(&nulls(&table::NUMBER_DATA_POINT)),
        NumberDataPoint::default()
    );
    assert_eq!(metric(&nulls(&table::METRIC)).unwrap(), None);
    let empty = Some(AnyValue { value: None });
    assert_eq!(
        value(&format!("{{{}}}", nulls(&table::ANY_VALUE))).unwrap(),
        empty
    );
    assert_eq!(value("null").unwrap(), None);
}

fn nulls(table: &Table) -> String {
    let fields = table
        .0
        .iter()
        .map(|field| format!(r#""{}":null"#, field.name));
    fields.collect::<Vec<_>>().join(",")
}

#[test]
fn null_in_an_array_is_refused() {
    refused(
        span(r#""attributes":[null]"#),
        [".attributes[0]: ", "expected an object, found null"],
    );
    let point = r#""histogram":{"dataPoints":[{"bucketCounts":[1,null]}]}"#;
    refused(metric(point), ["bucketCounts[1]: ", "found null"]);
}

#[test]
fn unknown_fields_are_skipped_at_every_level() {
    let unknown =
        r#""new":{"a":[1,{"b":"}"}],"c":1e400},"trace_id":"no hex","start_time_unix_nano":[]"#;
    let json = format!(
        r#"{{{unknown},"resourceSpans":[{{{unknown},"resource":{{{unknown}}},"scopeSpans":[{{{unknown},
        "scope":{{{unknown}}},"spans":[{{{unknown},"name":"a","status":{{{unknown}}},
        "attributes":[{{{unknown},"key":"k","value":{{{unknown},"intValue":1}}}}]}}]}}]}}]}}"#
    );
    let request: ExportTraceServiceRequest = decode(json.as_bytes()).unwrap();
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!(span.name, "a");
    assert_eq!(span.attributes[0].value, any(Value::IntValue(1)));
    assert!(span.trace_id.is_empty());
}

#[test]
fn bytes_are_base64_of_both_alphabets() {
    for text in ["+/8=", "+/8", "-_8=", "-_8"] {
        let bytes = value(&format!(r#"{{"bytesValue":"{text}"}}"#)).unwrap();
        assert_eq!(bytes, any(Value::BytesValue(vec![0xfb, 0xff])), "{text}");
    }
    refused(value(r#"{"bytesValue":"a"}"#), ["bytesValue: ", "base64"]);
    refused(value(r#"{"bytesValue":"*"}"#), ["bytesValue: ", "base64"]);
}

#[test]
fn values_nest() {
    assert_eq!(value("{}").unwrap(), Some(AnyValue { value: None }));
    let json = r#"{"arrayValue":{"values":[{"kvlistValue":{"values":[{"key":"k","value":{"boolValue":false}}]}},{}]}}"#;
    let Some(Value::ArrayValue(array)) = value(json).unwrap().unwrap().value else {
        panic!("not an array");
    };
    let Some(Value::KvlistValue(list)) = &array.values[0].value else {
        panic!("not a list");
    };
    assert_eq!(list.values[0].value, any(Value::BoolValue(false)));
    assert_eq!(array.values[1].value, None);
}

#[test]
fn messages_may_be_long() {
    let name = "a".repeat(3 << 20);
    let span = span(&format!(r#""status":{{"message":"{name}"}}"#)).unwrap();
    assert_eq!(span.status.unwrap().message, name);
}

#[test]
fn nesting_has_a_limit() {
    let nested = |depth| {
        let (open, close) = (r#"{"kvlistValue":{"values":[{"value":"#, "}]}}");
        value(&[&open.repeat(depth), "{}", &close.repeat(depth)].concat())
    };
    assert!(nested(29).unwrap().unwrap().encoded_len() > 29 * 6);
    for depth in [30, 100_000] {
        let error = nested(depth).unwrap_err();
        assert!(
            error.contains("more than 29 levels of kvlistValue"),
            "{error}"
        );
        assert!(error.len() < 500, "{error}");
        assert!(
            error.starts_with(".attributes[0].value.kvlistValue"),
            "{error}"
        );
    }
    // Values that are not kept need no stack.
    let deep = ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat();
    span(&format!(r#""unknown":{deep}"#)).unwrap();
    refused(
        span(&format!(r#""kind":{deep}"#)),
        [".kind: ", "found an array"],
    );
}

#[test]
fn a_field_may_be_given_once() {
    refused(
        value(r#"{"intValue":1,"stringValue":"a"}"#),
        ["stringValue: ", "together with intValue"],
    );
    refused(
        metric(r#""gauge":{},"sum":{}"#),
        ["sum: ", "together with gauge"],
    );
    refused(span(r#""name":"a","name":"b""#), [".name: ", "twice"]);
    let number = value(r#"{"stringValue":null,"intValue":1,"boolValue":null}"#).unwrap();
    assert_eq!(number, any(Value::IntValue(1)));
}

#[test]
fn values_of_another_type_are_refused() {
    for (fields, parts) in [
        (r#""status":[]"#, [".status: ", "expected an object"]),
        (r#""status":[2,"a"]"#, [".status: ", "expected an object"]),
        (r#""status":"a""#, [".status: ", "expected an object"]),
        (r#""attributes":{}"#, [".attributes: ", "expected an array"]),
        (
            r#""attributes":[[]]"#,
            [".attributes[0]: ", "expected an object"],
        ),
        (r#""name":1"#, [".name: ", "expected a string"]),
        (r#""name":{}"#, [".name: ", "expected a string"]),
    ] {
        refused(span(fields), parts);
    }
    refused(
        value(r#"{"boolValue":"true"}"#),
        ["boolValue: ", "true or false"],
    );
    refused(
        value(r#"{"boolValue":1}"#),
        ["boolValue: ", "true or false"],
    );
}

#[test]
fn long_values_are_not_repeated_in_errors() {
    let long = "7".repeat(10_000);
    refused(
        span(&format!(r#""status":"{long}""#)),
        [".status: ", "a string"],
    );
    refused(
        span(&format!(r#""attributes":"{long}""#)),
        [".attributes: ", "a string"],
    );
    refused(
        span(&format!(r#""kind":{long}"#)),
        [".kind: ", "a long number"],
    );
    refused(
        span(&format!(r#""flags":"{long}""#)),
        [".flags: ", "a long string"],
    );
    refused(
        value(&format!(r#"{{"doubleValue":"x{long}"}}"#)),
        ["doubleValue: ", "a long string"],
    );
    refused(
        value(&format!(r#"{{"bytesValue":"*{long}"}}"#)),
        ["bytesValue: ", "base64"],
    );
}

#[test]
fn the_text_is_one_object() {
    for text in [
        "",
        "{",
        "null",
        "[]",
        "[{}]",
        "\"a\"",
        "1",
        "{}x",
        "{} {}",
        "{\"a\"}",
        "\u{feff}{}",
    ] {
        let error = decode::<ExportTraceServiceRequest>(text.as_bytes()).unwrap_err();
        assert_eq!(error.field(), "", "{text}");
        assert_eq!(error.to_string(), error.reason());
    }
    decode::<ExportTraceServiceRequest>(b"{\"resourceSpans\":[{\"schemaUrl\":\"\xff\"}]}")
        .unwrap_err();
    let request: ExportTraceServiceRequest = decode(b" {} \n").unwrap();
    assert_eq!(request, ExportTraceServiceRequest::default());
}

#[test]
fn an_error_names_its_place() {
    let json = br#"{"resourceSpans":[{"resource":{},"scopeSpans":[{},{"spans":[{},{},
        {"events":[{}],"traceId":"0"}]}]}]}"#;
    let error = decode::<ExportTraceServiceRequest>(json).unwrap_err();
    assert_eq!(
        error.to_string(),
        "resourceSpans[0].scopeSpans[1].spans[2].traceId: \
         expected an even number of hex digits, found 1 at line 2 column 36"
    );
    let error =
        decode::<ExportTraceServiceRequest>(br#"{"resourceSpans":[{},{"scopeSpans":"#).unwrap_err();
    assert_eq!(error.field(), "resourceSpans[1].scopeSpans");
}

#[test]
fn messages_are_written_in_the_form_of_otlp() {
    let given = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C","name":"\"ä\u0001","kind":2,"startTimeUnixNano":1544712660300000001,"attributes":[{"key":"a","value":{"intValue":-5}},{"key":"b","value":{"doubleValue":"NaN"}},{"key":"c","value":{"bytesValue":"-_8"}},{"key":"d","value":{}},{"key":"e","value":{"arrayValue":{"values":[{"doubleValue":1e300},{"boolValue":false}]}}}],"status":{}},{}]}],"schemaUrl":"s"}]}"#;
    let written = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","name":"\"ä\u0001","kind":2,"startTimeUnixNano":"1544712660300000001","attributes":[{"key":"a","value":{"intValue":"-5"}},{"key":"b","value":{"doubleValue":"NaN"}},{"key":"c","value":{"bytesValue":"+/8="}},{"key":"d","value":{}},{"key":"e","value":{"arrayValue":{"values":[{"doubleValue":1e300},{"boolValue":false}]}}}],"status":{}},{}]}],"schemaUrl":"s"}]}"#;
    let request: ExportTraceServiceRequest = decode(given.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(encode(&request)).unwrap(), written);
}

#[test]
fn responses_are_messages_too() {
    let response = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 3,
            error_message: "no id".to_owned(),
        }),
    };
    let json = r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no id"}}"#;
    assert_eq!(String::from_utf8(encode(&response)).unwrap(), json);
    assert_eq!(
        decode::<ExportTraceServiceResponse>(json.as_bytes()).unwrap(),
        response
    );
    assert_eq!(encode(&ExportTraceServiceResponse::default()), b"{}");
}
