//! Answers to single requests.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::{AnyValue, KeyValue, KeyValueList, any_value::Value},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use otlp::{Accepted, Busy, Limits, Signal};
use prost::Message as _;
use tonic::{Code, codec::CompressionEncoding};
use tonic_types::{StatusExt as _, pb};

use crate::server::{sized, span, spans, start};

const PROTOBUF: &str = "content-type: application/x-protobuf";
const JSON: &str = "content-type: application/json";

#[tokio::test]
async fn only_spans_with_valid_ids_are_delivered() {
    let server = start(Limits::default()).await;
    let request = spans([
        (vec![1; 16], vec![1; 8]),
        (vec![1; 15], vec![2; 8]),
        (vec![0; 16], vec![3; 8]),
        (vec![1; 16], vec![0; 8]),
        (vec![1; 16], vec![]),
        (vec![2; 16], vec![4; 8]),
    ]);
    let answer = server
        .grpc()
        .await
        .export(request.clone())
        .await
        .unwrap()
        .into_inner();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 4);
    let message = "4 spans rejected: first the trace id has a length of 15 instead of 16 bytes (the span \"test\")";
    assert_eq!(partial.error_message, message);
    assert_eq!(*server.sink.spans.lock().unwrap(), [vec![1; 8], vec![4; 8]]);
    let refusals = server.sink.refusals.lock().unwrap().clone();
    let [refusal] = &refusals[..] else {
        panic!("{refusals:?}")
    };
    assert_eq!(
        (refusal.signal, refusal.rejected),
        (Some(Signal::Traces), Some(4))
    );

    let answer = server.post(&[PROTOBUF], &request.encode_to_vec()).await;
    let answer = ExportTraceServiceResponse::decode(&answer.body[..]).unwrap();
    assert_eq!(answer.partial_success.unwrap().rejected_spans, 4);
}

#[tokio::test]
async fn rejections_of_the_receiver_and_of_the_sink_are_added() {
    let server = start(Limits::default()).await;
    *server.sink.answer.lock().unwrap() = Ok(Accepted {
        rejected: 1,
        message: "full".to_owned(),
        ..Accepted::default()
    });
    let request = spans([(vec![1; 16], vec![]), (vec![1; 16], vec![1; 8])]);
    let answer = server
        .grpc()
        .await
        .export(request)
        .await
        .unwrap()
        .into_inner();
    let expected = ExportTracePartialSuccess {
        rejected_spans: 2,
        error_message: "1 span rejected: the span id has a length of 0 instead of 8 bytes (the span \"test\"); full"
            .to_owned(),
    };
    assert_eq!(answer.partial_success, Some(expected));
}

#[tokio::test]
async fn a_full_success_says_nothing() {
    let server = start(Limits::default()).await;
    let mut client = server
        .grpc()
        .await
        .send_compressed(CompressionEncoding::Gzip);
    let answer = client.export(span(1)).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);
    // Nor does a span that the sink had already.
    *server.sink.answer.lock().unwrap() = Ok(Accepted {
        duplicates: 1,
        ..Accepted::default()
    });
    let answer = client.export(span(1)).await.unwrap().into_inner();
    assert_eq!(answer.partial_success, None);
    let answer = server.post(&[JSON], b"{}").await;
    assert_eq!((answer.status(), &answer.body[..]), (200, &b"{}"[..]));
    assert!(server.sink.refusals.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_busy_sink_makes_clients_retry() {
    let server = start(Limits::default()).await;
    *server.sink.answer.lock().unwrap() = Err(Busy {
        reason: "wait".to_owned(),
        retry_after: Duration::from_millis(1500),
    });
    let status = server.grpc().await.export(span(1)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "wait")
    );
    let delay = status.get_error_details().retry_info().unwrap().retry_delay;
    assert_eq!(delay, Some(Duration::from_millis(1500)));

    let answer = server.post(&[PROTOBUF], &span(1).encode_to_vec()).await;
    assert_eq!(answer.status(), 503);
    assert!(answer.head.contains("retry-after: 2\r\n"), "{answer:?}");
    let status = pb::Status::decode(&answer.body[..]).unwrap();
    assert_eq!(
        (status.code, &status.message[..]),
        (Code::Unavailable as i32, "wait")
    );
    assert_eq!(status.details.len(), 1);

    *server.sink.answer.lock().unwrap() = Ok(Accepted::default());
    assert_eq!(
        server
            .post(&[PROTOBUF], &span(2).encode_to_vec())
            .await
            .status(),
        200
    );
    assert_eq!(*server.sink.spans.lock().unwrap(), [vec![2; 8]]);
}

