//! The whole system in one process: `cargo run`.

use std::{
    fs::Permissions,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use e2e::Process;
use events::{AUTH_TOPIC, Event, Handler, HandlerError, Settings, USER_TOPIC};
use reqwest::{Client, StatusCode};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
    sync::mpsc,
    time::timeout,
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const PORTS: [(&str, &str); 3] = [("PORT", "0"), ("AUTH_PORT", "0"), ("USER_PORT", "0")];

/// The ports of lens, for which it takes others if they are in use.
const LENS_PORTS: [(&str, &str); 3] = [
    ("LENS_PORT", "0"),
    ("OTLP_GRPC_PORT", "0"),
    ("OTLP_HTTP_PORT", "0"),
];

/// Time limit for a log record.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_port_in_use_is_reported_with_its_variable_and_its_process() -> anyhow::Result<()> {
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port().to_string();
    let folder = tempfile::tempdir()?;
    for (variable, _) in PORTS {
        let variables = PORTS.map(|(name, free)| {
            let is_taken = name == variable;
            (name, if is_taken { port.as_str() } else { free })
        });
        let mut otelix = spawn(&variables, &folder)?;
        let status = otelix.ended().await?;
        ensure!(status.code() == Some(1), "{status}");
        let output = otelix.output().join("\n");
        let setting = format!(" set {variable} to another port");
        for words in [port.as_str(), &setting] {
            ensure!(output.contains(words), "{output}");
        }
        if cfg!(target_os = "linux") {
            let holder = format!("(pid {}) is using the port", std::process::id());
            ensure!(output.contains(&holder), "{output}");
        }
    }
    Ok(())
}

/// Commands such as `otelix | jq .` must work.
#[tokio::test]
async fn stdout_has_only_log_records_and_the_banner_comes_last() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut otelix = Command::new(env!("CARGO_BIN_EXE_otelix"))
        .env_clear()
        .envs(PORTS)
        .envs(LENS_PORTS)
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (stdout, stderr) = (otelix.stdout.take(), otelix.stderr.take());
    let mut stderr = BufReader::new(stderr.context("no stderr")?).lines();
    let mut banner = Vec::new();
    while let Some(line) = stderr.next_line().await? {
        let is_last = line.contains("Ctrl-C");
        banner.push(line);
        if is_last {
            break;
        }
    }
    let banner = banner.join("\n");
    let data = folder.path().canonicalize()?.join("volumes");
    ensure!(banner.contains(&data.display().to_string()), "{banner}");
    let mut stdout = BufReader::new(stdout.context("no stdout")?).lines();
    // The three services and lens. A thread of its own writes the log, so lines may come after the banner.
    let mut ready = 0;
    while ready < 4 {
        let line = timeout(PATIENCE, stdout.next_line()).await??;
        let line = line.context("the log ends")?;
        let record: serde_json::Value = serde_json::from_str(&line).context(line)?;
        ready += usize::from(record["message"] == "ready");
    }
    otelix.kill().await?;
    Ok(())
}

#[tokio::test]
async fn health_tells_whether_it_runs() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (otelix, url) = start(&folder).await?;
    let port = url.rsplit(':').next().unwrap_or_default().to_owned();
    let health = async || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_otelix"));
        command.args(["--port", &port, "health"]);
        Process::spawn("otelix health", command)?.ended().await
    };
    ensure!(health().await?.success());
    otelix.stop().await?;
    ensure!(health().await?.code() == Some(1));
    Ok(())
}

