//! Tests of the sender against real servers, with and without TLS.

mod answers;
mod harness;
mod tls;

use std::{io::Read as _, net::Ipv4Addr};

use flate2::read::GzDecoder;
use tokio::runtime::{self, Runtime};

use crate::settings::Signal;

use self::harness::{
    PROTOCOLS, SECRET, Server, answered, export_record, exporter, message, sender_of, setting,
    status, ways,
};

#[test]
fn an_export_of_logs_ends_with_the_runtime() {
    for protocol in PROTOCOLS {
        // This server never answers.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let settings = [
            setting(
                "endpoint",
                format_args!("http://{}", listener.local_addr().unwrap()),
            ),
            setting("protocol", protocol),
        ];
        let runtime = Runtime::new().unwrap();
        let (exporter, _) = {
            let _guard = runtime.enter();
            exporter(sender_of(Signal::Logs, &settings).unwrap())
        };
        // On a thread of its own, as the batch processor exports.
        let export = std::thread::spawn(move || {
            let other = runtime::Builder::new_current_thread().build().unwrap();
            other.block_on(export_record(&exporter))
        });
        listener.accept().unwrap();
        drop(runtime);
        export.join().unwrap().unwrap_err();
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
        let sender = sender_of(signal, &settings).unwrap();
        sender.send(message()).await.unwrap();
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
        assert_eq!(message, b"head and body");
    }
}

/// Variables of the settings, with other values than the test's settings.
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
    // Only a new process can have a different environment.
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
        let (sender, server) = answered(signal, protocol, status(503)).await;
        let _ = sender.send(message()).await;
        sender.send(message()).await.unwrap();
        for seen in server.seen() {
            let values: Vec<_> = seen.headers.get_all("authorization").iter().collect();
            assert_eq!(values, [SECRET]);
            for name in ["x-own", "x-other"] {
                assert!(!seen.headers.contains_key(name), "{name}");
            }
            for name in ["grpc-encoding", "content-encoding"] {
                assert!(!seen.headers.contains_key(name), "{name}");
            }
        }
    }
}
