//! A small receiver without a store, which can be wrong in one way.

use std::{future::ready, io::Read as _};

use axum::{Router, body::Body};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest,
    metrics::v1::ExportMetricsServiceRequest,
    trace::v1::{ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse},
};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

/// What the receiver does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    Nothing,
    /// Answers large requests over HTTP before it reads their body, which is correct.
    Early,
    /// Answers bad data over HTTP with 500.
    ServerError,
    /// Answers protobuf with the content type of JSON.
    ContentType,
    /// Answers requests in protobuf with JSON.
    Json,
    /// Sets an empty partial success in each answer over HTTP.
    EmptyPartialSuccess,
    /// Writes errors over HTTP as text.
    TextErrors,
    /// Leaves `BadRequest` out of errors.
    NoDetails,
    /// Answers messages above the limit over gRPC with `OUT_OF_RANGE`.
    OutOfRange,
    /// Answers messages above the limit with `RetryInfo` and 503.
    Retry,
    /// Checks the limit before it unpacks gzip.
    Bomb,
    /// Takes compressed bodies over HTTP as they are.
    NoGzip,
    /// Rejects one span too many.
    Count,
    /// Stores base64 ids as if they were hex.
    AnyId,
    /// Refuses null in ids.
    Null,
    /// Never answers requests for logs.
    Hang,
}

#[derive(Clone, Copy, Debug)]
struct Receiver {
    fault: Fault,
    limit: usize,
}

/// The reason for a refusal.
enum Refusal {
    Bad(String),
    TooLarge,
    Encoding,
}