#[tokio::test]
async fn a_session_survives_a_restart() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let client = Client::builder().cookie_store(true).build()?;

    let (otelix, url) = start(&folder).await?;
    let port = url.rsplit(':').next().unwrap_or_default().to_owned();
    let form = [
        ("email", "ann@example.com"),
        ("password", "correct horse battery"),
    ];
    let answer = client
        .post(format!("{url}/register"))
        .form(&form)
        .send()
        .await?;
    ensure!(answer.status() == StatusCode::OK && answer.url().path() == "/account");

    let secret = folder.path().join("volumes/secrets/jwt");
    let mode = std::fs::metadata(&secret)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the secret has mode {mode:o}");
    let before = std::fs::read(&secret)?;
    ensure!(otelix.stop().await?.success());
    // Earlier versions stored the secret here.
    std::fs::rename(&secret, folder.path().join("volumes/jwt-secret"))?;

    let variables = [("PORT", port.as_str()), PORTS[1], PORTS[2]];
    let mut otelix = spawn(&variables, &folder)?;
    url_of(&mut otelix).await?;
    let page = client.get(format!("{url}/account")).send().await?;
    ensure!(page.url().path() == "/account", "at {}", page.url());
    ensure!(page.text().await?.contains("ann@example.com"));
    ensure!(std::fs::read(&secret)? == before, "the secret has changed");
    ensure!(otelix.stop().await?.success());

    // The session also stays valid if the stack has already created a secret.
    std::fs::rename(&secret, folder.path().join("volumes/jwt-secret"))?;
    std::fs::write(&secret, "another secret, of at least 32 bytes")?;
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
    let mut otelix = spawn(&variables, &folder)?;
    url_of(&mut otelix).await?;
    let page = client.get(format!("{url}/account")).send().await?;
    ensure!(page.url().path() == "/account", "at {}", page.url());
    Ok(())
}

#[tokio::test]
async fn a_second_process_on_a_data_folder_ends_and_names_the_first() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (first, _url) = start(&folder).await?;
    let mut second = spawn(&PORTS, &folder)?;
    let status = second.ended().await?;
    let output = second.output().join("\n");
    ensure!(status.code() == Some(1), "{status}: {output}");
    let pid = first.id().context("no process id")?;
    for words in [".db is in use", &format!("(pid {pid})")] {
        ensure!(output.contains(words), "{output}");
    }
    // After SIGKILL the lock file remains, but it is not locked.
    first.kill().await?;
    start(&folder).await?;
    Ok(())
}

/// Kubernetes sets service links for the services in the namespace of a container.
#[tokio::test]
async fn service_links_are_not_ports() -> anyhow::Result<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otelix"));
    command
        .env_clear()
        .env("USER_PORT", "tcp://10.96.0.7:8080")
        .env("AUTH_PORT", "udp://10.96.0.8:8081")
        // Nothing listens on this port.
        .args(["--port", "1", "health"]);
    let mut health = Process::spawn("otelix health", command)?;
    let status = health.ended().await?;
    ensure!(status.code() == Some(1), "{status}: {:?}", health.output());
    let mut command = Command::new(env!("CARGO_BIN_EXE_otelix"));
    command
        .env_clear()
        .args(["--user-port", "tcp://10.96.0.7:8080"]);
    let status = Process::spawn("otelix", command)?.ended().await?;
    ensure!(
        status.code() == Some(2),
        "service links are ignored in variables only: {status}"
    );
    Ok(())
}

#[tokio::test]
async fn an_empty_secret_file_is_reported() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("volumes"))?;
    let secret = folder.path().join("volumes/jwt-secret");
    std::fs::write(&secret, "")?;
    std::fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
    let mut otelix = spawn(&PORTS, &folder)?;
    let status = otelix.ended().await?;
    let output = otelix.output().join("\n");
    ensure!(status.code() == Some(1), "{status}: {output}");
    for words in ["volumes/jwt-secret", "needs 32", "Remove it"] {
        ensure!(output.contains(words), "{output}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_in_place_of_the_data_folder_is_reported() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("volumes"), "")?;
    let mut otelix = spawn(&PORTS, &folder)?;
    let status = otelix.ended().await?;
    let output = otelix.output().join("\n");
    ensure!(status.code() == Some(1), "{status}: {output}");
    ensure!(
        output.contains("volumes is a file, not a folder"),
        "{output}"
    );
    Ok(())
}

#[tokio::test]
async fn events_need_no_other_program() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut otelix = spawn(&PORTS, &folder)?;
    let url = url_of(&mut otelix).await?;
    let line = otelix
        .line(|line| line.contains("a broker in this"))
        .await?;
    let brokers = line
        .split_whitespace()
        .last()
        .unwrap_or_default()
        .to_owned();

    let form = [
        ("email", "ann@example.com"),
        ("password", "correct horse battery"),
    ];
    let answer = Client::builder().cookie_store(true).build()?;
    let answer = answer.post(format!("{url}/register")).form(&form);
    ensure!(answer.send().await?.status() == StatusCode::OK);
    let kinds = first_events(&brokers).await?;
    ensure!(
        kinds
            == [
                "otelix.auth.login_succeeded.v1",
                "otelix.user.registered.v1"
            ],
        "{kinds:?}"
    );
    ensure!(otelix.stop().await?.success());
    Ok(())
}

