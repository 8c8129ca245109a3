//! The real program: its settings, its signals, its traces.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    time::Duration,
};

use frontend::Config;
use reqwest::StatusCode;
use testing::{Process, program, programs};

use crate::{
    auth::{self, PASSWORD},
    harness::{Page, browser},
};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

/// The program on a free port.
fn binary(args: &[&str]) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_frontend"));
    command.env("PORT", "0").args(args);
    command
}

/// Starts the program, and returns its address too.
async fn start(args: &[&str]) -> (Process, SocketAddr) {
    let mut process = Process::start(&mut binary(args));
    let address = process.address().await;
    (process, address)
}

#[tokio::test]
async fn every_page_names_its_trace_and_links_to_it() {
    let (_process, address) = start(&["--grafana-url=http://grafana.example:3000"]).await;
    for path in ["/", "/login", "/nowhere"] {
        let request = browser()
            .get(format!("http://{address}{path}"))
            .header("traceparent", format!("00-{TRACE_ID}-b7ad6b7169203331-01"));
        let page = Page::of(request).await;
        assert_eq!(page.texts("footer code"), [TRACE_ID]);
        let link = page.attribute("footer a", "href").unwrap();
        assert!(
            link.starts_with("http://grafana.example:3000/explore?"),
            "{link}"
        );
        assert!(link.contains(TRACE_ID), "{link}");
    }

    let ids: Vec<String> = {
        let mut ids = Vec::new();
        for _ in 0..2 {
            let page = Page::of(browser().get(format!("http://{address}/"))).await;
            ids.push(page.texts("footer code")[0].clone());
        }
        ids
    };
    assert!(ids[0].len() == 32 && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn the_start_page_promises_only_traces_that_can_be_opened() {
    for (args, expected) in [
        (
            &["--grafana-url=http://grafana.example:3000"][..],
            Some("Every page links to its trace"),
        ),
        (&[][..], Some("Every page has a trace id")),
        (&["--sdk-disabled"][..], None),
    ] {
        let (_process, address) = start(args).await;
        let page = Page::of(browser().get(format!("http://{address}/"))).await;
        let headings = page.texts("h2");
        let promise = headings.iter().find(|heading| heading.contains("trace"));
        assert_eq!(promise.map(String::as_str), expected, "{args:?}");
    }
}

#[tokio::test]
async fn health_asks_the_running_process() {
    programs::says_whether_it_serves(&mut binary(&[]), &mut binary(&[])).await;
}

#[tokio::test]
async fn a_lame_duck_accepts_requests_for_its_time() {
    programs::is_a_lame_duck_for_its_time(&mut binary(&[]), &mut binary(&[])).await;
}

#[tokio::test]
async fn health_of_another_program_on_the_port_is_a_failure() {
    let (address, _) = auth::start().await;
    let port = format!("--port={}", address.port());
    let ended = Process::run(&mut binary(&[&port, "health"])).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let words = format!("{address} does not serve frontend: another program has the port");
    assert!(ended.stderr.contains(&words), "{ended:?}");
}

#[tokio::test]
async fn help_explains_every_setting() {
    programs::explains_every_setting::<Config>(&mut binary(&[])).await;
}

#[tokio::test]
async fn a_wrong_setting_is_one_line_and_exit_code_2() {
    let wrong: [(&str, &[u8]); 13] = [
        ("PORT", b"70000"),
        ("LISTEN_ADDRESS", b"here"),
        ("AUTH_SERVICE_ADDRESS", b"https://auth"),
        ("AUTH_SERVICE_ADDRESS", b"auth:8081,https://auth:8081"),
        ("USER_SERVICE_ADDRESS", b""),
        ("USER_SERVICE_ADDRESS", b"user:8080,,user:8180"),
        ("LAME_DUCK", b"-1s"),
        ("PUBLIC_URL", b"example.org"),
        ("TRUSTED_PROXIES", b"10.0.0.0/99"),
        ("STATUS_CHECKS", b"x"),
        ("STATUS_PAGE", b"nobody"),
        ("GRAFANA_URL", b"grafana"),
        ("KAFKA_BROKERS", b"kafka"),
    ];
    programs::names_wrong_settings(|| binary(&[]), &wrong).await;
}

#[tokio::test]
async fn a_password_in_a_url_is_refused_and_not_printed() {
    for (name, url) in [
        ("auth-service-address", "http://ann:s3cr3t@host:1"),
        ("user-service-address", "ann:s3cr3t@host:1"),
        ("public-url", "https://ann:s3cr3t@host"),
        ("grafana-url", "http://ann:s3cr3t@host"),
        ("kafka-brokers", "ann:s3cr3t@host:9092"),
        ("kafka-brokers", "host:9092,kafka://ann:s3cr3t@host"),
        ("alertmanager-url", "http://ann:s3cr3t@host"),
        ("status-checks", "db=http://ann:s3cr3t@host"),
        // The rest is also wrong in another way.
        ("status-checks", "http://ann:s3cr3t@host"),
        ("status-checks", "db=http://ann:s3cr3t@host:x"),
        ("status-checks", "http://ann:s3cr3t=@host"),
        ("status-checks", "db=http://ann:s3cr3t,@host"),
        ("grafana-url", "ann:s3cr3t@host"),
        ("alertmanager-url", "https://ann:s3cr3t/x@host"),
    ] {
        let variable = name.to_uppercase().replace('-', "_");
        for command in [
            &mut binary(&[&format!("--{name}={url}")]),
            binary(&[]).env(&variable, url),
        ] {
            let ended = Process::run(command).await;
            assert_eq!(ended.code, Some(2), "{url}");
            assert_eq!(ended.stdout, "", "{url}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
            assert!(ended.stderr.contains(&variable), "{ended:?}");
            assert!(!ended.stderr.contains("s3cr3t"), "{ended:?}");
        }
    }
}

#[tokio::test]
async fn a_port_in_use_is_explained() {
    programs::says_that_its_port_is_in_use(&mut binary(&[])).await;
}

#[tokio::test]
async fn after_sigterm_an_open_request_is_answered() {
    let (auth, asked) = auth::start().await;
    let auth = format!("--auth-service-address={auth}");
    let (process, address) = start(&[&auth]).await;
    let slow = tokio::spawn(
        browser()
            .post(format!("http://{address}/login"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!(
                "email=slow%40example.org&password={}",
                PASSWORD.replace(' ', "+")
            ))
            .send(),
    );
    while asked.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.terminate();
    let answer = slow.await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert_eq!(process.ended().await.code, Some(0));
}

/// A connection that has sent these bytes and reads no answer.
fn connection(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

#[tokio::test]
async fn open_streams_and_connections_do_not_delay_a_stop() {
    // A stream stays open only if a broker is configured.
    let (process, address) = start(&["--kafka-brokers=127.0.0.1:1"]).await;
    let url = format!("http://{address}/activity/events");
    let mut reader = browser().get(url).send().await.unwrap();
    assert!(reader.chunk().await.unwrap().is_some());
    let mut http2 = connection(
        address,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    );
    http2.read_exact(&mut [0]).unwrap();
    let _open = [
        connection(address, b""),
        connection(address, b"GET / HTTP/1.1\r\n"),
        http2,
    ];
    programs::ends_at_once(process).await;
    while reader.chunk().await.unwrap().is_some() {}
}
