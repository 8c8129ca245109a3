//! The program of a service as a separate process.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Deadline of each wait, longer than any step of the tests takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process, which is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: TempDir,
}

/// The end of a process.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal ended the process.
    pub code: Option<i32>,
    /// The output on stdout.
    pub stdout: String,
    /// The output on stderr.
    pub stderr: String,
}

/// A program with an empty environment.
#[must_use]
pub fn program(path: impl AsRef<Path>) -> Command {
    let mut command = Command::new(path.as_ref());
    command.env_clear();
    command
}

/// Calls `ask` until it returns a value.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

impl Process {
    /// Starts a program. Its output goes to files, so it never waits for a reader.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let output = tempfile::tempdir().unwrap();
        let file = |name| File::create(output.path().join(name)).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .unwrap();
        Self { child, output }
    }

    /// Runs a program to its end.
    pub async fn run(command: &mut Command) -> Ended {
        Self::start(command).ended().await
    }

    /// Waits until the process listens, and returns its address.
    pub async fn address(&mut self) -> SocketAddr {
        eventually("the process listens", async || {
            let ready = self
                .log()
                .into_iter()
                .find(|line| line["message"] == "ready");
            if ready.is_none() {
                let ended = self.child.try_wait().unwrap();
                assert!(
                    ended.is_none(),
                    "the process has ended: {}",
                    self.read("stderr")
                );
            }
            ready
        })
        .await["address"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// The log records so far.
    #[must_use]
    pub fn log(&self) -> Vec<Value> {
        let text = self.read("stdout");
        // The last line may be incomplete.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("not JSON: {line:?}: {error}"))
            })
            .collect()
    }

    /// Waits for a log record whose field has this value, and returns the first one.
    pub async fn logged(&self, field: &str, value: &str) -> Value {
        eventually(value, async || {
            self.log().into_iter().find(|line| line[field] == value)
        })
        .await
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends the signal of this name.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = program("/bin/sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &id])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Waits until the process ends.
    pub async fn ended(mut self) -> Ended {
        let status = eventually("the process ends", async || self.child.try_wait().unwrap()).await;
        Ended {
            code: status.code(),
            stdout: self.read("stdout"),
            stderr: self.read("stderr"),
        }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.output.path().join(name)).unwrap()
    }
}

/// Kills the process with SIGKILL, and waits for its end.
impl Drop for Process {
    fn drop(&mut self) {
        // Both calls fail only if the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
