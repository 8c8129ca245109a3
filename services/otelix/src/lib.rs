//! The three services and lens in one process, for a single user on one machine.
//!
//! The services are the same as in separate processes, and call each other over gRPC on the
//! loopback interface. [`run`] also creates the secret that signs tokens, which is an operator's
//! task otherwise.

mod banner;
mod config;
mod lens;
mod reach;

pub use crate::{
    config::Config,
    lens::{Parts, prepare},
};

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context as _;
use events::Broker;
use setup::Secret;
use telemetry::Service;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::banner::Addresses;

/// Serves the pages on `listener`, and the services behind them on their own ports, until
/// `shutdown` ends.
///
/// # Errors
/// When a port is in use, the data folder cannot be used, or a service fails.
pub async fn run(
    parts: Parts,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let Parts {
        mut config,
        viewer,
        lens,
    } = parts;
    if let Some(lens) = lens {
        lens.start();
    }
    let (user_listener, user_address) = listen(config.user_port, "USER_PORT").await?;
    let (auth_listener, auth_address) = listen(config.auth_port, "AUTH_PORT").await?;
    // Kept until the services have ended, because they send their last events at a stop.
    let broker = broker(&mut config)?;
    let secret = Secret::Jwt.provide(&config.data.path)?;
    // The secret of an earlier version. `provide` leaves it in place if the stack already created
    // one.
    let former = Secret::Jwt.former(&config.data.path);

    let user = config.user(user_address);
    let auth = config.auth(auth_address, user_address, secret, former);
    let frontend = config.frontend(auth_address, user_address);
    let pages = listener
        .local_addr()
        .context("the listener has no address")?;

    let mut shutdown = Box::pin(shutdown);

    // Each service stops after its callers, so that no call fails during a stop.
    let (stop_auth, stop_user) = (CancellationToken::new(), CancellationToken::new());
    let frontend = async {
        let others = async {
            for address in [user_address, auth_address] {
                ready(address).await;
            }
        };
        if chassis::until(shutdown.as_mut(), others).await.is_none() {
            return Ok(());
        }
        let addresses = Addresses {
            pages,
            auth: auth_address,
            user: user_address,
        };
        let frontend = frontend::run(frontend, listener, shutdown);
        let frontend = Service::named("frontend").run(Box::pin(frontend));
        // Printed after the last log line of the start, so that it stays visible.
        let banner = async {
            ready(pages).await;
            let dead = reach::unreachable(&config.telemetry).await;
            banner::print(&config, addresses, &viewer, &dead, broker.is_some());
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            outcome = frontend => outcome.context("frontend"),
            never = banner => match never {},
        }
    };
    let frontend = async {
        let outcome = frontend.await;
        stop_auth.cancel();
        outcome
    };
    let auth = async {
        let auth = auth::run(auth, auth_listener, stop_auth.clone().cancelled_owned());
        let outcome = Service::named("auth").run(Box::pin(auth)).await;
        stop_user.cancel();
        outcome.context("auth")
    };
    let user = async {
        let user = user::run(user, user_listener, stop_user.clone().cancelled_owned());
        Service::named("user")
            .run(Box::pin(user))
            .await
            .context("user")
    };
    // Boxed, because the futures are large.
    tokio::try_join!(Box::pin(frontend), Box::pin(auth), Box::pin(user))?;
    Ok(())
}

/// Starts a broker in this process, unless the settings name one.
fn broker(config: &mut Config) -> anyhow::Result<Option<Broker>> {
    if config.events.is_enabled() {
        return Ok(None);
    }
    let broker = Broker::start(config.events.kafka_partitions).context("cannot start a broker")?;
    config.events.kafka_brokers = Some(broker.address().clone());
    Ok(Some(broker))
}

async fn listen(port: u16, variable: &str) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let listener = chassis::listen(address, variable).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Waits until a service is ready. Has no deadline: if the service fails, the caller ends this
/// wait.
async fn ready(address: SocketAddr) {
    while chassis::health::check(&chassis::health::url(address), "")
        .await
        .is_err()
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