#[tokio::test]
async fn a_request_above_the_limit_is_refused_for_good() {
    let limit = 100_000;
    let server = start(Limits { request: limit }).await;
    let mut grpc = server.grpc().await;
    let mut gzip = server
        .grpc()
        .await
        .send_compressed(CompressionEncoding::Gzip);
    for size in [limit - 1, limit] {
        grpc.export(sized(size)).await.unwrap();
        gzip.export(sized(size)).await.unwrap();
        let answer = server.post(&[PROTOBUF], &sized(size).encode_to_vec()).await;
        assert_eq!(answer.status(), 200, "{size}");
    }
    for client in [&mut grpc, &mut gzip] {
        let status = client.export(sized(limit + 1)).await.unwrap_err();
        // OUT_OF_RANGE would make clients retry, and so would RetryInfo.
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.get_error_details().retry_info().is_none());
    }
    let answer = server
        .post(&[PROTOBUF], &sized(limit + 1).encode_to_vec())
        .await;
    assert_eq!(answer.status(), 413);
    let status = pb::Status::decode(&answer.body[..]).unwrap();
    assert_eq!(
        status.message,
        "the request has more than 100000 bytes, the limit of this receiver"
    );
}

#[tokio::test]
async fn a_request_that_grows_too_much_in_memory_is_refused_for_good() {
    let limit = 1 << 20;
    let server = start(Limits { request: limit }).await;
    // Spans without a field: 3 bytes each in JSON, 2 in protobuf, and hundreds in memory.
    let spans = "{},".repeat(300_000);
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}{{}}]}}]}}]}}"#);
    let answer = server.post(&[JSON], body.as_bytes()).await;
    assert_eq!(answer.status(), 413, "{answer:?}");
    let body = String::from_utf8(answer.body).unwrap();
    assert!(
        body.contains("would take more than 16777216 bytes of memory"),
        "{body}"
    );
}

#[tokio::test]
async fn a_request_of_tiny_spans_is_stored_in_parts() {
    let server = start(Limits::default()).await;
    let span = |id: u64| Span {
        trace_id: vec![1; 16],
        span_id: id.to_be_bytes().to_vec(),
        ..Span::default()
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                // Spans without a valid id are in all parts.
                spans: (0..100_000).map(|id| span(id / 2 * (id % 2))).collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let mut wire = request.encode_to_vec();
    let answer = server.post(&[PROTOBUF], &wire).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let answer = ExportTraceServiceResponse::decode(&answer.body[..]).unwrap();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 50_001);
    assert!(partial.error_message.len() < 200, "{partial:?}");
    assert_eq!(server.sink.spans.lock().unwrap().len(), 49_999);
    // 256 KiB, at two times the size of a span.
    assert!(*server.sink.most.lock().unwrap() < 1000);

    // A request is refused as a whole, whatever comes before the mistake.
    let valid = wire.len();
    wire.extend_from_slice(b"\x0a\x02\x12\x7f");
    let answer = server.post(&[PROTOBUF], &wire).await;
    assert_eq!(answer.status(), 400, "{answer:?}");
    assert_eq!(server.sink.spans.lock().unwrap().len(), 49_999);

    // The client repeats all of it if the sink does not take a part.
    *server.sink.answer.lock().unwrap() = Err(Busy {
        reason: "full".to_owned(),
        retry_after: Duration::from_secs(1),
    });
    let answer = server.post(&[PROTOBUF], &wire[..valid]).await;
    assert_eq!(answer.status(), 503, "{answer:?}");
}

