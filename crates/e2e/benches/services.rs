//! Benchmark of the services' speed and memory, and of the cost of telemetry: `just bench`.
//!
//! Callers and services share this machine's processors, so compare within one run only.
//! Telemetry off and on take turns, and the median round counts. The reference for `GetUser` is a
//! bare tonic server that answers the same message from memory: this program with `--reference`. It runs beside
//! `user`, and they take turns.

use std::{
    collections::HashMap,
    io::Write as _,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Context as _;
use e2e::{
    Process, System, collector,
    compare::{Candidate, Measured, compare},
    measure::{Sample, drive, median, print, table, wanted},
    system::another_address,
};
use proto::{
    auth::v1::{MeRequest, RegisterRequest, auth_service_client::AuthServiceClient},
    user::v1::{
        CreateUserRequest, CreateUserResponse, GetUserRequest, GetUserResponse, User,
        VerifyPasswordRequest, VerifyPasswordResponse,
        get_user_request::Key,
        user_service_client::UserServiceClient,
        user_service_server::{UserService, UserServiceServer},
    },
};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command};
use tonic::{
    Request, Response, Status,
    transport::{self, Channel, server::TcpIncoming},
};

const CALLERS: [usize; 3] = [1, 8, 64];
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);
const STARTS: usize = 9;

/// Callers and connections that compare `GetUser` with the reference.
const LIMIT: (usize, usize) = (64, 4);
const LIMIT_ROUNDS: usize = 30;
const LIMIT_ROUND: Duration = Duration::from_millis(500);

/// The argument that makes this program the reference server.
const REFERENCE: &str = "--reference";

/// The id of the only user of the reference server.
const USER_ID: &str = "018bcfe5-6800-7000-8000-000000000000";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    if wanted()?.is_none() {
        return Ok(());
    }
    if std::env::args().any(|argument| argument == REFERENCE) {
        return serve_reference().await;
    }
    starts().await?;
    limit().await?;
    loads().await
}

async fn loads() -> anyhow::Result<()> {
    let mut calls = table([
        "call",
        "callers",
        "telemetry",
        "calls/s",
        "p50 ms",
        "p99 ms",
    ]);
    let mut memory = table(["process", "telemetry", "idle MB", "under load MB"]);
    // The rounds, by call, number of callers, and telemetry off or on.
    let mut samples = vec![[const { Vec::<Sample>::new() }; 2]; 2 * CALLERS.len() + 1];
    let mut megabytes = [[0.0; 4]; 2];

    for round in 0..ROUNDS {
        for telemetry in [false, true] {
            let on = usize::from(telemetry);
            let endpoint = collector::sink().await?;
            let variables = if telemetry {
                [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())]
            } else {
                [("OTEL_SDK_DISABLED", "true")]
            };
            let system = System::start(&variables).await?;
            let idle = [system.user.memory()?, system.auth.memory()?];

            let user = connect(&system.user_address.to_string()).await?;
            let auth = connect(&system.auth_address.to_string()).await?;
            let (id, token) = register(&auth, "bench@example.com").await?;

            for (index, callers) in CALLERS.into_iter().enumerate() {
                samples[index][on].push(get_user(&user, &id, callers).await?);
                samples[CALLERS.len() + index][on].push(me(&auth, &token, callers).await?);
            }
            let loaded = [system.user.memory()?, system.auth.memory()?];
            samples[2 * CALLERS.len()][on].push(registrations(&auth, round).await?);

            let mb = |bytes: u64| bytes as f64 / 1e6;
            megabytes[on] = [mb(idle[0]), mb(loaded[0]), mb(idle[1]), mb(loaded[1])];
        }
    }

    let names = CALLERS
        .map(|callers| ("GetUser", callers))
        .into_iter()
        .chain(CALLERS.map(|callers| ("Me", callers)))
        .chain([("Register", 8)]);
    for ((name, callers), rounds) in names.zip(&mut samples) {
        let off = median(&mut rounds[0])?;
        let on = median(&mut rounds[1])?;
        calls.add_row(row(name, callers, "off", off));
        calls.add_row(row(name, callers, "on", on));
        calls.add_row([
            String::new(),
            String::new(),
            "on/off".to_owned(),
            format!("{:.2}", on.rate / off.rate),
            format!("{:.2}", on.p50 / off.p50),
            format!("{:.2}", on.p99 / off.p99),
        ]);
    }
    for (telemetry, figures) in ["off", "on"].into_iter().zip(megabytes) {
        for (process, pair) in ["user", "auth"].into_iter().zip(figures.chunks(2)) {
            memory.add_row([
                process.to_owned(),
                telemetry.to_owned(),
                format!("{:.1}", pair[0]),
                format!("{:.1}", pair[1]),
            ]);
        }
    }
    print(&calls)?;
    print(&memory)
}

