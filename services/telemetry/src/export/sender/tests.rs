//! Against real servers, with and without TLS.

use std::{
    collections::VecDeque,
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
};

use axum::{Router, extract::State, response::IntoResponse as _};
use clap::{Args as _, Command, FromArgMatches as _};
use flate2::read::GzDecoder;
use hyper_util::{rt::TokioIo, server::conn::auto, service::TowerToHyperService};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;
use tonic_types::ErrorDetails;

use super::*;
use crate::settings::Otlp;

const SECRET: &str = "s3cr3t";

/// A collector that keeps what it is asked.
#[derive(Clone, Default)]
struct Server {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// What it answers first; then it takes everything.
    answers: Arc<Mutex<VecDeque<http::Response<Body>>>>,
}

#[derive(Clone, Debug)]
struct Seen {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// A certificate authority, and a certificate for 127.0.0.1 of each kind.
struct Authority {
    folder: TempDir,
}

impl Server {
    /// Listens; with an authority by TLS, and with another one for clients that have a certificate of it.
    async fn start(&self, tls: Option<&Authority>, clients: Option<&Authority>) -> SocketAddr {
        let acceptor = tls.map(|authority| TlsAcceptor::from(Arc::new(authority.server(clients))));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (router, acceptor) = (router.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, router).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, router).await;
                            }
                        }
                    }
                });
            }
        });
        address
    }

    fn answers(self, answers: impl IntoIterator<Item = http::Response<Body>>) -> Self {
        self.answers.lock().unwrap().extend(answers);
        self
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let service = TowerToHyperService::new(router);
    // A client that goes away is no failure of the test.
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    State(server): State<Server>,
    request: axum::extract::Request,
) -> axum::response::Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let is_grpc = head.headers[CONTENT_TYPE] == "application/grpc";
    server.seen.lock().unwrap().push(Seen {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
    });
    if let Some(answer) = server.answers.lock().unwrap().pop_front() {
        return answer.map(axum::body::Body::new).into_response();
    }
    if is_grpc {
        let message = Full::from(Bytes::from_static(&[0; 5]));
        let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), 0.into())]);
        let body = message.with_trailers(async { Some(Ok(status)) });
        let mut answer = http::Response::new(axum::body::Body::new(body));
        let grpc = HeaderValue::from_static("application/grpc");
        answer.headers_mut().insert(CONTENT_TYPE, grpc);
        return answer;
    }
    StatusCode::OK.into_response()
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        fs::write(folder.path().join("ca"), authority.pem()).unwrap();
        for (name, usage) in [
            ("server", ExtendedKeyUsagePurpose::ServerAuth),
            ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
            params.extended_key_usages = vec![usage];
            let certificate = params.signed_by(&key, &authority).unwrap();
            fs::write(folder.path().join(name), certificate.pem()).unwrap();
            fs::write(
                folder.path().join(format!("{name}-key")),
                key.serialize_pem(),
            )
            .unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(name)).unwrap()
    }

    fn server(&self, clients: Option<&Self>) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.certificate("ca")).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::from_pem_file(self.path("server-key")).unwrap();
        let mut config = builder
            .with_single_cert(vec![self.certificate("server")], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }
}

/// A sender of traces with these settings.
fn sender(settings: &[String]) -> Result<Sender, BadSetting> {
    let command = Otlp::augment_args(Command::new("x")).mut_args(|arg| arg.env(None::<&str>));
    let secret = format!("--otlp-headers=authorization={SECRET}");
    let arguments = ["x".to_owned(), secret]
        .into_iter()
        .chain(settings.iter().cloned());
    let matches = command.try_get_matches_from(arguments).unwrap();
    let otlp = Otlp::from_arg_matches(&matches).unwrap();
    Sender::new(&otlp.export(Signal::Traces).unwrap())
}

fn setting(name: &str, value: impl fmt::Display) -> String {
    format!("--otlp-{name}={value}")
}

