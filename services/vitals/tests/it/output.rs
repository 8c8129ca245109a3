//! Readers of stdout and stderr that do not read or have gone. Only log records are lost.

use std::{
    io::{self, Write as _},
    process::{Child, Command, Stdio},
    thread,
};

use testing::{Process, eventually, program};
use tokio::net::TcpListener;

use crate::fake::Fake;

#[tokio::test]
async fn a_reader_that_does_not_read_blocks_nothing() {
    let (unread, mut full) = io::pipe().unwrap();
    let (stdout, stderr) = (full.try_clone().unwrap(), full.try_clone().unwrap());
    // Fills the pipe, so that all further writes block.
    thread::spawn(move || while full.write_all(&[b'.'; 4096]).is_ok() {});
    works_and_stops(|command| command.stdout(stdout).stderr(stderr)).await;
    drop(unread);
}

#[tokio::test]
async fn closed_pipes_harm_nothing() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let stderr = writer.try_clone().unwrap();
    works_and_stops(|command| command.stdout(writer).stderr(stderr)).await;
}

#[tokio::test]
async fn a_wrong_setting_ends_the_process_without_a_reader_of_stderr() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let supervisor = Fake::start().await;
    let mut vitals = supervisor.vitals();
    let status = vitals.env("PORT", "none").stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

/// Starts the program with this output. It must answer health checks, and stop at SIGTERM with exit
/// code 0.
async fn works_and_stops(output: impl FnOnce(&mut Command) -> &mut Command) {
    let supervisor = Fake::start().await;
    // The test cannot read the log, so it chooses the port.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    drop(listener);
    let mut vitals = supervisor.vitals();
    vitals
        .env("PORT", &port)
        .env("RUST_LOG", "trace")
        .stdin(Stdio::null());
    let mut process = Killed(output(&mut vitals).spawn().unwrap());

    for _ in 0..3 {
        let mut health = supervisor.vitals();
        health.args(["health", "--wait", "15s"]).env("PORT", &port);
        let health = Process::run(&mut health).await;
        assert_eq!(health.code, Some(0), "{health:?}");
    }

    let id = process.0.id().to_string();
    let kill = program("/bin/sh")
        .args(["-c", "kill -TERM \"$0\"", &id])
        .status();
    assert!(kill.unwrap().success());
    let status = eventually("the process ends", async || process.0.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(0));
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only if the process has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