fn row(call: &str, callers: usize, telemetry: &str, sample: Sample) -> [String; 6] {
    [
        call.to_owned(),
        callers.to_string(),
        telemetry.to_owned(),
        format!("{:.0}", sample.rate),
        format!("{:.2}", sample.p50 * 1e3),
        format!("{:.2}", sample.p99 * 1e3),
    ]
}

/// A user service that answers every `GetUser` with the same user.
struct Reference;

#[tonic::async_trait]
impl UserService for Reference {
    async fn create_user(
        &self,
        _: Request<CreateUserRequest>,
    ) -> Result<Response<CreateUserResponse>, Status> {
        Err(Status::unimplemented("the reference looks up only"))
    }

    async fn verify_password(
        &self,
        _: Request<VerifyPasswordRequest>,
    ) -> Result<Response<VerifyPasswordResponse>, Status> {
        Err(Status::unimplemented("the reference looks up only"))
    }

    async fn get_user(
        &self,
        _: Request<GetUserRequest>,
    ) -> Result<Response<GetUserResponse>, Status> {
        let created_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Ok(Response::new(GetUserResponse {
            user: Some(User {
                id: USER_ID.to_owned(),
                email: "bench@example.com".to_owned(),
                created_at: Some(created_at.into()),
            }),
        }))
    }
}

async fn serve_reference() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    transport::Server::builder()
        .add_service(UserServiceServer::new(Reference))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

/// A server of `GetUser`.
#[derive(Debug)]
struct Server {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl Measured for Server {
    fn processes(&self) -> Vec<&Process> {
        vec![&self.process]
    }
}

impl Server {
    /// The reference, as a separate process like the services.
    async fn reference() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(REFERENCE);
        let mut process = Process::spawn("the reference", command)?;
        let line = process
            .line(|line| line.parse::<SocketAddr>().is_ok())
            .await?;
        Ok(Self {
            process,
            address: line.parse()?,
            _folder: tempfile::tempdir()?,
        })
    }

    /// The user service without telemetry.
    async fn user() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let variables = [("PORT", "0"), ("OTEL_SDK_DISABLED", "true")];
        let mut process = Process::start("user", &[], &variables, folder.path())?;
        Ok(Self {
            address: process.ready().await?,
            process,
            _folder: folder,
        })
    }
}

/// Compares `GetUser` with the reference.
async fn limit() -> anyhow::Result<()> {
    let (callers, connections) = LIMIT;
    let mut candidates = Vec::new();
    let mut clients = HashMap::new();
    for (name, server) in [
        ("bare tonic", Server::reference().await?),
        ("bare tonic again", Server::reference().await?),
        ("user", Server::user().await?),
    ] {
        let mut channels = Vec::new();
        for _ in 0..connections {
            channels.push(connect(&server.address.to_string()).await?);
        }
        let mut client = UserServiceClient::new(channels[0].clone());
        let id = match name {
            "user" => {
                let request = CreateUserRequest {
                    email: "bench@example.com".to_owned(),
                    password: "correct horse battery".to_owned(),
                    ..CreateUserRequest::default()
                };
                let answer = client.create_user(request).await?.into_inner();
                answer.user.context("no user")?.id
            }
            _ => USER_ID.to_owned(),
        };
        clients.insert(server.address, (channels, id));
        candidates.push(Candidate::new(name, server));
    }
    let get_user = async |server: &Server| {
        let (channels, id) = clients.get(&server.address).context("no client")?.clone();
        drive(callers, LIMIT_ROUND, move |caller, _| {
            let channel = channels[caller % channels.len()].clone();
            let key = Some(Key::Id(id.clone()));
            let mut client = UserServiceClient::new(channel);
            async move { client.get_user(GetUserRequest { key }).await.map(drop) }
        })
        .await
    };
    print(&compare("GetUser", &mut candidates, LIMIT_ROUNDS, get_user).await?)
}

