//! The auth service owns the sessions: it opens them as signed tokens, verifies them, and revokes
//! them. It calls the user service for accounts.
//!
//! [`run`] serves `auth.v1.AuthService`. `grpc` translates the protocol and calls `sessions`, which
//! makes the decisions. `sessions` uses `token`, `store`, `limiter` and `users`.

mod config;
mod error;
mod grpc;
mod hs256;
mod limiter;
mod metrics;
mod scope;
mod session_events;
mod sessions;
mod store;
mod token;
mod users;

pub use crate::config::{AttemptLimits, Config, Secrets};

use std::pin::pin;

use anyhow::Context as _;
use chassis::server::Contract;
use events::Outbox;
use proto::auth::v1::auth_service_server::{AuthServiceServer, SERVICE_NAME};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::{
    grpc::Grpc, metrics::Metrics, sessions::Sessions, store::Store, token::Keys, users::Users,
};

/// Size limit of a request. It is smaller than that of `user`, because requests are passed on to
/// `user` with an id added.
const MAX_REQUEST_BYTES: usize = 48 << 10;

/// Serves sessions on `listener` until `shutdown` ends. Then answers open calls and, if the broker
/// answers, sends their events.
///
/// # Errors
/// When a secret is missing or too short, the database cannot be opened, or the server fails.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown);
    let keys = Keys::load(&config.secrets)?;
    let path = config.database.path(env!("CARGO_PKG_NAME"));
    tracing::info!(path = %path.display(), "opening the database");
    let (outbox, relay) = Outbox::new(&config.events, env!("CARGO_PKG_NAME"));
    let open = telemetry::spawn_blocking(move || Store::open(&path, outbox));
    let Some(store) = chassis::until(shutdown.as_mut(), open).await else {
        return Ok(());
    };
    let store = store?;
    let open = store.count_open().await.context("cannot count sessions")?;
    let metrics = Metrics::new(open);
    let users = Users::connect(&config.user_service_address);
    let sessions = Sessions::new(keys, store.clone(), users, &config.limits, metrics.clone());

    let contract = Contract {
        service: SERVICE_NAME,
        methods: proto::METHODS,
        descriptors: proto::DESCRIPTORS,
    };
    let service =
        AuthServiceServer::new(Grpc::new(sessions)).max_decoding_message_size(MAX_REQUEST_BYTES);
    let own = Routes::new(service);
    let service = async {
        tokio::select! {
            outcome = chassis::server::serve(contract, own, listener, config.stop.lame_duck, shutdown) => outcome,
            () = store.remove_expired_forever(&metrics) => Ok(()),
        }
    };
    // Boxed, because it is a large future.
    relay.during(store.database(), Box::pin(service)).await
}
