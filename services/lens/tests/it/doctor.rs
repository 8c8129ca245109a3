//! What the doctor learns from connections.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::server::Server;

#[tokio::test]
async fn clients_of_other_protocols_are_named() {
    let server = Server::start().await;
    let pages = server.url.trim_start_matches("http://").parse().unwrap();
    for (address, bytes, expected) in [
        // The start of a ClientHello.
        (
            server.otlp,
            &b"\x16\x03\x01\x02\x00\x01\x00"[..],
            "speaks TLS",
        ),
        (pages, b"\x16\x03\x01\x02\x00\x01\x00", "speaks TLS"),
        (server.otlp, b"\x80\x01\x00\x01", "no HTTP request"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let port = format!("port {}", address.port());
        testing::eventually(expected, async || {
            let notes = server.lens.doctor.notes();
            let has = |reason: &str| {
                reason.starts_with("a client at 127.0.0.1 ")
                    && reason.contains(expected)
                    && reason.contains(&port)
            };
            notes.iter().any(|note| has(&note.reason)).then_some(())
        })
        .await;
    }
    let page = server.get("/doctor").await.text().await.unwrap();
    for remedy in ["OTEL_EXPORTER_OTLP_INSECURE=true", "Send OTLP to this port"] {
        assert!(page.contains(remedy), "{page}");
    }
}

#[tokio::test]
async fn telemetry_of_other_sites_is_refused_and_named() {
    let server = Server::start().await;
    let url = format!("http://{}/v1/traces", server.otlp);
    let post = |origin: &'static str| {
        let request = reqwest::Client::new().post(&url).body("{}");
        let request = request.header("content-type", "application/json");
        request.header("origin", origin).send()
    };
    let refused = post("https://evil.example").await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["content-type"], "application/json");
    let status: serde_json::Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(status["code"], 7, "{status}");
    let taken = post("http://localhost:3000").await.unwrap();
    assert_eq!(taken.status(), 200);
    let allowed = &taken.headers()["access-control-allow-origin"];
    assert_eq!(allowed, "http://localhost:3000");
    let notes = server.lens.doctor.notes();
    assert!(
        notes[0].reason.contains("a page of another site"),
        "{notes:?}"
    );
}
