//! The web pages: register, sign in, account, sign out, the status of every part, and what happened
//! lately.
//!
//! HTML is rendered here and works without scripts; the one there is adds new events to a list.
//! This process keeps no state of its own: the session lives in a cookie that only the auth
//! service can make or read, accounts are read through it, and every instance reads every event.
//! Activity is for everybody, and so is Status unless a setting says otherwise: they name parts and
//! ids of accounts, and no person.
//! What must not happen here: deciding whether an email, a password or a token is good, and
//! writing any of them to a log.

mod activity;
mod app;
mod assets;
mod auth;
mod client_address;
mod config;
mod cross_origin;
mod form;
mod handlers;
mod headers;
mod pages;
mod router;
mod session;
mod status;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::oneshot};
use tonic_health::ServingStatus;

pub use crate::config::{
    Config, Pages, PublicUrl, StatusCheck, StatusChecks, StatusPage, Target, TrustedProxies,
};

// For tests, which bring events of their own.
#[doc(hidden)]
pub use crate::activity::{Activity, Entry, Kind, Source};

use crate::app::App;

/// Serves the pages until `shutdown` ends: then says so to health checks, takes no new
/// connections, and waits for the requests under way.
///
/// # Errors
/// When the server cannot be started, or no more events are read.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let events = config.events.clone();
    let activity = Activity::of(&events);
    let (stop, stopped) = oneshot::channel::<()>();
    let feeding = activity.clone().feed(&events, async {
        // An error means that the sender is gone, which is a stop too.
        let _ = stopped.await;
    });
    let serving = async {
        let outcome = serve(config, activity, listener, shutdown).await;
        drop(stop);
        outcome
    };
    let (mut serving, mut feeding) = (Box::pin(serving), Box::pin(feeding));
    tokio::select! {
        outcome = &mut serving => {
            feeding.await;
            outcome
        }
        () = &mut feeding => Err(anyhow::anyhow!("no more events are read")),
    }
}

/// The same with events from `activity`, which a test fills by itself.
///
/// # Errors
/// When the server cannot be started.
#[doc(hidden)] // For tests.
pub async fn serve(
    config: Config,
    activity: Activity,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the listener has no address")?;
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status(<Config as chassis::Config>::SERVICE, ServingStatus::Serving)
        .await;
    let app = Arc::new(App::new(&config, activity)?);
    let router = router::router(Arc::clone(&app), health_service);

    tracing::info!(%address, "ready");
    let stop = async {
        shutdown.await;
        app.stop();
        for service in ["", <Config as chassis::Config>::SERVICE] {
            health
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
    };
    chassis::http::serve(router, listener, stop).await;
    Ok(())
}
