//! The command `startup`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testing::{Ended, Process};

use crate::fake::{Answer, Fake, Version};

async fn startup(supervisor: &Fake, within: &str) -> Ended {
    let mut command = supervisor.vitals();
    Process::run(command.args(["startup", "--within", within])).await
}

fn pending() -> Value {
    json!({"status": "Pending", "is_running": false, "is_ready": "-", "age": 0, "pid": 0})
}

/// The cells of the row of a process.
fn row<'a>(ended: &'a Ended, process: &str) -> Vec<&'a str> {
    let rows = ended.stdout.lines().map(str::split_whitespace);
    let mut rows = rows.map(Iterator::collect::<Vec<_>>);
    rows.find(|cells| cells.first() == Some(&process)).unwrap()
}

#[tokio::test]
async fn it_waits_for_all_processes_and_prints_their_times() {
    let supervisor = Fake::start().await;
    supervisor.has(
        "preflight",
        &json!({
            "namespace": "setup", "status": "Completed", "is_running": false, "is_ready": "-",
            "has_ready_probe": false, "age": 250_000_000
        }),
    );
    supervisor.has(
        "broker",
        &json!({"namespace": "backends", "mem": 300_000_000}),
    );
    supervisor.has("auth", &pending());
    supervisor.has("off", &json!({"status": "Disabled", "is_running": false}));
    let mut command = supervisor.vitals();
    let waiting = Process::start(command.arg("startup"));
    supervisor.asked().await;
    supervisor.has(
        "auth",
        &json!({"is_ready": "Not Ready", "age": 100_000_000, "restarts": 1}),
    );
    tokio::time::sleep(Duration::from_millis(100)).await;
    supervisor.has(
        "auth",
        &json!({"age": 200_000_000, "restarts": 1, "mem": 20_000_000}),
    );

    let ended = waiting.ended().await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    // The fake supervisor has an uptime of a minute.
    let preflight = row(&ended, "preflight");
    assert_eq!(preflight[..3], ["preflight", "setup", "0.25"], "{ended:?}");
    assert_eq!(preflight[3..], ["to", "60.00", "s", "0", "-"], "{ended:?}");
    let broker = row(&ended, "broker");
    assert_eq!(broker[..3], ["broker", "backends", "55.50"], "{ended:?}");
    assert_eq!(broker[6..], ["0", "300.0", "MB"], "{ended:?}");
    let auth = row(&ended, "auth");
    let after: f64 = auth[2].parse().unwrap();
    assert!((60.0..80.0).contains(&after), "{ended:?}");
    assert_eq!(auth[3..], ["s", "1", "20.0", "MB"], "{ended:?}");
    let totals = format!(
        "all processes ready after {} s\nmemory 320.0 MB, without broker 20.0 MB\n",
        auth[2]
    );
    assert!(ended.stdout.ends_with(&totals), "{ended:?}");
    assert!(!ended.stdout.contains("off"), "{ended:?}");
}

#[tokio::test]
async fn processes_that_are_not_ready_in_time_are_listed_with_their_logs() {
    let supervisor = Fake::start().await;
    supervisor.has("user", &json!({}));
    supervisor.has("auth", &json!({"is_ready": "Not Ready", "restarts": 2}));
    supervisor.has("frontend", &pending());
    supervisor.has("silent", &json!({"has_ready_probe": false}));
    let expected = "\
error: some processes are not ready after 200ms:
  auth: Running, not ready, exit code 0, restarts: 2, log: volumes/logs/auth.log
  frontend: Pending, log: volumes/logs/frontend.log
  silent: Running, not ended
";
    for version in [Version::V1_103, Version::V1_116] {
        supervisor.is(version);
        let ended = startup(&supervisor, "200ms").await;
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
        assert_eq!(ended.stderr, expected, "{version:?}");
    }
}

#[tokio::test]
async fn it_does_not_wait_for_a_process_that_will_not_be_restarted() {
    let supervisor = Fake::start().await;
    supervisor.has("auth", &pending());
    let failed = json!({
        "status": "Completed", "is_running": false, "has_ready_probe": false, "is_ready": "-",
        "exit_code": 2
    });
    supervisor.has("preflight", &failed);
    let ended = startup(&supervisor, "10m").await;
    assert_eq!(ended.code, Some(1));
    let expected = "\
error: some processes cannot become ready:
  auth: Pending, log: volumes/logs/auth.log
  preflight: Completed, exit code 2, log: volumes/logs/preflight.log
";
    assert_eq!(ended.stderr, expected);
}

#[tokio::test]
async fn it_does_not_wait_for_a_supervisor_that_has_ended() {
    let supervisor = Fake::start().await;
    supervisor.has("auth", &json!({"is_ready": "Not Ready"}));
    let mut command = supervisor.vitals();
    let waiting = Process::start(command.args(["startup", "--within=10m"]));
    supervisor.asked().await;
    supervisor.answer(Answer::Fail);
    let ended = waiting.ended().await;
    assert_eq!(ended.code, Some(1));
    let port = supervisor.port.to_string();
    for part in [
        "error: no supervisor answers at http://127.0.0.1:",
        &port,
        "auth: Running, not ready, log: volumes/logs/auth.log",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn without_a_supervisor_it_fails() {
    let supervisor = Fake::start().await;
    let mut command = supervisor.vitals();
    command.arg("startup").env("SUPERVISOR_PORT", "1");
    let started = Instant::now();
    let ended = Process::run(&mut command).await;
    assert_eq!(ended.code, Some(1));
    assert!(started.elapsed() < Duration::from_secs(15));
    assert!(
        ended
            .stderr
            .contains("http://127.0.0.1:1 (SUPERVISOR_PORT)"),
        "{}",
        ended.stderr
    );
}