/// Measures the time from the start of each process until it is ready.
async fn starts() -> anyhow::Result<()> {
    let mut report = table(["process", "start to ready, median ms", "max ms"]);
    let secret = ("JWT_SECRET", e2e::system::SECRET);
    let ports = [
        ("PORT", "0"),
        ("AUTH_PORT", "0"),
        ("USER_PORT", "0"),
        ("LENS_PORT", "0"),
        ("OTLP_GRPC_PORT", "0"),
        ("OTLP_HTTP_PORT", "0"),
        secret,
    ];
    for name in ["user", "auth", "frontend", "otelix"] {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let folder = tempfile::tempdir()?;
            let started = Instant::now();
            let mut process = Process::start(name, &[], &ports, folder.path())?;
            match name {
                // Lens and each service log that they are ready. The banner comes last.
                "otelix" => drop(process.line(|line| line.starts_with("  open  ")).await?),
                _ => drop(process.ready().await?),
            }
            times.push(started.elapsed());
            process.stop().await?;
        }
        times.sort();
        let ms = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
        report.add_row([
            name.to_owned(),
            ms(times[STARTS / 2]),
            ms(times[STARTS - 1]),
        ]);
    }
    print(&report)
}

async fn connect(address: &str) -> anyhow::Result<Channel> {
    Ok(Channel::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .connect()
        .await?)
}

async fn register(auth: &Channel, email: &str) -> anyhow::Result<(String, String)> {
    let request = RegisterRequest {
        email: email.to_owned(),
        password: "correct horse battery".to_owned(),
        client_address: another_address(),
        ..RegisterRequest::default()
    };
    let answer = AuthServiceClient::new(auth.clone())
        .register(request)
        .await?
        .into_inner();
    let user = answer.user.context("no user")?;
    let session = answer.session.context("no session")?;
    Ok((user.id, session.token))
}

async fn get_user(user: &Channel, id: &str, callers: usize) -> anyhow::Result<Sample> {
    let (user, id) = (user.clone(), id.to_owned());
    drive(callers, ROUND, move |_, _| {
        let mut client = UserServiceClient::new(user.clone());
        let key = Some(Key::Id(id.clone()));
        async move { client.get_user(GetUserRequest { key }).await.map(drop) }
    })
    .await
}

async fn me(auth: &Channel, token: &str, callers: usize) -> anyhow::Result<Sample> {
    let (auth, token) = (auth.clone(), token.to_owned());
    drive(callers, ROUND, move |_, _| {
        let mut client = AuthServiceClient::new(auth.clone());
        let token = token.clone();
        async move { client.me(MeRequest { token }).await.map(drop) }
    })
    .await
}

async fn registrations(auth: &Channel, round: usize) -> anyhow::Result<Sample> {
    let auth = auth.clone();
    drive(8, ROUND, move |caller, call| {
        let mut client = AuthServiceClient::new(auth.clone());
        let request = RegisterRequest {
            email: format!("{round}-{caller}-{call}@example.com"),
            password: "correct horse battery".to_owned(),
            client_address: another_address(),
            ..RegisterRequest::default()
        };
        async move { client.register(request).await.map(drop) }
    })
    .await
}
