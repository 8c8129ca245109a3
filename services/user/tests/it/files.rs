//! A process that has no file descriptors left.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use testing::{Process, eventually, program};
use tokio::net::TcpStream;

use crate::harness::{CHEAP, by_email, client};

/// More file descriptors than the process needs without connections.
const FILES: usize = 80;

#[tokio::test]
async fn a_process_without_free_file_descriptors_waits_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program("/bin/sh");
    let limited = format!("echo $$ >pid; ulimit -n {FILES}; exec \"$@\"");
    command
        .args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_user")])
        .args(CHEAP)
        .current_dir(folder.path())
        .env("PORT", "0")
        .env("OTELIX_DATA", folder.path());
    let mut process = Process::start(&mut command);
    let address = process.address().await;

    let mut held = Vec::new();
    for _ in 0..2 * FILES {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    let failures = |process: &Process| {
        let log = process.log().into_iter();
        log.filter(|line| line["level"] == "ERROR").count()
    };
    eventually("the failure is logged", async || {
        (failures(&process) > 0).then_some(())
    })
    .await;
    // The processor time that a spinning thread gets on this machine, which may be busy.
    let id = fs::read_to_string(folder.path().join("pid")).unwrap();
    let threads = Path::new("/proc").join(id.trim()).join("task");
    let before = cpu(&threads);
    let spun = telemetry::spawn_blocking(spin).await;
    let used = cpu(&threads) - before;
    assert!(used < spun / 4, "it spins: {used:?} of {spun:?}");

    drop(held);
    let answer = client(address).get_user(by_email("ann@example.com")).await;
    assert_eq!(answer.unwrap_err().code(), tonic::Code::NotFound);
    assert_eq!(failures(&process), 1, "{:?}", process.log());
}

/// Processor time that all threads of a process have used.
fn cpu(threads: &Path) -> Duration {
    let threads = fs::read_dir(threads).unwrap();
    threads.map(|thread| time(&thread.unwrap().path())).sum()
}

/// Processor time that a thread has used.
fn time(thread: &Path) -> Duration {
    let text = fs::read_to_string(thread.join("schedstat")).unwrap();
    let nanoseconds = text.split_whitespace().next().unwrap().parse();
    Duration::from_nanos(nanoseconds.unwrap())
}

/// Spins for a second. Returns the processor time that the thread got.
fn spin() -> Duration {
    let own = Path::new("/proc/thread-self");
    let before = time(own);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {}
    time(own) - before
}

#[tokio::test]
async fn the_soft_limit_of_files_is_raised_to_the_hard_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program("/bin/sh");
    command
        .args([
            "-c",
            "ulimit -S -n 64; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_user"),
        ])
        .args(CHEAP)
        .env("PORT", "0")
        .env("OTELIX_DATA", folder.path());
    let mut process = Process::start(&mut command);
    let address = process.address().await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect(address).await.unwrap());
    }
    let answer = client(address).get_user(by_email("ann@example.com")).await;
    assert_eq!(answer.unwrap_err().code(), tonic::Code::NotFound);
    assert!(process.log().iter().all(|line| line["level"] != "ERROR"));
}
