//! OTLP over gRPC.
//!
//! An export is a unary call: one message each way, with a prefix of 5 bytes
//! ([gRPC over HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)).

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::CONTENT_TYPE, request::Parts,
};
use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};

use crate::{
    body::{self, Received},
    export::Export,
    failure::Failure,
    http::Format,
    receiver::Receiver,
    sink::Sink,
};

/// The flag and the length before a message.
const PREFIX: usize = 5;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPTED_ENCODINGS: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether a client speaks gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Answers an export.
pub(crate) async fn export<S: Sink, E: Export>(
    State(receiver): State<Receiver<S>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if !is_grpc(&parts.headers) {
        let failure = Failure::UnsupportedType(
            "this path takes gRPC; over HTTP, use /v1/traces, /v1/metrics or /v1/logs".into(),
        );
        receiver.refused(Some(E::SIGNAL), &failure);
        return crate::http::refusal(&failure, Format::of(&parts.headers));
    }
    match take::<S, E>(&receiver, parts, body).await {
        Ok(answer) => respond(&answer),
        Err(failure) => {
            receiver.refused(Some(E::SIGNAL), &failure);
            refusal(&failure)
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
    let content_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    if content_type.is_some_and(|name| name.starts_with(b"application/grpc-web")) {
        return Err(Failure::UnsupportedType(
            "gRPC-Web is not supported; browsers send OTLP over HTTP".into(),
        ));
    }
    let has_gzip = match parts.headers.get(ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(name) => {
            let name = String::from_utf8_lossy(name);
            return Err(Failure::UnsupportedEncoding(
                format!("the compression {name:?} is unknown; use gzip or identity").into(),
            ));
        }
    };
    let limit = receiver.limits.request;
    let received = body::receive(body, limit + PREFIX, announced, receiver.gate()).await;
    let mut received = match received {
        Err(Failure::TooLarge { .. }) => return Err(Failure::TooLarge { limit }),
        outcome => outcome?,
    };
    let is_gzip = unframe(&mut received)?;
    if is_gzip && !has_gzip {
        return Err(Failure::malformed(
            "",
            &"the message is compressed, and the header grpc-encoding is missing",
        ));
    }
    receiver
        .take::<E>(received, is_gzip, Format::Protobuf)
        .await
}

/// The size that the prefix of the only message announces, prefix included.
fn announced(bytes: &[u8]) -> Option<usize> {
    let [_, length @ ..] = *bytes.first_chunk::<PREFIX>()?;
    Some(PREFIX + u32::from_be_bytes(length) as usize)
}

/// Removes the prefix of the only message, and tells whether the message is compressed.
fn unframe(received: &mut Received) -> Result<bool, Failure> {
    let Some([flag, length @ ..]) = received.bytes.first_chunk::<PREFIX>().copied() else {
        return Err(Failure::malformed("", &"the request has no message"));
    };
    let length = u32::from_be_bytes(length) as usize;
    let is_gzip = match flag {
        0 => false,
        1 => true,
        _ => {
            return Err(Failure::malformed(
                "",
                &"the prefix of the message is wrong",
            ));
        }
    };
    let rest = received.bytes.len() - PREFIX;
    if length != rest {
        return Err(Failure::malformed(
            "",
            &format!("the message should have {length} bytes, but {rest} bytes arrived"),
        ));
    }
    received.strip(PREFIX);
    Ok(is_gzip)
}

fn respond(answer: &impl prost::Message) -> Response {
    let length = answer.encoded_len();
    let mut message = BytesMut::with_capacity(PREFIX + length);
    message.put_u8(0);
    // An answer has a text of limited length, so it is far shorter than 4 GiB.
    message.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    message.extend_from_slice(&answer.encode_to_vec());
    let trailers = HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))]);
    let body = Full::<Bytes>::new(message.freeze()).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// The answer to a refused call, in headers alone.
pub(crate) fn refusal(failure: &Failure) -> Response {
    let mut response = failure.status().into_http::<Body>();
    *response.status_mut() = StatusCode::OK;
    if matches!(failure, Failure::UnsupportedEncoding(_)) {
        response.headers_mut().insert(
            ACCEPTED_ENCODINGS,
            HeaderValue::from_static("gzip,identity"),
        );
    }
    response
}
