//! The web pages: register, sign in, account, sign out, the status of every part, and recent
//! events.
//!
//! The server renders all HTML, and all pages work without scripts. The only script adds new events
//! to the Activity page.
//!
//! The process stores no state. The session is a token in a cookie, which only the auth service
//! issues and verifies. Accounts are read through the auth service, and every instance reads every
//! event.
//!
//! The Activity page is public, and so is the Status page by default. They show names of parts and
//! parts of account ids, but no email.
//!
//! This crate must not decide whether an email, a password or a token is valid, and must not log
//! any of them.

mod activity;
mod app;
mod auth;
mod client_address;
mod config;
mod form;
mod handlers;
mod pages;
mod router;
mod session;
mod sign_in_trace;
mod status;
mod viewer;

use std::sync::Arc;

use anyhow::Context as _;
use tokio::{net::TcpListener, sync::oneshot};
use tonic_health::ServingStatus;

pub use crate::config::{
    Config, Pages, StatusCheck, StatusChecks, StatusPage, Target, TrustedProxies,
};

// For tests, which supply their own events.
#[doc(hidden)]
pub use crate::activity::{Activity, Entry, Kind, Source};

use crate::app::App;

/// Serves the pages until `shutdown` ends. Then health checks fail. After the time of the lame duck, new
/// connections are refused, and open requests are answered.
///
/// # Errors
/// When the server cannot be started, or the consumer of events ends.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let events = config.events.clone();
    let activity = Activity::of(&events);
    let (stop, stopped) = oneshot::channel::<()>();
    let feeding = activity.clone().feed(&events, async {
        // An error means that the sender was dropped, which is a stop too.
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
        () = &mut feeding => Err(anyhow::anyhow!("the consumer of events has ended")),
    }
}

/// Like [`run`], with events from `activity`, which the test fills.
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
        app.announce_stop();
        for service in ["", <Config as chassis::Config>::SERVICE] {
            health
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
        tokio::time::sleep(config.stop.lame_duck).await;
        app.stop();
    };
    chassis::http::serve(router, listener, stop).await;
    Ok(())
}
