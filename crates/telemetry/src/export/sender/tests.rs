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
use opentelemetry::{
    InstrumentationScope,
    logs::{LogRecord as _, Logger as _, LoggerProvider as _},
};
use opentelemetry_proto::tonic::{
    collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
    },
    common::v1::any_value::Value,
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter as _, SdkLoggerProvider},
};
use prost::Message as _;
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
    runtime::{self, Runtime},
};
use tokio_rustls::TlsAcceptor;
use tonic_types::ErrorDetails;

use super::*;
use crate::{
    export::{Flow, Outage, Route, logs},
    metrics,
    settings::Otlp,
};

const SECRET: &str = "s3cr3t";

/// A collector that keeps what it is asked.
#[derive(Clone, Default)]
struct Server {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// What it answers first; then it takes everything.
    answers: Arc<Mutex<VecDeque<Response<Body>>>>,
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

    fn answers(self, answers: impl IntoIterator<Item = Response<Body>>) -> Self {
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
        let mut answer = Response::new(axum::body::Body::new(body));
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

/// What sends a signal.
enum Exporting {
    Spans(Box<Sender>),
    Logs(Box<logs::Exporter>, Flow),
}

const SIGNALS: [Signal; 2] = [Signal::Traces, Signal::Logs];

impl Exporting {
    fn new(signal: Signal, settings: &[String]) -> Result<Self, BadSetting> {
        let export = export(signal, settings);
        if signal == Signal::Traces {
            return Sender::new(&export).map(|sender| Self::Spans(Box::new(sender)));
        }
        let route = Route {
            signal: "logs",
            endpoint: String::new(),
            outage: Outage::default(),
        };
        let flow = Flow::unqueued(route, (&metrics::OTEL_SDK_EXPORTER_LOG_EXPORTED, "test"));
        let exporter = logs::Exporter::new(&export, flow.clone())?;
        Ok(Self::Logs(Box::new(exporter), flow))
    }

    /// Sends spans once, and log records again if that may help.
    async fn send(&self) -> OTelSdkResult {
        match self {
            Self::Spans(sender) => sender.send(message()).await.map(drop),
            Self::Logs(exporter, _) => {
                let loggers = SdkLoggerProvider::builder().build();
                let mut record = loggers.logger("test").create_log_record();
                record.set_observed_timestamp(SystemTime::now());
                record.set_body("head and body".into());
                let scope = InstrumentationScope::default();
                exporter.export(LogBatch::new(&[(&record, &scope)])).await
            }
        }
    }

    /// Sends again if that may help.
    async fn send_again(&self) -> OTelSdkResult {
        match self {
            Self::Spans(sender) => sender.send_again(message()).await.map(drop),
            Self::Logs(..) => self.send().await,
        }
    }
}

/// How a signal is exported with these settings.
fn export(signal: Signal, settings: &[String]) -> Export {
    let command = Otlp::augment_args(Command::new("x")).mut_args(|arg| arg.env(None::<&str>));
    let secret = format!("--otlp-headers=authorization={SECRET}");
    let arguments = ["x".to_owned(), secret]
        .into_iter()
        .chain(settings.iter().cloned());
    let matches = command.try_get_matches_from(arguments).unwrap();
    let otlp = Otlp::from_arg_matches(&matches).unwrap();
    otlp.export(signal).unwrap()
}

/// The text of the log record in a message.
fn text(message: &[u8]) -> String {
    let request = ExportLogsServiceRequest::decode(message).unwrap();
    let record = &request.resource_logs[0].scope_logs[0].log_records[0];
    match &record.body.as_ref().unwrap().value {
        Some(Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    }
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

/// Each signal by each protocol.
fn ways() -> impl Iterator<Item = (Signal, &'static str)> {
    SIGNALS
        .into_iter()
        .flat_map(|signal| PROTOCOLS.map(|protocol| (signal, protocol)))
}

#[tokio::test]
async fn https_works_with_the_right_certificate_authority_alone() {
    let (ours, another) = (Authority::new(), Authority::new());
    for (signal, protocol) in ways() {
        let server = Server::default();
        let address = server.start(Some(&ours), None).await;
        let settings = |authority: &Authority| {
            [
                setting("endpoint", format_args!("https://{address}")),
                setting("protocol", protocol),
                setting("certificate", authority.path("ca")),
            ]
        };
        let wrong = Exporting::new(signal, &settings(&another)).unwrap();
        let error = wrong.send().await.unwrap_err().to_string();
        assert!(error.contains("invalid peer certificate"), "{error}");
        assert!(!error.contains(SECRET), "{error}");
        assert_eq!(server.seen().len(), 0);

        let right = Exporting::new(signal, &settings(&ours)).unwrap();
        right.send().await.unwrap();
        let seen = server.seen();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].headers["authorization"], SECRET);
        let path = match (protocol, signal) {
            ("grpc", Signal::Traces) => {
                "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
            }
            ("grpc", _) => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            (_, Signal::Traces) => "/v1/traces",
            _ => "/v1/logs",
        };
        assert_eq!(seen[0].path, path);
        let frame = if protocol == "grpc" { 5 } else { 0 };
        match signal {
            Signal::Traces => assert_eq!(&seen[0].body[frame..], b"head and body"),
            _ => assert_eq!(text(&seen[0].body[frame..]), "head and body"),
        }
    }
}

#[tokio::test]
async fn the_certificates_of_the_system_do_not_trust_a_stranger() {
    let server = Server::default();
    let address = server.start(Some(&Authority::new()), None).await;
    for (signal, protocol) in ways() {
        let settings = [
            setting("endpoint", format_args!("https://{address}")),
            setting("protocol", protocol),
        ];
        // A machine may have no certificates at all: then there is no sender.
        if let Ok(exporting) = Exporting::new(signal, &settings) {
            exporting.send().await.unwrap_err();
        }
    }
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_client_presents_its_certificate() {
    let (ours, clients) = (Authority::new(), Authority::new());
    for (signal, protocol) in ways() {
        let server = Server::default();
        let address = server.start(Some(&ours), Some(&clients)).await;
        let without = [
            setting("endpoint", format_args!("https://{address}")),
            setting("protocol", protocol),
            setting("certificate", ours.path("ca")),
        ];
        let exporting = Exporting::new(signal, &without).unwrap();
        exporting.send().await.unwrap_err();
        let with = [
            setting("client-certificate", clients.path("client")),
            setting("client-key", clients.path("client-key")),
        ];
        let with = [without.as_slice(), &with].concat();
        let exporting = Exporting::new(signal, &with).unwrap();
        exporting.send().await.unwrap();
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn with_https_nothing_is_sent_in_clear() {
    for (signal, protocol) in ways() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let authority = Authority::new();
        let settings = [
            setting("endpoint", format_args!("https://{address}")),
            setting("protocol", protocol),
            setting("certificate", authority.path("ca")),
            setting("timeout", 300),
        ];
        let exporting = Exporting::new(signal, &settings).unwrap();
        let sent = tokio::spawn(async move { exporting.send().await });
        let mut stream = listener.accept().await.unwrap().0;
        let mut received = Vec::new();
        // It never answers; the client gives up.
        stream.read_to_end(&mut received).await.unwrap();
        let outcome = sent.await.unwrap();
        assert!(
            matches!(outcome, Err(OTelSdkError::Timeout(_))),
            "{outcome:?}"
        );
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
async fn after_a_timeout_the_next_export_connects_anew() {
    let authority = Authority::new();
    let connects = async |signal, protocol| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = [
            setting("endpoint", format_args!("https://{address}")),
            setting("protocol", protocol),
            setting("certificate", authority.path("ca")),
            setting("timeout", 1000),
        ];
        let exporting = Exporting::new(signal, &settings).unwrap();
        let mut streams = Vec::new();
        for _ in 0..2 {
            // It never answers.
            let accepted = timeout(Duration::from_secs(10), listener.accept());
            let (sent, stream) = tokio::join!(exporting.send(), accepted);
            sent.unwrap_err();
            streams.push(stream.unwrap().unwrap());
        }
    };
    tokio::join!(
        connects(Signal::Traces, "grpc"),
        connects(Signal::Traces, "http/protobuf"),
        connects(Signal::Logs, "grpc"),
        connects(Signal::Logs, "http/protobuf"),
    );
}

#[test]
fn an_export_of_logs_ends_with_the_runtime() {
    for protocol in PROTOCOLS {
        // It never answers.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let settings = [
            setting(
                "endpoint",
                format_args!("http://{}", listener.local_addr().unwrap()),
            ),
            setting("protocol", protocol),
        ];
        let runtime = Runtime::new().unwrap();
        let exporting = {
            let _guard = runtime.enter();
            Exporting::new(Signal::Logs, &settings).unwrap()
        };
        // As the batch processor does, on a thread of its own.
        let export = std::thread::spawn(move || {
            let other = runtime::Builder::new_current_thread().build().unwrap();
            other.block_on(exporting.send())
        });
        listener.accept().unwrap();
        drop(runtime);
        export.join().unwrap().unwrap_err();
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named() {
    let authority = Authority::new();
    let empty = authority.path("empty");
    fs::write(&empty, "no certificate").unwrap();
    let (certificate, key) = (authority.path("client"), authority.path("client-key"));
    let cases = [
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
    ];
    for (signal, (settings, variable)) in SIGNALS
        .into_iter()
        .flat_map(|signal| cases.clone().map(|case| (signal, case)))
    {
        // The cases are written for traces.
        let of_signal = |text: String| text.replace("traces-", &format!("{}-", signal.name()));
        let mut settings: Vec<_> = settings.into_iter().map(of_signal).collect();
        let own = format!("_{}_", signal.name().to_ascii_uppercase());
        let variable = variable.replace("_TRACES_", &own);
        settings.push(setting("endpoint", "https://127.0.0.1"));
        // Where it is not the certificate that is looked at, it is a good one.
        if variable != "OTEL_EXPORTER_OTLP_CERTIFICATE" {
            settings.push(setting("certificate", authority.path("ca")));
        }
        let error = Exporting::new(signal, &settings).err().unwrap();
        assert_eq!(error.variable, variable, "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");

        // Without https none of them matters.
        settings.push(of_signal(setting("traces-endpoint", "http://127.0.0.1")));
        Exporting::new(signal, &settings).unwrap();
    }
}

#[tokio::test]
async fn messages_are_compressed_if_asked_for() {
    for (signal, protocol) in ways() {
        let server = Server::default();
        let address = server.start(None, None).await;
        let settings = [
            setting("endpoint", format_args!("http://{address}")),
            setting("protocol", protocol),
            setting("compression", "gzip"),
        ];
        let exporting = Exporting::new(signal, &settings).unwrap();
        exporting.send().await.unwrap();
        let seen = &server.seen()[0];
        let (encoding, compressed) = match protocol {
            "grpc" => (&seen.headers["grpc-encoding"], seen.body.slice(5..)),
            _ => (&seen.headers["content-encoding"], seen.body.clone()),
        };
        assert_eq!(encoding, "gzip");
        let mut message = Vec::new();
        GzDecoder::new(&*compressed)
            .read_to_end(&mut message)
            .unwrap();
        match signal {
            Signal::Traces => assert_eq!(message, b"head and body"),
            _ => assert_eq!(text(&message), "head and body"),
        }
    }
}

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
            let (exporting, server) = answered(signal, protocol, answer).await;
            let error = exporting.send_again().await.unwrap_err().to_string();
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
        let (exporting, server) = answered(signal, protocol, answer).await;
        let start = Instant::now();
        exporting.send_again().await.unwrap();
        assert!(start.elapsed() >= delay);
        assert_eq!(server.seen().len(), 2);
    };
    // Side by side, as each waits for its second attempt.
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
async fn a_collector_is_left_alone_as_long_as_it_asks() {
    for (signal, protocol, answer, expected) in SIGNALS.into_iter().flat_map(long_delays) {
        let (exporting, server) = answered(signal, protocol, answer).await;
        exporting.send().await.unwrap_err();
        if let Exporting::Spans(sender) = &exporting {
            let end = sender.pause().unwrap();
            let left = end.duration_since(Instant::now());
            assert!(
                left <= expected && left + Duration::from_secs(20) > expected,
                "{left:?}"
            );
        }

        // Another attempt waits before it sends anything.
        let waits = timeout(Duration::from_millis(20), exporting.send()).await;
        if (signal, protocol) == (Signal::Logs, "grpc") {
            // The exporter keeps the delay to itself, and has not waited for more than the timeout.
            waits.unwrap().unwrap();
        } else {
            assert!(waits.is_err());
            assert_eq!(server.seen().len(), 1);
        }
    }
}

/// Answers that ask for more time than an export has.
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
async fn log_records_that_the_collector_rejects_are_counted_over_http() {
    let response = ExportLogsServiceResponse {
        partial_success: Some(ExportLogsPartialSuccess {
            rejected_log_records: 1,
            error_message: String::new(),
        }),
    };
    let answer = Response::new(Body::new(Full::from(response.encode_to_vec())));
    let (exporting, server) = answered(Signal::Logs, "http/protobuf", answer).await;
    let Exporting::Logs(_, flow) = &exporting else {
        panic!("of logs");
    };
    for _ in 0..2 {
        exporting.send().await.unwrap();
        assert_eq!(flow.lost(), 1);
    }
    assert_eq!(server.seen().len(), 2);
}

/// The exporter of log records reads these by itself.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "authorization=other,x-other=1",
    ),
    (
        "OTEL_EXPORTER_OTLP_LOGS_HEADERS",
        "authorization=own,x-own=1",
    ),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "not a URL"),
    ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", ""),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", ""),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
    ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "1"),
];

