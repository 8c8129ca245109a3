//! Malformed requests, and the bytes of answers.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use proto::user::v1::{CreateUserRequest, CreateUserResponse};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status, body::Body, transport::Channel};
use tower::ServiceExt as _;

use crate::harness::{PASSWORD, Service, by_email, create, created, verify};

const CREATE: &str = "/user.v1.UserService/CreateUser";
const GET: &str = "/user.v1.UserService/GetUser";
const VERIFY: &str = "/user.v1.UserService/VerifyPassword";

/// A raw answer.
struct Answer {
    http: StatusCode,
    /// Headers and trailers.
    metadata: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn code(&self) -> Code {
        Status::from_header_map(&self.metadata).unwrap().code()
    }

    /// All bytes of the body that could be read.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.body.to_vec();
        for (name, value) in &self.metadata {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(value.as_bytes());
        }
        bytes
    }

    fn contains(&self, text: &str) -> bool {
        self.bytes()
            .windows(text.len())
            .any(|window| window == text.as_bytes())
    }
}

/// Sends bytes as the body of a request.
async fn send(channel: &Channel, path: &str, content_type: &str, body: Bytes) -> Answer {
    let request = http::Request::post(path)
        .header(CONTENT_TYPE, content_type)
        .header("te", "trailers")
        .body(Body::new(Full::new(body)))
        .unwrap();
    let response = channel.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let mut metadata = head.headers;
    metadata.extend(body.trailers().cloned().unwrap_or_default());
    Answer {
        http: head.status,
        metadata,
        body: body.to_bytes(),
    }
}

/// A message with the prefix of gRPC: the flag "not compressed" and the length.
fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(message.len().try_into().unwrap());
    frame.put_slice(message);
    frame.freeze()
}

async fn call(channel: &Channel, path: &str, message: &[u8]) -> Answer {
    send(channel, path, "application/grpc", frame(message)).await
}

/// A field of a protobuf message, with fewer than 128 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    [&[(number << 3) | 2, length], bytes].concat()
}

async fn is_unharmed(service: &Service, email: &str) {
    created(&service.client, email).await;
}