#[tokio::test]
async fn open_streams_and_connections_do_not_delay_a_stop() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut otelix, url) = start(&folder).await?;
    let line = otelix.line(|line| line.contains("with reflection")).await?;
    let words = line.split([' ', ',']);
    let addresses: Vec<&str> = words.filter(|word| word.starts_with("127.")).collect();
    ensure!(addresses.len() == 2, "{line}");

    let reader = Client::new()
        .get(format!("{url}/activity/events"))
        .send()
        .await?;
    let pages = url.trim_start_matches("http://");
    let mut open = Vec::new();
    for address in [pages, addresses[0], addresses[1]] {
        open.push(TcpStream::connect(address)?);
        let mut http2 = TcpStream::connect(address)?;
        http2.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")?;
        http2.read_exact(&mut [0])?;
        open.push(http2);
    }
    let mut watched = Vec::new();
    for address in addresses {
        let channel = Channel::from_shared(format!("http://{address}"))?
            .connect()
            .await?;
        let mut health = HealthClient::new(channel);
        let request = HealthCheckRequest::default();
        let mut statuses = health.watch(request).await?.into_inner();
        ensure!(statuses.message().await?.is_some());
        watched.push(statuses);
    }

    let asked = Instant::now();
    ensure!(otelix.stop().await?.success());
    let took = asked.elapsed();
    ensure!(took < Duration::from_secs(1), "{took:?}");
    drop((reader, open, watched));
    Ok(())
}

#[tokio::test]
async fn a_stop_ends_a_start_that_waits_for_its_databases() -> anyhow::Result<()> {
    for name in ["user.db", "auth.db"] {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("volumes");
        std::fs::DirBuilder::new().mode(0o700).create(&data)?;
        // To open a pipe takes until it has a reader.
        let made = Command::new("mkfifo").arg(data.join(name)).status().await?;
        ensure!(made.success(), "{made}");
        let mut otelix = spawn(&PORTS, &folder)?;
        let path = format!("volumes/{name}");
        otelix
            .line(|line| line.contains("opening the database") && line.contains(&path))
            .await?;
        let asked = Instant::now();
        let status = otelix.stop().await?;
        let took = asked.elapsed();
        ensure!(status.success(), "{status}");
        ensure!(took < Duration::from_secs(1), "{name}: {took:?}");
    }
    Ok(())
}

/// A handler that sends the types of events to a channel.
struct Kinds(mpsc::UnboundedSender<&'static str>);

impl Handler for Kinds {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.0
            .send(event.data.kind())
            .map_err(|error| HandlerError::Fatal(error.into()))
    }
}

/// The types of the first two events, sorted.
async fn first_events(brokers: &str) -> anyhow::Result<Vec<&'static str>> {
    let settings = Settings::of(brokers)?;
    let (sender, mut kinds) = mpsc::unbounded_channel();
    let topics = [USER_TOPIC, AUTH_TOPIC];
    let receive = async {
        let first = [kinds.recv().await, kinds.recv().await];
        first.into_iter().flatten().collect()
    };
    let follow = events::follow(
        &settings,
        &topics,
        10,
        Kinds(sender),
        std::future::pending(),
    );
    let mut kinds: Vec<_> = tokio::select! {
        kinds = receive => kinds,
        () = follow => Vec::new(),
        () = tokio::time::sleep(Duration::from_secs(20)) => Vec::new(),
    };
    kinds.sort_unstable();
    Ok(kinds)
}

async fn start(folder: &TempDir) -> anyhow::Result<(Process, String)> {
    let mut otelix = spawn(&PORTS, folder)?;
    let url = url_of(&mut otelix).await?;
    Ok((otelix, url))
}

fn spawn(variables: &[(&str, &str)], folder: &TempDir) -> anyhow::Result<Process> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otelix"));
    command
        .env_clear()
        .envs(LENS_PORTS)
        .envs(variables.iter().copied())
        .current_dir(folder);
    Process::spawn("otelix", command)
}

async fn url_of(otelix: &mut Process) -> anyhow::Result<String> {
    let line = otelix
        .line(|line| line.contains("http://127.0.0.1:"))
        .await?;
    let start = line.find("http://").unwrap_or_default();
    let url = line[start..].split_whitespace().next().unwrap_or_default();
    Ok(url.trim_end_matches('/').to_owned())
}
