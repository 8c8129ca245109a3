//! The real program: its settings, its signals, its traces.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails by panicking"
)]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use reqwest::StatusCode;

use crate::{
    auth::{self, PASSWORD},
    harness::{Page, browser},
};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_frontend"));
    command.env_clear().args(args);
    command
}

fn output(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

/// A running process, which ends with the test.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start(args: &[&str]) -> Self {
        let mut child = command(args)
            .args(["--port=0", "--log-format=json"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let ready = lines
            .find(|line| line.contains(r#""message":"ready""#))
            .unwrap();
        let address = ready
            .split(r#""address":""#)
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap()
            .to_owned();
        // What nobody reads must not stop the process.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn terminate(&self) {
        let status = Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", self.child.id())])
            .status()
            .unwrap();
        assert!(status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn every_page_names_its_trace_and_links_to_it() {
    let process = Process::start(&["--grafana-url=http://grafana.example:3000"]);
    for path in ["/", "/login", "/nowhere"] {
        let request = browser()
            .get(format!("http://{}{path}", process.address))
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
            let page = Page::of(browser().get(format!("http://{}/", process.address))).await;
            ids.push(page.texts("footer code")[0].clone());
        }
        ids
    };
    assert!(ids[0].len() == 32 && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn health_asks_the_running_process() {
    let process = Process::start(&[]);
    let port = process.address.rsplit(':').next().unwrap();
    let port = format!("--port={port}");
    let probe = output(&[&port, "health"]);
    assert_eq!(probe.status.code(), Some(0), "{probe:?}");

    let probe = output(&["--port=1", "health"]);
    assert_eq!(probe.status.code(), Some(1));
    assert_eq!(String::from_utf8(probe.stderr).unwrap().lines().count(), 1);
}

#[test]
fn a_wrong_setting_is_one_line_and_exit_code_2() {
    for (arg, variable) in [
        ("--port=70000", "PORT"),
        ("--listen-address=here", "LISTEN_ADDRESS"),
        (
            "--auth-service-address=https://auth",
            "AUTH_SERVICE_ADDRESS",
        ),
        ("--user-service-address=", "USER_SERVICE_ADDRESS"),
        ("--public-url=example.org", "PUBLIC_URL"),
        ("--trusted-proxies=10.0.0.0/99", "TRUSTED_PROXIES"),
        ("--status-checks=x", "STATUS_CHECKS"),
        ("--status-page=nobody", "STATUS_PAGE"),
        ("--grafana-url=grafana", "GRAFANA_URL"),
        ("--kafka-brokers=kafka", "KAFKA_BROKERS"),
    ] {
        let outcome = output(&[arg]);
        assert_eq!(outcome.status.code(), Some(2), "{arg}");
        let stderr = String::from_utf8(outcome.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(variable), "{stderr}");
    }
}

#[test]
fn a_password_in_a_url_is_refused_and_not_printed() {
    for (name, url) in [
        ("auth-service-address", "http://ann:s3cr3t@host:1"),
        ("user-service-address", "ann:s3cr3t@host:1"),
        ("public-url", "https://ann:s3cr3t@host"),
        ("grafana-url", "http://ann:s3cr3t@host"),
        ("alertmanager-url", "http://ann:s3cr3t@host"),
        ("status-checks", "db=http://ann:s3cr3t@host"),
        // Wrong in another way as well.
        ("status-checks", "http://ann:s3cr3t@host"),
        ("status-checks", "db=http://ann:s3cr3t@host:x"),
        ("status-checks", "http://ann:s3cr3t=@host"),
        ("status-checks", "db=http://ann:s3cr3t,@host"),
        ("grafana-url", "ann:s3cr3t@host"),
        ("alertmanager-url", "https://ann:s3cr3t/x@host"),
    ] {
        let variable = name.to_uppercase().replace('-', "_");
        for outcome in [
            output(&[&format!("--{name}={url}")]),
            command(&[]).env(&variable, url).output().unwrap(),
        ] {
            assert_eq!(outcome.status.code(), Some(2), "{url}");
            assert_eq!(outcome.stdout, b"", "{url}");
            let stderr = String::from_utf8(outcome.stderr).unwrap();
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            assert!(stderr.contains(&variable), "{stderr}");
            assert!(!stderr.contains("s3cr3t"), "{stderr}");
        }
    }
}

#[test]
fn a_port_in_use_is_explained() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let outcome = output(&[&format!("--port={port}")]);
    assert_eq!(outcome.status.code(), Some(1));
    let stderr = String::from_utf8(outcome.stderr).unwrap();
    assert!(stderr.contains("is using the port"), "{stderr}");
}

#[tokio::test]
async fn sigterm_lets_a_request_under_way_end() {
    let (auth, asked) = auth::start().await;
    let auth = format!("--auth-service-address={auth}");
    let mut process = Process::start(&[&auth]);
    let slow = tokio::spawn(
        browser()
            .post(format!("http://{}/login", process.address))
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
    let status = telemetry::spawn_blocking(move || process.child.wait().unwrap()).await;
    assert_eq!(status.code(), Some(0));
}

/// A connection on which this has been written, and to which no byte of an answer is read.
fn connection(process: &Process, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(&process.address).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

#[tokio::test]
async fn open_streams_and_connections_do_not_delay_a_stop() {
    // Streams last where there may be events.
    let mut process = Process::start(&["--kafka-brokers=127.0.0.1:1"]);
    let url = format!("http://{}/activity/events", process.address);
    let mut reader = browser().get(url).send().await.unwrap();
    assert!(reader.chunk().await.unwrap().is_some());
    let mut http2 = connection(
        &process,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    );
    http2.read_exact(&mut [0]).unwrap();
    let _open = [
        connection(&process, b""),
        connection(&process, b"GET / HTTP/1.1\r\n"),
        http2,
    ];
    let asked = Instant::now();
    process.terminate();
    let status = telemetry::spawn_blocking(move || process.child.wait().unwrap()).await;
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(1), "{took:?}");
    while reader.chunk().await.unwrap().is_some() {}
}
