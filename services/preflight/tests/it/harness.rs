//! The environment of a run: programs, configurations, a data folder, and free ports.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use preflight::PORTS;
use tempfile::TempDir;

const PROGRAMS: [&str; 17] = [
    "admission",
    "redpanda",
    "kafka-server-start.sh",
    "kafka-storage.sh",
    "redpanda-console",
    "otelcol-contrib",
    "prometheus",
    "alertmanager",
    "loki",
    "tempo",
    "pyroscope",
    "grafana",
    "user",
    "auth",
    "frontend",
    "loadgen",
    "vitals",
];

pub(crate) struct Machine {
    pub(crate) folder: TempDir,
    /// Ports by variable.
    pub(crate) ports: BTreeMap<&'static str, u16>,
}

/// The exit code and the output of a run.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Machine {
    /// An environment without problems.
    pub(crate) fn new() -> Self {
        let machine = Self {
            folder: tempfile::tempdir().unwrap(),
            ports: PORTS
                .iter()
                .map(|port| (port.variable, free_port()))
                .collect(),
        };
        fs::create_dir(machine.path("bin")).unwrap();
        for program in PROGRAMS {
            let file = machine.path("bin").join(program);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        }
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        copy(&configs, &machine.path("configs"));
        fs::create_dir(machine.path("docs")).unwrap();
        copy(
            &configs.join("../docs/runbooks"),
            &machine.path("docs/runbooks"),
        );
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the overlay `mine`.
    pub(crate) fn overlay(&self, name: &str, text: &str) {
        let file = self.path("mine").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    pub(crate) fn port(&self, variable: &str) -> u16 {
        self.ports[variable]
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::of(self.start(arguments))
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_preflight"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("bin"))
            .envs(
                self.ports
                    .iter()
                    .map(|(variable, port)| (variable, port.to_string())),
            )
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// All files below the data folder: path, mode, time of the last change, content.
    pub(crate) fn data(&self) -> BTreeMap<PathBuf, (u32, std::time::SystemTime, Vec<u8>)> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path("volumes")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.metadata().unwrap();
                let bytes = if metadata.is_dir() {
                    folders.push(path.clone());
                    Vec::new()
                } else {
                    fs::read(&path).unwrap()
                };
                let mode = metadata.permissions().mode() & 0o777;
                found.insert(path, (mode, metadata.modified().unwrap(), bytes));
            }
        }
        found
    }
}

impl Said {
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Whether a line of the report contains all parts.
    pub(crate) fn names(&self, parts: &[&str]) -> bool {
        self.err
            .lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// A free port that no other test uses. It is below the range of ephemeral ports.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(1009);
    loop {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = u16::try_from(10_000 + offset).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