#[tokio::test]
async fn a_record_that_grows_too_much_in_memory_is_refused_for_good() {
    let server = start(Limits::default()).await;
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            scope_spans: vec![ScopeSpans {
                spans: vec![Span {
                    trace_id: vec![1; 16],
                    span_id: vec![1; 8],
                    attributes: vec![KeyValue::default(); 300_000],
                    ..Span::default()
                }],
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    let answer = server.post(&[PROTOBUF], &request.encode_to_vec()).await;
    assert_eq!(answer.status(), 413, "{answer:?}");
    let status = pb::Status::decode(&answer.body[..]).unwrap();
    assert_eq!(
        status.message,
        "a single record would take more than 25165824 bytes of memory, the limit of this receiver"
    );
}

#[tokio::test]
async fn malformed_requests_name_what_is_wrong() {
    let server = start(Limits::default()).await;
    let answer = server
        .post(&[JSON], br#"{"resourceSpans":[{"scopeSpans":[7]}]}"#)
        .await;
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.status(), &body["code"]), (400, &3.into()), "{body}");
    let violation = &body["details"][0]["fieldViolations"][0];
    assert_eq!(
        violation["field"], "resourceSpans[0].scopeSpans[0]",
        "{body}"
    );

    let answer = server.post(&[PROTOBUF], b"\xff\xff\xff").await;
    assert_eq!(answer.status(), 400);
    assert_eq!(pb::Status::decode(&answer.body[..]).unwrap().code, 3);

    let answer = server
        .post(&[PROTOBUF, "content-encoding: gzip"], b"no gzip")
        .await;
    assert_eq!(answer.status(), 400);

    let frame = b"\0\0\0\0\x02\xff\xff";
    let answer = server
        .send(
            "POST",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            &["content-type: application/grpc"],
            frame,
        )
        .await;
    assert!(answer.head.contains("grpc-status: 3\r\n"), "{answer:?}");
}

/// An attribute with this many levels of maps in maps.
fn nested(levels: usize) -> KeyValue {
    let mut value = Some(AnyValue::default());
    for _ in 0..levels {
        let pair = KeyValue {
            key: "k".to_owned(),
            value,
            ..KeyValue::default()
        };
        let list = KeyValueList { values: vec![pair] };
        value = Some(AnyValue {
            value: Some(Value::KvlistValue(list)),
        });
    }
    KeyValue {
        key: "deep".to_owned(),
        value,
        ..KeyValue::default()
    }
}

#[tokio::test]
async fn nesting_is_limited_and_the_answer_says_so_in_short() {
    let server = start(Limits::default()).await;
    for (header, most) in [(JSON, 29), (PROTOBUF, 31)] {
        for levels in [most, most + 1] {
            let mut request = spans([(vec![1; 16], vec![1; 8])]);
            let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
            span.attributes = vec![nested(levels)];
            let body = match header {
                JSON => otlp::json::encode(&request),
                _ => request.encode_to_vec(),
            };
            let answer = server.post(&[header], &body).await;
            if levels == most {
                assert_eq!(answer.status(), 200, "{header} {levels}: {answer:?}");
                continue;
            }
            assert_eq!(answer.status(), 400, "{header} {levels}: {answer:?}");
            let text = String::from_utf8_lossy(&answer.body);
            let expected = format!("more than {most} levels of kvlist");
            assert!(text.contains(&expected), "{text}");
            assert!(text.len() < 1000, "{text}");
        }
    }
}

#[tokio::test]
async fn only_pages_of_this_machine_may_send() {
    let server = start(Limits::default()).await;
    for (origin, is_allowed) in [
        ("http://localhost:3000", true),
        ("https://shop.localhost", true),
        ("http://127.0.0.1", true),
        ("http://[::1]:5173", true),
        ("https://evil.example", false),
        ("http://localhost.evil.example", false),
        ("http://127.0.0.1.evil.example", false),
        ("null", false),
    ] {
        let origin = format!("origin: {origin}");
        let headers = [
            origin.as_str(),
            "access-control-request-method: POST",
            "access-control-request-headers: content-type,x-key",
        ];
        let answer = server.send("OPTIONS", "/v1/traces", &headers, b"").await;
        let allowed = answer.head.contains("access-control-allow-origin");
        assert_eq!(allowed, is_allowed, "{origin}: {answer:?}");
        if allowed {
            assert!(
                answer
                    .head
                    .contains("access-control-allow-headers: content-type,x-key"),
                "{answer:?}"
            );
        }
    }
}
