//! The state that all handlers share.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use pages::PublicUrl;

use crate::{
    activity::Activity,
    auth::Auth,
    config::{Config, StatusPage, TrustedProxies},
    session::SessionCookie,
    status::Board,
    viewer::Viewer,
};

/// Deadline of a request, from its head to the head of its answer. It is longer than the deadline of a call to the auth service. It does not
/// end event streams, which send their headers at once.
const TIMEOUT: Duration = Duration::from_secs(8);

/// The state that all handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) activity: Activity,
    pub(crate) auth: Auth,
    pub(crate) board: Board,
    pub(crate) cookie: SessionCookie,
    pub(crate) public: Option<PublicUrl>,
    pub(crate) proxies: TrustedProxies,
    pub(crate) status_page: StatusPage,
    pub(crate) timeout: Duration,
    /// What shows traces, if the settings name it.
    pub(crate) viewer: Option<Viewer>,
    ready: AtomicBool,
}

impl App {
    pub(crate) fn new(config: &Config, activity: Activity) -> anyhow::Result<Self> {
        Ok(Self {
            activity,
            auth: Auth::new(&config.auth_service_address),
            board: Board::new(config)?,
            cookie: SessionCookie::new(is_https(config.pages.public_url.as_ref())),
            public: config.pages.public_url.clone(),
            proxies: config.pages.trusted_proxies.clone(),
            status_page: config.pages.status_page,
            timeout: TIMEOUT,
            viewer: Viewer::of(&config.pages),
            ready: AtomicBool::new(true),
        })
    }

    /// Whether browsers use TLS.
    pub(crate) fn is_https(&self) -> bool {
        is_https(self.public.as_ref())
    }

    /// Whether the process is ready for new requests.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// Announces that the process is about to stop: health checks fail from now on.
    pub(crate) fn announce_stop(&self) {
        self.ready.store(false, Ordering::Relaxed);
    }

    /// Ends the streams of events, which would delay the drain.
    pub(crate) fn stop(&self) {
        self.activity.close();
    }
}

fn is_https(public: Option<&PublicUrl>) -> bool {
    public.is_some_and(PublicUrl::is_https)
}
