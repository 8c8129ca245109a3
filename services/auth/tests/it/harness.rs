//! The service on a free port and a temporary folder, and a user service for it.

use std::{net::SocketAddr, path::Path, process::Command, sync::Arc, time::Duration};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use proto::{
    auth::v1::{
        LoginRequest, LogoutRequest, MeRequest, RegisterRequest, RegisterResponse,
        auth_service_client::AuthServiceClient,
    },
    user::v1::User,
};
use tempfile::TempDir;
use testing::{channel, program, settings};
use tokio::net::{TcpListener, TcpSocket};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

/// A valid password.
pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) const SECRET: &str = "a secret of the tests, thirty-two bytes or more";

/// Deadline of a caller of this service, the same as that of `frontend`.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) type Client = AuthServiceClient<Channel>;

/// The auth service in this process. It ends with the runtime of its test.
pub(crate) struct Service {
    pub(crate) channel: Channel,
    pub(crate) client: Client,
    pub(crate) folder: Arc<TempDir>,
}

impl Service {
    /// Starts the service with a real user service.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Like [`Service::start`], with arguments.
    pub(crate) async fn with(args: &[&str]) -> Self {
        Self::before(start_user().await, args).await
    }

    /// Starts the service with a user service at an address, where nothing need listen.
    pub(crate) async fn before(users: SocketAddr, args: &[&str]) -> Self {
        Self::again(Arc::new(tempfile::tempdir().unwrap()), users, args).await
    }

    /// Starts the service on a folder that may hold the data of an earlier instance.
    pub(crate) async fn again(folder: Arc<TempDir>, users: SocketAddr, args: &[&str]) -> Self {
        let data = folder.path().to_str().unwrap();
        let users = users.to_string();
        let mut arguments = vec!["--data", data, "--user-service-address", &users];
        if !args
            .iter()
            .any(|argument| argument.starts_with("--jwt-secret"))
        {
            arguments.extend(["--jwt-secret", SECRET]);
        }
        let config: auth::Config = settings(&[&arguments[..], args].concat());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let channel = channel(listener.local_addr().unwrap());
        let used = Arc::clone(&folder);
        tokio::spawn(async move {
            auth::run(config, listener, std::future::pending())
                .await
                .unwrap();
            // A test that keeps only the client must not lose the folder.
            drop(used);
        });
        Self {
            client: Client::new(channel.clone()),
            channel,
            folder,
        }
    }

    /// A second connection to the database, like that of another process.
    pub(crate) fn database(&self) -> SqliteConnection {
        database(self.folder.path())
    }
}

/// A connection to the database of the service in this folder.
pub(crate) fn database(data: &Path) -> SqliteConnection {
    let path = data.join("auth.db");
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    // The service may be writing.
    connection
        .batch_execute("PRAGMA busy_timeout = 5000")
        .unwrap();
    connection
}

/// The lowest costs that Argon2 accepts.
const CHEAP: [&str; 2] = ["--hash-memory=8", "--hash-iterations=1"];

/// Starts a real user service with cheap hashes on a free port.
pub(crate) async fn start_user() -> SocketAddr {
    start_user_with(&CHEAP).await
}

/// Like [`start_user`], with arguments.
pub(crate) async fn start_user_with(args: &[&str]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    run_user(listener, args);
    address
}

/// Starts a real user service with cheap hashes on a given port.
pub(crate) fn start_user_on(listener: TcpListener) {
    run_user(listener, &CHEAP);
}

fn run_user(listener: TcpListener, args: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let config: user::Config = settings(&[&["--data", data], args].concat());
    tokio::spawn(async move {
        user::run(config, listener, std::future::pending())
            .await
            .unwrap();
        drop(folder);
    });
}

/// A reserved port. Connections to it are refused until [`Port::listen`].
pub(crate) struct Port {
    _kept: TcpSocket,
    pub(crate) address: SocketAddr,
}

impl Port {
    pub(crate) fn new() -> Self {
        let socket = Self::socket("127.0.0.1:0".parse().unwrap());
        Self {
            address: socket.local_addr().unwrap(),
            _kept: socket,
        }
    }

    pub(crate) fn listen(&self) -> TcpListener {
        Self::socket(self.address).listen(128).unwrap()
    }

    fn socket(address: SocketAddr) -> TcpSocket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseport(true).unwrap();
        socket.bind(address).unwrap();
        socket
    }
}

/// The program, on a free port, with data in this folder and without a secret.
pub(crate) fn binary(data: &Path, users: SocketAddr) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_auth"));
    command
        .env("PORT", "0")
        .env("OTELIX_DATA", data)
        .env("USER_SERVICE_ADDRESS", users.to_string());
    command
}

/// An address on which nothing listens.
pub(crate) fn nowhere() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

pub(crate) fn client(address: SocketAddr) -> Client {
    Client::new(channel(address))
}

/// A registration without a client address, so that the peer address of the connection counts.
pub(crate) fn register(email: &str, password: &str) -> RegisterRequest {
    register_from("", email, password)
}

pub(crate) fn register_from(address: &str, email: &str, password: &str) -> RegisterRequest {
    RegisterRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        client_address: address.to_owned(),
        ..RegisterRequest::default()
    }
}

/// A sign-in without a client address, so that the peer address of the connection counts.
pub(crate) fn login(email: &str, password: &str) -> LoginRequest {
    login_from("", email, password)
}

pub(crate) fn login_from(address: &str, email: &str, password: &str) -> LoginRequest {
    LoginRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        client_address: address.to_owned(),
        ..LoginRequest::default()
    }
}

pub(crate) fn me(token: &str) -> MeRequest {
    MeRequest {
        token: token.to_owned(),
    }
}

pub(crate) fn logout(token: &str) -> LogoutRequest {
    LogoutRequest {
        token: token.to_owned(),
    }
}

/// Registers an account, which must succeed. Returns its token and the user.
pub(crate) async fn registered(client: &Client, email: &str) -> (String, User) {
    let outcome = client.clone().register(register(email, PASSWORD)).await;
    let RegisterResponse { session, user } = outcome.unwrap().into_inner();
    (session.unwrap().token, user.unwrap())
}

/// Whether a token is accepted. A refusal must have the status of invalid sessions.
pub(crate) async fn is_valid(client: &Client, token: &str) -> bool {
    match client.clone().me(me(token)).await {
        Ok(_) => true,
        Err(status) => {
            is_invalid_session(&status);
            false
        }
    }
}

/// Asserts that a status is that of all invalid tokens.
pub(crate) fn is_invalid_session(status: &Status) {
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert_eq!(status.message(), "the session is not valid");
    assert!(status.details().is_empty(), "{status:?}");
}

/// The delay in a `RESOURCE_EXHAUSTED` status.
pub(crate) fn retry_delay(status: &Status) -> Duration {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let details = status.get_error_details();
    details.retry_info().unwrap().retry_delay.unwrap()
}