fn message() -> Encoded {
    Encoded {
        head: Bytes::from_static(b"head "),
        body: Bytes::from_static(b"and body"),
    }
}

const PROTOCOLS: [&str; 2] = ["grpc", "http/protobuf"];

#[tokio::test]
async fn https_works_with_the_right_certificate_authority_alone() {
    let (ours, another) = (Authority::new(), Authority::new());
    for protocol in PROTOCOLS {
        let server = Server::default();
        let address = server.start(Some(&ours), None).await;
        let settings = |authority: &Authority| {
            [
                setting("endpoint", format_args!("https://{address}")),
                setting("protocol", protocol),
                setting("certificate", authority.path("ca")),
            ]
        };
        let wrong = sender(&settings(&another)).unwrap().send(message()).await;
        let error = wrong.unwrap_err().to_string();
        assert!(error.contains("invalid peer certificate"), "{error}");
        assert!(!error.contains(SECRET), "{error}");
        assert_eq!(server.seen().len(), 0);

        sender(&settings(&ours))
            .unwrap()
            .send(message())
            .await
            .unwrap();
        let seen = server.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].headers["authorization"], SECRET);
        let (path, body): (_, &[u8]) = match protocol {
            "grpc" => (
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                b"\0\0\0\0\x0dhead and body",
            ),
            _ => ("/v1/traces", b"head and body"),
        };
        assert_eq!((&*seen[0].path, &*seen[0].body), (path, body));
    }
}

