//! OTLP over HTTP.

use ::http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};
use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use prost::Message as _;
use serde_json::{Value, json};
use tonic_types::{StatusExt as _, pb};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::{body, export::Export, failure::Failure, json, receiver::Receiver, sink::Sink};

/// The encoding of a request, and of its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// The format of a request; `None` if OTLP does not know it.
    fn parse(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        // Parameters such as charset change nothing.
        let kind = text.split(';').next()?.trim();
        if kind.eq_ignore_ascii_case("application/x-protobuf") {
            Some(Self::Protobuf)
        } else if kind.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }

    /// The format of an answer. A person can read JSON, so it is the answer to an unknown format.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::parse(headers).unwrap_or(Self::Json)
    }

    const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

/// Lets pages of this machine send telemetry, such as those of a development server.
pub(crate) fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|origin, _| is_local(origin)))
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
}

/// Whether an origin is a page that this machine serves to itself.
#[must_use]
pub fn is_local(origin: &HeaderValue) -> bool {
    let uri = origin
        .to_str()
        .ok()
        .and_then(|text| text.parse::<Uri>().ok());
    let host = uri.as_ref().and_then(Uri::host);
    host.is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    })
}

/// Answers an export.
pub(crate) async fn export<S: Sink, E: Export>(
    State(receiver): State<Receiver<S>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let format = Format::of(&parts.headers);
    match take::<S, E>(&receiver, parts, body).await {
        Ok(answer) => {
            let body = match format {
                Format::Protobuf => answer.encode_to_vec(),
                Format::Json => json::encode(&answer),
            };
            respond(format, body)
        }
        Err(failure) => {
            receiver.refused(Some(E::SIGNAL), &failure);
            refusal(&failure, format)
        }
    }
}

async fn take<S: Sink, E: Export>(
    receiver: &Receiver<S>,
    parts: Parts,
    body: Body,
) -> Result<E::Response, Failure> {
    if parts.method != Method::POST {
        return Err(Failure::WrongMethod);
    }
    let Some(format) = Format::parse(&parts.headers) else {
        let found = match parts.headers.get(CONTENT_TYPE) {
            Some(found) => format!("{found:?}"),
            None => "missing".to_owned(),
        };
        return Err(Failure::UnsupportedType(
            format!("the content type is {found}; use application/x-protobuf or application/json")
                .into(),
        ));
    };
    let is_gzip = match parts
        .headers
        .get(CONTENT_ENCODING)
        .map(HeaderValue::as_bytes)
    {
        None => false,
        Some(name) if name.eq_ignore_ascii_case(b"gzip") => true,
        Some(name) if name.is_empty() || name.eq_ignore_ascii_case(b"identity") => false,
        Some(name) => {
            let name = String::from_utf8_lossy(name);
            return Err(Failure::UnsupportedEncoding(
                format!("the content encoding is {name:?}; use gzip or none").into(),
            ));
        }
    };
    let received = body::receive(body, receiver.limits.request, |_| None, receiver.gate()).await?;
    receiver.take::<E>(received, is_gzip, format).await
}

/// The answer to a refused request: a `google.rpc.Status`.
pub(crate) fn refusal(failure: &Failure, format: Format) -> Response {
    let status = failure.status();
    let body = match format {
        Format::Protobuf => pb::Status {
            code: status.code() as i32,
            message: status.message().to_owned(),
            details: pb::Status::decode(status.details())
                .map(|status| status.details)
                .unwrap_or_default(),
        }
        .encode_to_vec(),
        Format::Json => {
            let details = status.get_error_details();
            let mut list = Vec::new();
            if let Some(bad) = details.bad_request() {
                let violations = bad.field_violations.iter().map(|violation| {
                    json!({"field": violation.field, "description": violation.description})
                });
                list.push(json!({
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": violations.collect::<Vec<Value>>(),
                }));
            }
            if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
                list.push(json!({
                    "@type": "type.googleapis.com/google.rpc.RetryInfo",
                    "retryDelay": format!("{}s", delay.as_secs_f64()),
                }));
            }
            json!({"code": status.code() as i32, "message": status.message(), "details": list})
                .to_string()
                .into_bytes()
        }
    };
    let mut response = respond(format, body);
    *response.status_mut() = failure.http();
    if let Some(seconds) = failure.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if matches!(failure, Failure::WrongMethod) {
        let post = HeaderValue::from_static("POST");
        response.headers_mut().insert(ALLOW, post);
    }
    response
}

fn respond(format: Format, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, format.content_type());
    response
}
