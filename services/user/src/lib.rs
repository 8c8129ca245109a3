//! The user service owns the accounts: emails, and passwords as Argon2id hashes. The hashes never
//! leave the process.
//!
//! [`run`] serves `user.v1.UserService`. `grpc` translates the protocol and calls `accounts`, which
//! makes the decisions. `accounts` uses `store` and `hasher`.

mod accounts;
mod config;
mod costs;
mod error;
mod grpc;
mod hasher;
mod password;
mod store;

pub use crate::config::{Config, Hashing};

use std::pin::pin;

use anyhow::Context as _;
use chassis::server::Contract;
use events::Outbox;
use proto::user::v1::user_service_server::{SERVICE_NAME, UserServiceServer};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::{accounts::Accounts, grpc::Grpc, hasher::Hasher, store::Store};

/// Size limit of a request. It is larger than that of `auth`, which adds an id to requests and
/// passes them on.
const MAX_REQUEST_BYTES: usize = 64 << 10;

/// Serves accounts on `listener` until `shutdown` ends. Then answers open calls and, if the broker
/// answers, sends their events.
///
/// # Errors
/// When the database cannot be opened, or the server fails.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown);
    let path = config.database.path(env!("CARGO_PKG_NAME"));
    tracing::info!(path = %path.display(), "opening the database");
    let (outbox, relay) = Outbox::new(&config.events, env!("CARGO_PKG_NAME"));
    let open = telemetry::spawn_blocking(move || Store::open(&path, outbox));
    let Some(store) = chassis::until(shutdown.as_mut(), open).await else {
        return Ok(());
    };
    let store = store?;
    let database = store.database();
    let hasher = Hasher::new(&config.hashing).context("cannot hash passwords")?;
    tracing::info!(
        memory_mib = f64::from(config.hashing.hash_memory) / 1024.0,
        iterations = config.hashing.hash_iterations,
        parallelism = hasher::PARALLELISM,
        concurrency = config.hashing.concurrency(),
        queue = config.hashing.hash_queue,
        "hashing passwords with Argon2id"
    );
    let accounts = Accounts::open(store, hasher).await;
    let accounts = accounts.context("cannot count the accounts")?;
    let service =
        UserServiceServer::new(Grpc::new(accounts)).max_decoding_message_size(MAX_REQUEST_BYTES);

    let contract = Contract {
        service: SERVICE_NAME,
        methods: proto::METHODS,
        descriptors: proto::DESCRIPTORS,
    };
    let service = chassis::server::serve(
        contract,
        Routes::new(service),
        listener,
        config.stop.lame_duck,
        shutdown,
    );
    relay.during(database, service).await
}
