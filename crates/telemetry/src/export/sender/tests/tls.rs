//! Tests of certificates and of connections with TLS.

use std::{fs, net::Ipv4Addr};

use tokio::{io::AsyncReadExt as _, net::TcpListener};

use crate::settings::Signal;

use super::{
    super::*,
    harness::{Authority, SECRET, SIGNALS, Server, message, sender_of, setting, ways},
};

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
        let wrong = sender_of(signal, &settings(&another)).unwrap();
        let error = wrong.send(message()).await.unwrap_err().to_string();
        assert!(error.contains("invalid peer certificate"), "{error}");
        assert!(!error.contains(SECRET), "{error}");
        assert_eq!(server.seen().len(), 0);

        let right = sender_of(signal, &settings(&ours)).unwrap();
        right.send(message()).await.unwrap();
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
        assert_eq!(&seen[0].body[frame..], b"head and body");
    }
}

#[tokio::test]
async fn the_certificates_of_the_system_do_not_trust_an_unknown_authority() {
    let server = Server::default();
    let address = server.start(Some(&Authority::new()), None).await;
    for (signal, protocol) in ways() {
        let settings = [
            setting("endpoint", format_args!("https://{address}")),
            setting("protocol", protocol),
        ];
        // On a machine without certificates there is no sender.
        if let Ok(sender) = sender_of(signal, &settings) {
            sender.send(message()).await.unwrap_err();
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
        let sender = sender_of(signal, &without).unwrap();
        sender.send(message()).await.unwrap_err();
        let with = [
            setting("client-certificate", clients.path("client")),
            setting("client-key", clients.path("client-key")),
        ];
        let with = [without.as_slice(), &with].concat();
        let sender = sender_of(signal, &with).unwrap();
        sender.send(message()).await.unwrap();
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn with_https_nothing_is_sent_unencrypted() {
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
        let sender = sender_of(signal, &settings).unwrap();
        let sent = tokio::spawn(async move { sender.send(message()).await });
        let mut stream = listener.accept().await.unwrap().0;
        let mut received = Vec::new();
        // The server never answers, so the client gives up.
        stream.read_to_end(&mut received).await.unwrap();
        let outcome = sent.await.unwrap();
        assert!(
            matches!(outcome, Err(OTelSdkError::Timeout(_))),
            "{outcome:?}"
        );
        // The first bytes of a TLS handshake.
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
        let sender = sender_of(signal, &settings).unwrap();
        let mut streams = Vec::new();
        for _ in 0..2 {
            // The server accepts connections and never answers.
            let accepted = timeout(Duration::from_secs(10), listener.accept());
            let (sent, stream) = tokio::join!(sender.send(message()), accepted);
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
        // Cases that do not test the root certificate use a valid one.
        if variable != "OTEL_EXPORTER_OTLP_CERTIFICATE" {
            settings.push(setting("certificate", authority.path("ca")));
        }
        let error = sender_of(signal, &settings).err().unwrap();
        assert_eq!(error.variable, variable, "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");

        // Without https these settings are not used.
        settings.push(of_signal(setting("traces-endpoint", "http://127.0.0.1")));
        sender_of(signal, &settings).unwrap();
    }
}