#[tokio::test]
async fn settings_win_over_the_environment() {
    // Only a new process can have another environment.
    if ENVIRONMENT
        .iter()
        .any(|(name, value)| std::env::var_os(name).is_none_or(|found| found != *value))
    {
        let name = "export::sender::tests::settings_win_over_the_environment";
        let outcome = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .envs(ENVIRONMENT)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&outcome.stdout);
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    for (signal, protocol) in ways() {
        let (exporting, server) = answered(signal, protocol, status(503)).await;
        let _ = exporting.send().await;
        exporting.send().await.unwrap();
        for seen in server.seen() {
            let values: Vec<_> = seen.headers.get_all("authorization").iter().collect();
            assert_eq!(values, [SECRET]);
            for name in ["x-own", "x-other"] {
                assert!(!seen.headers.contains_key(name), "{name}");
            }
            // The only setting that the exporter cannot be given: no compression over gRPC.
            let compressed = ["grpc-encoding", "content-encoding"]
                .into_iter()
                .any(|name| seen.headers.contains_key(name));
            assert_eq!(compressed, (signal, protocol) == (Signal::Logs, "grpc"));
        }
    }
}

/// What sends a signal to a server that gives this answer first.
async fn answered(signal: Signal, protocol: &str, answer: Response<Body>) -> (Exporting, Server) {
    let server = Server::default().answers([answer]);
    let address = server.start(None, None).await;
    let settings = [
        setting("endpoint", format_args!("http://{address}")),
        setting("protocol", protocol),
    ];
    (Exporting::new(signal, &settings).unwrap(), server)
}

fn status(code: u16) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}
