//! A collector for tests, senders, and an exporter of log records.

use std::{
    collections::VecDeque,
    fs,
    net::{Ipv4Addr, SocketAddr},
};

use axum::{Router, extract::State, response::IntoResponse as _};
use clap::{Args as _, Command, FromArgMatches as _};
use hyper_util::{rt::TokioIo, server::conn::auto, service::TowerToHyperService};
use opentelemetry::{
    InstrumentationScope,
    logs::{LogRecord as _, Logger as _, LoggerProvider as _},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogBatch, LogExporter as _, SdkLoggerProvider},
};
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
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    export::{Flow, Outage, Route, logs},
    metrics,
    settings::{Otlp, Signal},
};

use super::super::*;

pub(super) const SECRET: &str = "s3cr3t";

/// A collector that records its requests.
#[derive(Clone, Default)]
pub(super) struct Server {
    seen: Arc<Mutex<Vec<Seen>>>,
    /// The first responses. After them, the collector accepts everything.
    answers: Arc<Mutex<VecDeque<Response<Body>>>>,
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A certificate authority, with a server and a client certificate for 127.0.0.1.
pub(super) struct Authority {
    folder: TempDir,
}

impl Server {
    /// Starts listening. With an authority, the server speaks TLS. With a second one, clients must present a
    /// certificate of that authority.
    pub(super) async fn start(
        &self,
        tls: Option<&Authority>,
        clients: Option<&Authority>,
    ) -> SocketAddr {
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

    pub(super) fn answers(self, answers: impl IntoIterator<Item = Response<Body>>) -> Self {
        self.answers.lock().unwrap().extend(answers);
        self
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, router: Router) {
    let service = TowerToHyperService::new(router);
    // A client may disconnect without failing the test.
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
    let is_compressed = head.headers.contains_key("grpc-encoding");
    server.seen.lock().unwrap().push(Seen {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
    });
    if let Some(answer) = server.answers.lock().unwrap().pop_front() {
        return answer.map(axum::body::Body::new).into_response();
    }
    if is_grpc {
        // As a server in Go does: the response is compressed like the request.
        let message = if is_compressed {
            let empty = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            let compressed = empty.finish().unwrap();
            let length = u32::try_from(compressed.len()).unwrap().to_be_bytes();
            [&[1], &length[..], &compressed].concat()
        } else {
            vec![0; 5]
        };
        let message = Full::from(Bytes::from(message));
        let status = HeaderMap::from_iter([("grpc-status".parse().unwrap(), 0.into())]);
        let body = message.with_trailers(async { Some(Ok(status)) });
        let mut answer = Response::new(axum::body::Body::new(body));
        let grpc = HeaderValue::from_static("application/grpc");
        answer.headers_mut().insert(CONTENT_TYPE, grpc);
        if is_compressed {
            let gzip = HeaderValue::from_static("gzip");
            answer.headers_mut().insert("grpc-encoding", gzip);
        }
        return answer;
    }
    StatusCode::OK.into_response()
}

impl Authority {
    pub(super) fn new() -> Self {
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

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path(name)).unwrap()
    }

    pub(super) fn server(&self, clients: Option<&Self>) -> ServerConfig {
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

pub(super) const SIGNALS: [Signal; 2] = [Signal::Traces, Signal::Logs];

/// A sender for a signal.
pub(super) fn sender_of(signal: Signal, settings: &[String]) -> Result<Sender, BadSetting> {
    Sender::new(&export(signal, settings))
}

/// An exporter of log records, and its accounting.
pub(super) fn exporter(sender: Sender) -> (logs::Exporter, Flow) {
    let route = Route {
        signal: "logs",
        endpoint: String::new(),
        outage: Outage::default(),
    };
    let flow = Flow::unqueued(route, (&metrics::OTEL_SDK_EXPORTER_LOG_EXPORTED, "test"));
    (logs::Exporter::new(sender, flow.clone()), flow)
}

/// Exports a log record.
pub(super) async fn export_record(exporter: &logs::Exporter) -> OTelSdkResult {
    let loggers = SdkLoggerProvider::builder().build();
    let mut record = loggers.logger("test").create_log_record();
    record.set_observed_timestamp(SystemTime::now());
    let scope = InstrumentationScope::default();
    exporter.export(LogBatch::new(&[(&record, &scope)])).await
}

/// The export settings of a signal.
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

pub(super) fn setting(name: &str, value: impl fmt::Display) -> String {
    format!("--otlp-{name}={value}")
}

pub(super) fn message() -> Encoded {
    Encoded(vec![
        Bytes::from_static(b"head "),
        Bytes::from_static(b"and body"),
    ])
}

pub(super) const PROTOCOLS: [&str; 2] = ["grpc", "http/protobuf"];

/// Each signal with each protocol.
pub(super) fn ways() -> impl Iterator<Item = (Signal, &'static str)> {
    SIGNALS
        .into_iter()
        .flat_map(|signal| PROTOCOLS.map(|protocol| (signal, protocol)))
}

/// A sender for a signal, and a server that gives this response first.
pub(super) async fn answered(
    signal: Signal,
    protocol: &str,
    answer: Response<Body>,
) -> (Sender, Server) {
    let server = Server::default().answers([answer]);
    let address = server.start(None, None).await;
    let settings = [
        setting("endpoint", format_args!("http://{address}")),
        setting("protocol", protocol),
    ];
    (sender_of(signal, &settings).unwrap(), server)
}

pub(super) fn status(code: u16) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}