/// Starts a receiver for gRPC and HTTP on one port, and returns its URL.
pub(crate) async fn start(fault: Fault, limit: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = Receiver { fault, limit };
    let router = Router::new().fallback(move |request| receiver.answer(request));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

impl Receiver {
    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.map_or("", |value| value.to_str().unwrap());
        let content_type = content_type.split(';').next().unwrap().to_lowercase();
        let path = parts.uri.path().to_owned();
        if self.fault == Fault::Hang && path.contains("logs") {
            return std::future::pending().await;
        }
        let json = content_type == "application/json";
        let grpc = content_type == "application/grpc";
        let length = parts.headers.get(header::CONTENT_LENGTH);
        let length = length.map_or("0", |value| value.to_str().unwrap());
        if self.fault == Fault::Early && !grpc && length.parse::<usize>().unwrap() > self.limit {
            return self.error(StatusCode::PAYLOAD_TOO_LARGE, json, "too large", false);
        }
        let body = body.collect().await.unwrap().to_bytes();
        if grpc {
            return self.grpc(&path, &parts.headers, &body);
        }
        if !["/v1/traces", "/v1/metrics", "/v1/logs"].contains(&&*path) {
            return self.error(StatusCode::NOT_FOUND, json, "no such path", false);
        }
        if parts.method != Method::POST {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut answer = self.error(status, json, "only POST", false);
            let allow = HeaderValue::from_static("POST");
            answer.headers_mut().insert(header::ALLOW, allow);
            return answer;
        }
        if !json && content_type != "application/x-protobuf" {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return self.error(status, json, "unknown content type", false);
        }
        match self.http(&path, &parts.headers, json, &body) {
            Ok(rejected) => self.success(json, rejected),
            Err(Refusal::Bad(_)) if self.fault == Fault::ServerError => {
                self.error(StatusCode::INTERNAL_SERVER_ERROR, json, "failed", false)
            }
            Err(Refusal::Bad(reason)) => self.error(StatusCode::BAD_REQUEST, json, &reason, true),
            Err(Refusal::TooLarge) if self.fault == Fault::Retry => {
                self.error(StatusCode::SERVICE_UNAVAILABLE, json, "busy", false)
            }
            Err(Refusal::TooLarge) => {
                self.error(StatusCode::PAYLOAD_TOO_LARGE, json, "too large", false)
            }
            Err(Refusal::Encoding) => {
                let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                self.error(status, json, "unknown encoding", false)
            }
        }
    }

    /// The number of rejected spans.
    fn http(
        self,
        path: &str,
        headers: &HeaderMap,
        json: bool,
        body: &[u8],
    ) -> Result<i64, Refusal> {
        let encoding = headers.get(header::CONTENT_ENCODING);
        let body = match encoding.map(HeaderValue::as_bytes) {
            Some(b"gzip") if self.fault != Fault::NoGzip => self.unpack(body)?,
            Some(b"gzip") | None => self.limited(body.to_vec())?,
            Some(_) => return Err(Refusal::Encoding),
        };
        if !json {
            return Self::decode(path, &body);
        }
        let value: Value = serde_json::from_slice(&body).map_err(|error| bad(&error))?;
        if !value.is_object() {
            return Err(bad("not an object"));
        }
        let mut rejected = 0;
        self.check(&value, path == "/v1/traces", &mut rejected)?;
        Ok(rejected)
    }

    /// Checks the ids of JSON, and counts the spans without a valid trace id.
    fn check(self, value: &Value, spans: bool, rejected: &mut i64) -> Result<(), Refusal> {
        match value {
            Value::Object(fields) => {
                if fields.get("kind").is_some_and(Value::is_string) {
                    return Err(bad("an enum as a name"));
                }
                for (name, value) in fields {
                    let id = ["traceId", "spanId", "parentSpanId"].contains(&&**name);
                    if id && value.is_null() && self.fault == Fault::Null {
                        return Err(bad("null"));
                    }
                    if let Some(id) = value.as_str().filter(|_| id) {
                        let hex = id.len() % 2 == 0 && id.bytes().all(|c| c.is_ascii_hexdigit());
                        if !hex && self.fault != Fault::AnyId {
                            return Err(bad("an id that is not in hex"));
                        }
                        let zero = spans && id.bytes().all(|byte| byte == b'0');
                        *rejected += i64::from(zero);
                    }
                    self.check(value, spans, rejected)?;
                }
                Ok(())
            }
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.check(item, spans, rejected)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn decode(path: &str, message: &[u8]) -> Result<i64, Refusal> {
        if path.contains("etrics") {
            ExportMetricsServiceRequest::decode(message).map_err(|error| bad(&error))?;
            return Ok(0);
        }
        if path.contains("ogs") {
            ExportLogsServiceRequest::decode(message).map_err(|error| bad(&error))?;
            return Ok(0);
        }
        let request = ExportTraceServiceRequest::decode(message).map_err(|error| bad(&error))?;
        let resources = request.resource_spans.iter();
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        let spans = scopes.flat_map(|scope| &scope.spans);
        let valid = |id: &[u8], length| id.len() == length && id.iter().any(|byte| *byte != 0);
        let invalid = spans
            .filter(|span| !valid(&span.trace_id, 16) || !valid(&span.span_id, 8))
            .count();
        Ok(invalid as i64)
    }

    fn unpack(self, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let mut plain = Vec::new();
        GzDecoder::new(body)
            .read_to_end(&mut plain)
            .map_err(|error| bad(&error))?;
        if self.fault == Fault::Bomb {
            return Ok(plain);
        }
        self.limited(plain)
    }

    fn limited(self, body: Vec<u8>) -> Result<Vec<u8>, Refusal> {
        if body.len() > self.limit {
            return Err(Refusal::TooLarge);
        }
        Ok(body)
    }

    fn message(self, rejected: i64, http: bool) -> ExportTraceServiceResponse {
        let partial = if rejected > 0 {
            Some(ExportTracePartialSuccess {
                rejected_spans: rejected + i64::from(self.fault == Fault::Count),
                error_message: "spans without valid ids".to_owned(),
            })
        } else if self.fault == Fault::EmptyPartialSuccess && http {
            Some(ExportTracePartialSuccess::default())
        } else {
            None
        };
        ExportTraceServiceResponse {
            partial_success: partial,
        }
    }

    fn success(self, json: bool, rejected: i64) -> Response<Body> {
        let message = self.message(rejected, true);
        let as_json = json || self.fault == Fault::Json;
        let content_type = content_type(as_json || self.fault == Fault::ContentType);
        let body = if as_json {
            let partial = message.partial_success.map(|partial| {
                json!({
                    "rejectedSpans": partial.rejected_spans.to_string(),
                    "errorMessage": partial.error_message,
                })
            });
            let fields = partial.map(|partial| ("partialSuccess".to_owned(), partial));
            Value::Object(fields.into_iter().collect())
                .to_string()
                .into_bytes()
        } else {
            message.encode_to_vec()
        };
        answer(StatusCode::OK, content_type, body)
    }

    fn error(self, status: StatusCode, json: bool, message: &str, bad: bool) -> Response<Body> {
        if self.fault == Fault::TextErrors {
            return answer(status, "text/plain", message.as_bytes().to_vec());
        }
        let bad = bad && self.fault != Fault::NoDetails;
        let body = if json || self.fault == Fault::Json {
            let kind = "type.googleapis.com/google.rpc.BadRequest";
            let details = if bad {
                json!([{ "@type": kind }])
            } else {
                json!([])
            };
            let body = json!({ "code": 3, "message": message, "details": details });
            body.to_string().into_bytes()
        } else {
            let status = if bad {
                let details = ErrorDetails::with_bad_request_violation("body", message);
                let status = Status::with_error_details(Code::InvalidArgument, message, details);
                pb::Status::decode(status.details()).unwrap()
            } else {
                pb::Status {
                    message: message.to_owned(),
                    ..pb::Status::default()
                }
            };
            status.encode_to_vec()
        };
        let as_json = json || matches!(self.fault, Fault::Json | Fault::ContentType);
        answer(status, content_type(as_json), body)
    }

    fn grpc(self, path: &str, headers: &HeaderMap, frame: &[u8]) -> Response<Body> {
        if path.contains("profiles") {
            return Status::unimplemented("no profiles").into_http();
        }
        let message = match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
            Some(b"gzip") if frame[0] == 1 => self.unpack(&frame[5..]),
            Some(_) if frame[0] == 1 => return Status::unimplemented("unknown").into_http(),
            _ => self.limited(frame[5..].to_vec()),
        };
        match message.and_then(|message| Self::decode(path, &message)) {
            Ok(rejected) => {
                let message = self.message(rejected, false).encode_to_vec();
                let length = (message.len() as u32).to_be_bytes();
                let frame = Bytes::from([&[0][..], &length, &message].concat());
                let trailers = HeaderMap::from_iter([(
                    HeaderName::from_static("grpc-status"),
                    HeaderValue::from_static("0"),
                )]);
                let body = Full::new(frame).with_trailers(ready(Some(Ok(trailers))));
                Response::builder()
                    .header(header::CONTENT_TYPE, "application/grpc")
                    .body(Body::new(body))
                    .unwrap()
            }
            Err(Refusal::TooLarge) => match self.fault {
                Fault::OutOfRange => Status::out_of_range("too large").into_http(),
                Fault::Retry => {
                    let details = ErrorDetails::with_retry_info(None);
                    let code = Code::ResourceExhausted;
                    Status::with_error_details(code, "too large", details).into_http()
                }
                _ => Status::resource_exhausted("too large").into_http(),
            },
            Err(Refusal::Bad(reason)) if self.fault == Fault::NoDetails => {
                Status::invalid_argument(reason).into_http()
            }
            Err(Refusal::Bad(reason)) => {
                let details = ErrorDetails::with_bad_request_violation("message", &reason);
                Status::with_error_details(Code::InvalidArgument, reason, details).into_http()
            }
            Err(Refusal::Encoding) => Status::unimplemented("unknown").into_http(),
        }
    }
}

fn answer(status: StatusCode, content_type: &str, body: Vec<u8>) -> Response<Body> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::from(body))
        .unwrap()
}

fn content_type(json: bool) -> &'static str {
    if json {
        "application/json"
    } else {
        "application/x-protobuf"
    }
}

fn bad<T: ToString + ?Sized>(reason: &T) -> Refusal {
    Refusal::Bad(reason.to_string())
}
