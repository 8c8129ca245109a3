//! Responses of the collector: refusals, retries, pauses.

use http::HeaderName;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use prost::Message as _;
use tonic_types::ErrorDetails;

use crate::settings::Signal;

use super::{
    super::*,
    harness::{
        SIGNALS, Server, answered, export_record, exporter, message, sender_of, setting, status,
    },
};

#[tokio::test]
async fn an_answer_that_is_not_retryable_is_not_retried() {
    for signal in SIGNALS {
        let refused = Status::resource_exhausted("").into_http();
        let mut redirect = status(307);
        redirect
            .headers_mut()
            .insert("location", HeaderValue::from_static("http://127.0.0.1:1"));
        for (protocol, answer, reason) in [
            ("grpc", refused, "ResourceExhausted"),
            (
                "grpc",
                Status::invalid_argument("").into_http(),
                "InvalidArgument",
            ),
            ("http/protobuf", redirect, "307"),
            ("http/protobuf", status(400), "400"),
            ("http/protobuf", status(401), "401"),
        ] {
            let (sender, server) = answered(signal, protocol, answer).await;
            let error = sender.send_again(message()).await.unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert_eq!(server.seen().len(), 1, "{reason}");
        }
    }
}

#[tokio::test]
async fn a_retryable_answer_is_retried() {
    let delay = Duration::from_secs(1);
    let exhausted = |delay| {
        let details = ErrorDetails::with_retry_info(delay);
        Status::with_error_details(Code::ResourceExhausted, "", details).into_http()
    };
    let mut in_a_second = status(429);
    in_a_second.headers_mut().insert(RETRY_AFTER, 1.into());
    let retried = async |signal, protocol, answer, delay| {
        let (sender, server) = answered(signal, protocol, answer).await;
        let start = Instant::now();
        sender.send_again(message()).await.unwrap();
        assert!(start.elapsed() >= delay);
        assert_eq!(server.seen().len(), 2);
    };
    // Concurrently, since each waits for its second attempt.
    let any = Duration::ZERO;
    tokio::join!(
        retried(
            Signal::Traces,
            "grpc",
            Status::unavailable("").into_http(),
            any
        ),
        retried(Signal::Traces, "grpc", exhausted(None), any),
        retried(Signal::Traces, "grpc", exhausted(Some(delay)), delay),
        retried(Signal::Traces, "http/protobuf", status(429), any),
        retried(Signal::Traces, "http/protobuf", status(503), any),
        retried(
            Signal::Logs,
            "grpc",
            Status::unavailable("").into_http(),
            any
        ),
        retried(Signal::Logs, "grpc", exhausted(Some(delay)), delay),
        retried(Signal::Logs, "http/protobuf", status(503), any),
        retried(Signal::Logs, "http/protobuf", in_a_second, delay),
    );
}

#[tokio::test]
async fn a_timeout_during_retries_has_the_reason_of_the_last_failure() {
    let server = Server::default().answers([status(503)]);
    let address = server.start(None, None).await;
    let settings = [
        setting("endpoint", format_args!("http://{address}")),
        setting("protocol", "http/protobuf"),
        // Shorter than the delay before the second attempt.
        setting("timeout", 500),
    ];
    let sender = sender_of(Signal::Traces, &settings).unwrap();
    let error = sender.send_again(message()).await.unwrap_err().to_string();
    assert!(error.contains("503"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn exports_pause_as_long_as_the_collector_asks() {
    for (signal, protocol, answer, expected) in SIGNALS.into_iter().flat_map(long_delays) {
        let (sender, server) = answered(signal, protocol, answer).await;
        sender.send(message()).await.unwrap_err();
        let end = sender.pause().unwrap();
        let left = end.duration_since(Instant::now());
        assert!(
            left <= expected && left + Duration::from_secs(20) > expected,
            "{left:?}"
        );

        // Another attempt waits before it sends anything.
        let waits = timeout(Duration::from_millis(20), sender.send(message())).await;
        assert!(waits.is_err());
        assert_eq!(server.seen().len(), 1);
    }
}

/// Responses that ask for a longer pause than an export may take.
fn long_delays(signal: Signal) -> [(Signal, &'static str, Response<Body>, Duration); 4] {
    let delay = Duration::from_secs(60);
    let details = ErrorDetails::with_retry_info(Some(delay));
    let exhausted = Status::with_error_details(Code::ResourceExhausted, "", details);
    let mut in_seconds = status(429);
    in_seconds.headers_mut().insert(RETRY_AFTER, 60.into());
    let mut at_a_time = status(503);
    let time = httpdate::fmt_http_date(SystemTime::now() + delay);
    at_a_time
        .headers_mut()
        .insert(RETRY_AFTER, time.parse().unwrap());
    let mut for_ever = status(429);
    for_ever.headers_mut().insert(RETRY_AFTER, u64::MAX.into());
    [
        (signal, "grpc", exhausted.into_http(), delay),
        (signal, "http/protobuf", in_seconds, delay),
        (signal, "http/protobuf", at_a_time, delay),
        (signal, "http/protobuf", for_ever, MAX_PAUSE),
    ]
}

#[tokio::test]
async fn log_records_that_the_collector_rejects_are_counted() {
    let response = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 1,
            error_message: String::new(),
        }),
    };
    let message = response.encode_to_vec();
    // One byte for "not compressed", and four for the length.
    let head = [0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
    let trailers = HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let framed = Full::from([&head, &*message].concat());
    let framed = framed.with_trailers(async { Some(Ok(trailers)) });
    for (protocol, body) in [
        ("grpc", Body::new(framed)),
        ("http/protobuf", Body::new(Full::from(message.clone()))),
    ] {
        let (sender, server) = answered(Signal::Logs, protocol, Response::new(body)).await;
        let (exporter, flow) = exporter(sender);
        for _ in 0..2 {
            export_record(&exporter).await.unwrap();
            assert_eq!(flow.lost(), 1);
        }
        assert_eq!(server.seen().len(), 2);
    }
}
