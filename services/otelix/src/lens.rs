//! Lens in this process: it receives the telemetry of the services, and that of other programs.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use anyhow::Context as _;
use chassis::process::Prepared;
use lens::{Lens, Listeners};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{Config, config::Switch};

/// Memory for telemetry if the settings have none, in bytes.
const MEMORY: u64 = 64 << 20;

/// What became of lens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Viewer {
    /// It runs.
    Runs(Places),
    /// Every signal is sent elsewhere.
    Elsewhere,
    /// The settings switch it off.
    Off,
}

/// The addresses of lens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Places {
    pub(crate) pages: SocketAddr,
    /// The ports for OTLP. The first is meant for gRPC, the second for HTTP.
    pub(crate) otlp: [SocketAddr; 2],
    /// The ports of the settings that other programs use.
    pub(crate) taken: Vec<u16>,
    /// The signals of the services that lens receives: `traces`, `metrics`, `logs`.
    pub(crate) signals: Vec<&'static str>,
}

/// The settings, and what became of lens.
#[derive(Debug)]
pub struct Parts {
    pub(crate) config: Config,
    pub(crate) viewer: Viewer,
    pub(crate) lens: Option<Bound>,
}

/// Binds the ports of lens, and sends the signals to it that have no endpoint.
///
/// # Errors
/// When lens cannot be started.
pub async fn prepare(mut config: Config) -> anyhow::Result<Prepared<Parts>> {
    let signals: Vec<_> = config.telemetry.without_endpoint().collect();
    let is_wanted = match config.lens {
        Switch::Off => false,
        Switch::On => true,
        Switch::Auto => !signals.is_empty() || !config.telemetry.otlp.has_endpoint(),
    };
    if !is_wanted {
        let viewer = match config.lens {
            Switch::Off => Viewer::Off,
            Switch::Auto | Switch::On => Viewer::Elsewhere,
        };
        return Ok(Prepared {
            telemetry: chassis::Config::telemetry(&config),
            parts: Parts {
                config,
                viewer,
                lens: None,
            },
            end: Box::pin(async {}),
        });
    }

    let mut taken = Vec::new();
    let mut bind = async |port| bind(config.listen.listen_address, port, &mut taken).await;
    let pages = bind(config.lens_port).await?;
    let [grpc, http] = config.lens_settings.otlp_ports().map(|(port, _)| port);
    let (grpc, http) = (bind(grpc).await?, bind(http).await?);
    let places = Places {
        pages: pages.local_addr()?,
        otlp: [grpc.local_addr()?, http.local_addr()?],
        taken,
        signals,
    };
    if !places.signals.is_empty() {
        let endpoint = chassis::health::url(places.otlp[0]);
        let endpoint = endpoint.parse().map_err(anyhow::Error::msg)?;
        config.telemetry.otlp.set_endpoint(endpoint);
    }
    if places.signals.contains(&"traces") && config.pages.lens_url.is_none() {
        config.pages.lens_url = Some(chassis::health::url(places.pages).parse()?);
    }

    let lens = Lens::of(&config.lens_settings, MEMORY)?;
    let listeners = Listeners {
        pages,
        otlp: vec![grpc, http],
    };
    let (started, task) = oneshot::channel();
    let stop = CancellationToken::new();
    let bound = Bound {
        lens,
        settings: config.lens_settings.clone(),
        listeners,
        stopped: stop.clone(),
        started,
    };
    Ok(Prepared {
        telemetry: chassis::Config::telemetry(&config),
        parts: Parts {
            config,
            viewer: Viewer::Runs(places),
            lens: Some(bound),
        },
        end: Box::pin(async move {
            stop.cancel();
            // An error means that it was not started.
            let Ok(task) = task.await else { return };
            if let Ok(Err(error)) = task.await {
                chassis::print_error(&format!("lens failed: {error:#}"));
            }
        }),
    })
}

/// Lens with its ports, before it serves. Clients that connect wait.
#[derive(Debug)]
pub(crate) struct Bound {
    lens: Arc<Lens>,
    settings: lens::Settings,
    listeners: Listeners,
    stopped: CancellationToken,
    started: oneshot::Sender<JoinHandle<anyhow::Result<()>>>,
}

impl Bound {
    /// Serves as a task of its own, which ends after telemetry. It starts when telemetry does, because it logs.
    pub(crate) fn start(self) {
        let stopped = self.stopped.cancelled_owned();
        let serving =
            async move { lens::serve(self.lens, &self.settings, self.listeners, stopped).await };
        // If the receiver is gone, the process ends already.
        let _ = self.started.send(tokio::spawn(serving));
    }
}

/// Listens on a port or, if another program has it, on a free one.
async fn bind(ip: IpAddr, port: u16, taken: &mut Vec<u16>) -> anyhow::Result<TcpListener> {
    let listener = match TcpListener::bind((ip, port)).await {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            taken.push(port);
            TcpListener::bind((ip, 0)).await
        }
        outcome => outcome,
    };
    listener.with_context(|| format!("lens cannot listen on port {port} of {ip}"))
}
