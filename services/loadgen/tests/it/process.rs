//! The program: exit codes, stdout, stderr, signals.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command},
    time::{Duration, Instant},
};

use crate::{
    fake::{Fake, Mood},
    harness::{program, stderr, stdout},
};

const SHORT: [&str; 4] = ["--rate=200", "--count=50", "--bad=0.2", "--seed=5"];

#[tokio::test(flavor = "multi_thread")]
async fn without_unexpected_answers_the_exit_code_is_0() {
    let fake = Fake::new(Mood::Well);
    let target = format!("--target=http://{}", fake.frontend().await);
    let output = program(&SHORT)
        .args([&target, "--log=warn"])
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    let text = stdout(&output);
    assert!(text.contains("seed 5"), "{text}");
    assert!(
        text.lines()
            .any(|line| line.trim_start().starts_with("total")),
        "{text}"
    );
    // Without a terminal, no progress is drawn.
    assert_eq!(stderr(&output), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_json_stdout_is_one_document() {
    let fake = Fake::new(Mood::Down);
    for target in [
        format!("http://{}", fake.frontend().await),
        format!("grpc://{}", fake.auth().await),
    ] {
        let output = program(&SHORT)
            .args(["--json", "--target", &target])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["seed"], 5);
        assert_eq!(report["passed"], false);
        assert_eq!(report["target"], target.as_str());
        assert_eq!(report["total"]["count"], 50);
        assert!(report["total"]["latency"]["p99"].as_f64().unwrap() > 0.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_journey_has_its_own_trace() {
    let fake = Fake::new(Mood::Down);
    // This is not a collector. The export fails only after the run.
    let collector = format!("http://{}", fake.auth().await);
    for target in [
        format!("http://{}", fake.frontend().await),
        format!("grpc://{}", fake.auth().await),
    ] {
        let mut run = program(&SHORT);
        run.args(["--log=off", "--target", &target]);
        run.output().unwrap();
        let traces = fake.seen(|seen| std::mem::take(&mut seen.traces));
        assert!(traces.is_empty(), "{traces:?}");

        run.args(["--otlp-traces-endpoint", &collector]);
        run.output().unwrap();
        let traces = fake.seen(|seen| std::mem::take(&mut seen.traces));
        let ids: std::collections::HashSet<&str> = traces
            .iter()
            .filter_map(|trace| trace.split('-').nth(1))
            .collect();
        assert!(ids.len() > 5, "{traces:?}");
        assert_eq!(ids.len(), traces.len());
    }
}

#[test]
fn an_invalid_setting_is_exit_code_2_and_one_line() {
    for (args, name) in [
        (["--rate=fast", "--bad=0"], "--rate"),
        (["--target=127.0.0.1:8082", "--bad=0"], "--target"),
        (["--target=http://ann:s3cr3t@host", "--bad=0"], "--target"),
        (["--target=grpc://ann:s3cr3t@host:1", "--bad=0"], "--target"),
        (["--mix=me", "--bad=0"], "--mix"),
    ] {
        let output = program(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(stdout(&output), "");
        let text = stderr(&output);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(name), "{text}");
        assert!(!text.contains("s3cr3t"), "{text}");
    }
}

#[test]
fn an_unreachable_target_is_exit_code_1_and_one_line() {
    for target in ["http://127.0.0.1:1", "grpc://127.0.0.1:1"] {
        let args = ["--wait=100ms", "--log=warn", "--target", target];
        let output = program(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stdout(&output), "");
        let text = stderr(&output);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(target), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_an_endless_run_with_its_report() {
    let fake = Fake::new(Mood::Well);
    let target = format!("--target=http://{}", fake.frontend().await);
    let child = program(&["--duration=forever", "--rate=100", "--json", &target])
        .spawn()
        .unwrap();
    wait_until("it is under way", || fake.seen(|seen| seen.me > 5));
    let output = terminate(child);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["settings"]["duration"].is_null());
    assert!(report["total"]["count"].as_u64().unwrap() > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_does_not_depend_on_the_target() {
    let fake = Fake::new(Mood::Well);
    let target = format!("--target=http://{}", fake.frontend().await);
    let listen = format!("--listen-address={}", free_address());
    let health = || {
        program(&["health", &listen])
            .output()
            .unwrap()
            .status
            .code()
    };

    assert_eq!(health(), Some(1));
    let nobody = format!("--target=http://{}", free_address());
    let child = program(&["--wait=1m", &listen, &nobody]).spawn().unwrap();
    wait_until("it is ready", || health() == Some(0));
    let output = terminate(child);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));

    assert_eq!(health(), Some(1));
    let child = program(&["--duration=forever", "--rate=200", &listen, &target])
        .spawn()
        .unwrap();
    wait_until("it is ready", || health() == Some(0));
    wait_until("it is under way", || fake.seen(|seen| seen.me > 0));
    let output = terminate(child);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        program(&["health"]).output().unwrap().status.code(),
        Some(1)
    );
}

/// A free address.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn terminate(child: Child) -> std::process::Output {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    child.wait_with_output().unwrap()
}

fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "not in time: {what}"
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "the test's own thread, not a worker's"
        )]
        std::thread::sleep(Duration::from_millis(20));
    }
}