#[tokio::test]
async fn neither_hash_nor_password_is_in_any_answer() {
    let service = Service::start().await;
    let taken = create("ann@example.com", PASSWORD).encode_to_vec();
    let wrong = verify("ann@example.com", "another password").encode_to_vec();
    let long = "x".repeat(1000);
    for (path, message, code) in [
        (CREATE, taken.clone(), Code::Ok),
        (CREATE, taken, Code::AlreadyExists),
        (GET, by_email("ann@example.com").encode_to_vec(), Code::Ok),
        (
            VERIFY,
            verify("ann@example.com", PASSWORD).encode_to_vec(),
            Code::Ok,
        ),
        (VERIFY, wrong, Code::Unauthenticated),
        (
            VERIFY,
            verify("x", PASSWORD).encode_to_vec(),
            Code::InvalidArgument,
        ),
        (
            CREATE,
            create("bob@example.com", &long).encode_to_vec(),
            Code::InvalidArgument,
        ),
    ] {
        let answer = call(&service.channel, path, &message).await;
        assert_eq!(answer.code(), code, "{path}");
        for secret in ["$argon2", "argon2id", PASSWORD, "another password", &long] {
            assert!(!answer.contains(secret), "{path} {code:?} tells {secret}");
        }
        if code == Code::Ok {
            assert!(answer.contains("ann@example.com"), "the search finds text");
        }
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused() {
    let service = Service::start().await;
    for message in [
        field(1, b"ann\xff@example.com"),
        [field(1, b"ann@example.com"), field(2, b"\xc3\x28password")].concat(),
    ] {
        let answer = call(&service.channel, CREATE, &message).await;
        assert_eq!(answer.code(), Code::Internal);
        is_unharmed(&service, &format!("{}@example.com", message.len())).await;
    }
    let found = service
        .client
        .clone()
        .get_user(by_email("ann@example.com"))
        .await;
    assert_eq!(found.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_unknown_field_is_ignored() {
    let service = Service::start().await;
    let message = [
        field(15, b"from a newer client"),
        create("ann@example.com", PASSWORD).encode_to_vec(),
        field(14, b"\xff\xff"),
    ]
    .concat();
    let answer = call(&service.channel, CREATE, &message).await;
    assert_eq!(answer.code(), Code::Ok);
    let user = CreateUserResponse::decode(answer.body.slice(5..))
        .unwrap()
        .user
        .unwrap();
    assert_eq!(user.email, "ann@example.com");
}

#[tokio::test]
async fn the_last_of_repeated_fields_counts() {
    let service = Service::start().await;
    let message = [
        field(1, b"bob@example.com"),
        create("ann@example.com", PASSWORD).encode_to_vec(),
    ]
    .concat();
    let answer = call(&service.channel, CREATE, &message).await;
    assert_eq!(answer.code(), Code::Ok);
    assert!(answer.contains("ann@example.com"));
}

#[tokio::test]
async fn a_malformed_message_is_refused() {
    let service = Service::start().await;
    let whole = create("ann@example.com", PASSWORD).encode_to_vec();
    let truncated_field = &whole[..whole.len() - 3];
    let garbage = [0xff; 64];
    let wrong_type = [0x08, 0x01];
    for (index, message) in [truncated_field, &garbage, &wrong_type]
        .into_iter()
        .enumerate()
    {
        let answer = call(&service.channel, CREATE, message).await;
        assert_eq!(answer.code(), Code::Internal, "{index}");
        is_unharmed(&service, &format!("after{index}@example.com")).await;
    }
}

#[tokio::test]
async fn a_frame_that_ends_too_early_is_refused() {
    let service = Service::start().await;
    let whole = frame(&create("ann@example.com", PASSWORD).encode_to_vec());
    for length in [0, 1, 4, 5, whole.len() - 1] {
        let part = whole.slice(..length);
        let answer = send(&service.channel, CREATE, "application/grpc", part).await;
        assert_ne!(answer.code(), Code::Ok, "{length}");
        is_unharmed(&service, &format!("after{length}@example.com")).await;
    }
    let found = service
        .client
        .clone()
        .get_user(by_email("ann@example.com"))
        .await;
    assert_eq!(found.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_empty_message_has_empty_fields() {
    let service = Service::start().await;
    let message = CreateUserRequest::default().encode_to_vec();
    assert!(message.is_empty());
    let answer = call(&service.channel, CREATE, &message).await;
    assert_eq!(answer.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn an_unsupported_compression_is_refused() {
    let service = Service::start().await;
    let mut body = BytesMut::from(&frame(b"not gzip")[..]);
    body[0] = 1;
    let answer = send(&service.channel, CREATE, "application/grpc", body.freeze()).await;
    assert_ne!(answer.code(), Code::Ok);
    is_unharmed(&service, "ann@example.com").await;
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let service = Service::start().await;
    let message = frame(&create("ann@example.com", PASSWORD).encode_to_vec());
    for content_type in [
        "application/json",
        "text/plain",
        "application/x-protobuf",
        "application/grpc-web",
        "application/grpc-web+proto",
        "application/grpc-web-text",
    ] {
        let answer = send(&service.channel, CREATE, content_type, message.clone()).await;
        assert_eq!(
            answer.http,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{content_type}"
        );
    }
    for content_type in ["application/grpc+proto", "application/grpc;charset=utf-8"] {
        let message = frame(&by_email("ann@example.com").encode_to_vec());
        let answer = send(&service.channel, GET, content_type, message).await;
        assert_eq!(answer.code(), Code::NotFound, "{content_type}");
    }
    is_unharmed(&service, "ann@example.com").await;
}

#[tokio::test]
async fn metadata_above_thirty_two_kibibytes_is_refused() {
    let service = Service::start().await;
    // 17 KiB: as much as `tracestate` and `baggage` may have together, and more.
    for (kibibytes, is_taken) in [(17, true), (33, false)] {
        let mut request = tonic::Request::new(by_email("ann@example.com"));
        let long = "x".repeat(kibibytes << 10).parse().unwrap();
        request.metadata_mut().insert("x-long", long);
        let status = service.client.clone().get_user(request).await.unwrap_err();
        assert_eq!(status.code() == Code::NotFound, is_taken, "{status:?}");
    }
    is_unharmed(&service, "ann@example.com").await;
}

#[tokio::test]
async fn an_unknown_method_is_not_implemented() {
    let service = Service::start().await;
    for path in [
        "/user.v1.UserService/DeleteUser",
        "/user.v2.UserService/CreateUser",
        "/",
    ] {
        let answer = call(&service.channel, path, &[]).await;
        assert_eq!(answer.code(), Code::Unimplemented, "{path}");
    }
    is_unharmed(&service, "ann@example.com").await;
}

#[tokio::test]
async fn a_message_above_sixty_four_kibibytes_is_refused() {
    let service = Service::start().await;
    let huge = "x".repeat((64 << 10) + 1);
    let outcome = service
        .client
        .clone()
        .create_user(create("ann@example.com", &huge))
        .await;
    assert_eq!(outcome.unwrap_err().code(), Code::OutOfRange);
    is_unharmed(&service, "ann@example.com").await;

    // A message that is announced and never sent.
    let announced = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
    let answer = send(&service.channel, CREATE, "application/grpc", announced).await;
    assert_eq!(answer.code(), Code::OutOfRange);
    is_unharmed(&service, "bob@example.com").await;
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn calls_that_are_cancelled_at_once_do_not_close_their_connection() {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GO_AWAY: u8 = 7;
    let service = Service::start().await;
    let mut connection = TcpStream::connect(service.address).await.unwrap();
    // In one write, so that the server has received all resets before it accepts the first call.
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(http2_frame(SETTINGS, 0, 0, &[]));
    for call in 0..200 {
        // POST, http, / and the authority x (RFC 7541, appendix A).
        bytes.extend(http2_frame(
            HEADERS,
            4,
            2 * call + 1,
            b"\x83\x86\x84\x41\x01x",
        ));
        bytes.extend(http2_frame(RESET, 0, 2 * call + 1, &8_u32.to_be_bytes()));
    }
    bytes.extend(http2_frame(PING, 0, 0, b"to a end"));
    connection.write_all(&bytes).await.unwrap();
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        connection.read_exact(&mut payload).await.unwrap();
        assert_ne!(head[3], GO_AWAY, "{payload:?}");
        if head[3] == PING {
            assert_eq!(payload, b"to a end");
            break;
        }
    }
}