#[tokio::test]
async fn the_certificates_of_the_system_do_not_trust_a_stranger() {
    let server = Server::default();
    let address = server.start(Some(&Authority::new()), None).await;
    for protocol in PROTOCOLS {
        let settings = [
            setting("endpoint", format_args!("https://{address}")),
            setting("protocol", protocol),
        ];
        // A machine may have no certificates at all: then there is no sender.
        if let Ok(sender) = sender(&settings) {
            sender.send(message()).await.unwrap_err();
        }
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_client_presents_its_certificate() {
    let (ours, clients) = (Authority::new(), Authority::new());
    for protocol in PROTOCOLS {
        let server = Server::default();
        let address = server.start(Some(&ours), Some(&clients)).await;
        let without = [
            setting("endpoint", format_args!("https://{address}")),
            setting("protocol", protocol),
            setting("certificate", ours.path("ca")),
        ];
        sender(&without).unwrap().send(message()).await.unwrap_err();
        let with = [
            setting("client-certificate", clients.path("client")),
            setting("client-key", clients.path("client-key")),
        ];
        let with = [without.as_slice(), &with].concat();
        sender(&with).unwrap().send(message()).await.unwrap();
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn with_https_nothing_is_sent_in_clear() {
    for protocol in PROTOCOLS {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = Authority::new();
        let settings = [
            setting("endpoint", format_args!("https://{address}")),
            setting("protocol", protocol),
            setting("certificate", authority.path("ca")),
            setting("timeout", 300),
        ];
        let sender = sender(&settings).unwrap();
        let sent = tokio::spawn(async move { sender.send(message()).await });
        let mut stream = listener.accept().await.unwrap().0;
        let mut received = Vec::new();
        // It never answers; the client gives up.
        stream.read_to_end(&mut received).await.unwrap();
        sent.await.unwrap().unwrap_err();
        // The record of a TLS handshake.
        assert_eq!(received[..2], [0x16, 0x03], "{protocol}");
        let text = String::from_utf8_lossy(&received);
        assert!(
            !text.contains(SECRET) && !text.contains("head"),
            "{protocol}"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let authority = Authority::new();
    let empty = authority.path("empty");
    fs::write(&empty, "no certificate").unwrap();
    let (certificate, key) = (authority.path("client"), authority.path("client-key"));
    for (settings, variable) in [
        (
            vec![setting("certificate", "/none")],
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
        ),
        (
            vec![setting("traces-certificate", &empty)],
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        ),
        (
            vec![setting("client-key", &key)],
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        ),
        (
            vec![setting("client-certificate", &certificate)],
            "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        ),
        (
            vec![
                setting("client-certificate", &certificate),
                setting("traces-client-key", &empty),
            ],
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
        ),
        (
            vec![
                setting("client-certificate", &certificate),
                setting("client-key", authority.path("server-key")),
            ],
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
        ),
    ] {
        let mut settings = settings;
        settings.push(setting("endpoint", "https://127.0.0.1"));
        // Where it is not the certificate that is looked at, it is a good one.
        if variable != "OTEL_EXPORTER_OTLP_CERTIFICATE" {
            settings.push(setting("certificate", authority.path("ca")));
        }
        let error = sender(&settings).unwrap_err();
        assert_eq!(error.variable, variable, "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");

        // Without https none of them matters.
        settings.push(setting("traces-endpoint", "http://127.0.0.1"));
        sender(&settings).unwrap();
    }
}

#[tokio::test]
async fn messages_are_compressed_if_asked_for() {
    for protocol in PROTOCOLS {
        let server = Server::default();
        let address = server.start(None, None).await;
        let settings = [
            setting("endpoint", format_args!("http://{address}")),
            setting("protocol", protocol),
            setting("compression", "gzip"),
        ];
        sender(&settings).unwrap().send(message()).await.unwrap();
        let seen = &server.seen()[0];
        let (encoding, compressed) = match protocol {
            "grpc" => (&seen.headers["grpc-encoding"], seen.body.slice(5..)),
            _ => (&seen.headers["content-encoding"], seen.body.clone()),
        };
        assert_eq!(encoding, "gzip");
        let mut text = String::new();
        GzDecoder::new(&*compressed)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "head and body");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_retryable_is_not_retried() {
    let refused = Status::resource_exhausted("").into_http();
    let mut redirect = http::Response::new(Body::empty());
    *redirect.status_mut() = StatusCode::TEMPORARY_REDIRECT;
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
        let server = Server::default().answers([answer]);
        let address = server.start(None, None).await;
        let settings = [
            setting("endpoint", format_args!("http://{address}")),
            setting("protocol", protocol),
        ];
        let outcome = sender(&settings).unwrap().send_again(message()).await;
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert_eq!(server.seen().len(), 1, "{reason}");
    }
}

#[tokio::test]
async fn a_retryable_answer_is_retried() {
    let details = ErrorDetails::with_retry_info(None);
    let exhausted = Status::with_error_details(Code::ResourceExhausted, "", details);
    let retried = async |protocol, answer| {
        let server = Server::default().answers([answer]);
        let address = server.start(None, None).await;
        let settings = [
            setting("endpoint", format_args!("http://{address}")),
            setting("protocol", protocol),
        ];
        sender(&settings)
            .unwrap()
            .send_again(message())
            .await
            .unwrap();
        assert_eq!(server.seen().len(), 2);
    };
    // Side by side, as each waits for its second attempt.
    tokio::join!(
        retried("grpc", Status::unavailable("").into_http()),
        retried("grpc", exhausted.into_http()),
        retried("http/protobuf", status(429)),
        retried("http/protobuf", status(503)),
    );
}

#[tokio::test]
async fn a_collector_is_left_alone_as_long_as_it_asks() {
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
    for (protocol, answer, expected) in [
        ("grpc", exhausted.into_http(), delay),
        ("http/protobuf", in_seconds, delay),
        ("http/protobuf", at_a_time, delay),
        ("http/protobuf", for_ever, MAX_PAUSE),
    ] {
        let server = Server::default().answers([answer]);
        let address = server.start(None, None).await;
        let settings = [
            setting("endpoint", format_args!("http://{address}")),
            setting("protocol", protocol),
        ];
        let sender = sender(&settings).unwrap();
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

fn status(code: u16) -> http::Response<Body> {
    let mut answer = http::Response::new(Body::empty());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}
