//! The service on a free port and a temporary folder.

use std::{net::SocketAddr, path::Path, process::Command, sync::Arc};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use proto::user::v1::{
    CreateUserRequest, GetUserRequest, User, VerifyPasswordRequest, get_user_request::Key,
    user_service_client::UserServiceClient,
};
use tempfile::TempDir;
use testing::{channel, program, settings};
use tokio::net::TcpListener;
use tonic::{Code, Status, transport::Channel};
use tonic_types::{ErrorDetails, StatusExt as _};
use user::Config;

/// A valid password.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// The lowest costs that Argon2 accepts.
pub(crate) const CHEAP: [&str; 2] = ["--hash-memory=8", "--hash-iterations=1"];

/// Costs of a hash that takes far longer than a call without one, and one hash at a time.
pub(crate) const SLOW: [&str; 3] = [
    "--hash-memory=19456",
    "--hash-iterations=60",
    "--hash-concurrency=1",
];

pub(crate) type Client = UserServiceClient<Channel>;

/// The service in this process. It ends with the runtime of its test.
pub(crate) struct Service {
    pub(crate) channel: Channel,
    pub(crate) client: Client,
    pub(crate) folder: Arc<TempDir>,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// Starts the service with cheap hashes.
    pub(crate) async fn start() -> Self {
        Self::with(&CHEAP).await
    }

    /// Starts the service with arguments.
    pub(crate) async fn with(args: &[&str]) -> Self {
        Self::again(Arc::new(tempfile::tempdir().unwrap()), args).await
    }

    /// Starts the service on a folder that may hold the data of an earlier instance.
    pub(crate) async fn again(folder: Arc<TempDir>, args: &[&str]) -> Self {
        let data = folder.path().to_str().unwrap();
        let config: Config = settings(&[&["--data", data], args].concat());

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let channel = channel(address);
        let used = Arc::clone(&folder);
        tokio::spawn(async move {
            user::run(config, listener, std::future::pending())
                .await
                .unwrap();
            // A test that keeps only the client must not lose the folder.
            drop(used);
        });
        Self {
            client: Client::new(channel.clone()),
            channel,
            folder,
            address,
        }
    }

    /// A client with its own connection.
    pub(crate) fn connect(&self) -> Client {
        client(self.address)
    }

    /// A second connection to the database, like that of another process.
    pub(crate) fn database(&self) -> SqliteConnection {
        database(self.folder.path())
    }
}

/// The program, on a free port, with data in this folder.
pub(crate) fn binary(data: &Path) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_user"));
    command.env("PORT", "0").env("OTELIX_DATA", data);
    command
}

/// The program with the cheapest hashes.
pub(crate) fn cheap_binary(data: &Path) -> Command {
    let mut command = binary(data);
    command.args(CHEAP);
    command
}

/// A connection to the database of the service in this folder.
pub(crate) fn database(data: &Path) -> SqliteConnection {
    let path = data.join("user.db");
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    // The service may be writing.
    connection
        .batch_execute("PRAGMA busy_timeout = 5000")
        .unwrap();
    connection
}

pub(crate) fn client(address: SocketAddr) -> Client {
    Client::new(channel(address))
}

pub(crate) fn create(email: &str, password: &str) -> CreateUserRequest {
    CreateUserRequest {
        email: email.to_owned(),
        password: password.to_owned(),
        user_id: String::new(),
    }
}

pub(crate) fn create_as(id: &str, email: &str) -> CreateUserRequest {
    CreateUserRequest {
        user_id: id.to_owned(),
        ..create(email, PASSWORD)
    }
}

pub(crate) fn by_id(id: &str) -> GetUserRequest {
    GetUserRequest {
        key: Some(Key::Id(id.to_owned())),
    }
}

pub(crate) fn by_email(email: &str) -> GetUserRequest {
    GetUserRequest {
        key: Some(Key::Email(email.to_owned())),
    }
}

pub(crate) fn verify(email: &str, password: &str) -> VerifyPasswordRequest {
    VerifyPasswordRequest {
        email: email.to_owned(),
        password: password.to_owned(),
    }
}

/// Creates an account, which must succeed.
pub(crate) async fn created(client: &Client, email: &str) -> User {
    let answer = client.clone().create_user(create(email, PASSWORD)).await;
    answer.unwrap().into_inner().user.unwrap()
}

/// The parts of a refusal: code, message, and the details of `google.rpc`.
pub(crate) fn parts(status: &Status) -> (Code, String, ErrorDetails) {
    (
        status.code(),
        status.message().to_owned(),
        status.get_error_details(),
    )
}
