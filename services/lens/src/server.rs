//! The servers: pages with the API, and OTLP on two ports.

use std::{net::SocketAddr, pin::pin, sync::Arc};

use axum::Router;
use chassis::http::Fault;
use tokio::net::TcpListener;
use tonic_health::ServingStatus;

use crate::{
    Config, Lens, Settings,
    archive::{self, Archive},
    guard::Guard,
    machine, router,
};

/// Memory for telemetry if the settings have none, in bytes.
const MEMORY: u64 = 256 << 20;

/// Least memory that is of use, in bytes.
const MIN_MEMORY: u64 = 8 << 20;

/// The listeners of lens.
#[derive(Debug)]
pub struct Listeners {
    /// For pages and API.
    pub pages: TcpListener,
    /// For OTLP. Each takes both protocols.
    pub otlp: Vec<TcpListener>,
}

/// Runs lens as a program until `shutdown` ends.
///
/// # Errors
/// When a port is in use, or the data folder cannot be used.
pub async fn run(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let ip = config.listen.listen_address;
    let mut otlp = Vec::new();
    for (port, variable) in config.settings.otlp_ports() {
        otlp.push(chassis::listen(SocketAddr::new(ip, port), variable).await?);
    }
    let listeners = Listeners {
        pages: listener,
        otlp,
    };
    let mut shutdown = pin!(shutdown);
    let memory = memory(&config.settings, MEMORY)?;
    let archive = match &config.data {
        None => None,
        Some(folder) => {
            let open = Archive::open(folder, memory);
            match chassis::until(shutdown.as_mut(), open).await {
                None => return Ok(()),
                Some(archive) => Some(archive?),
            }
        }
    };
    let lens = Lens::with(memory, archive);
    let serving = async {
        let served = serve(Arc::clone(&lens), &config.settings, listeners, shutdown).await;
        if let Some(archive) = &lens.archive {
            archive.close();
        }
        served
    };
    let (served, ()) = tokio::join!(serving, archive::keep(&lens));
    served
}

/// Serves pages and takes OTLP until `stop` ends. Then it waits for the requests under way, and ends streams.
///
/// # Errors
/// When a listener has no address, or a secret cannot be read.
pub async fn serve(
    lens: Arc<Lens>,
    settings: &Settings,
    listeners: Listeners,
    stop: impl Future<Output = ()> + Send,
) -> anyhow::Result<()> {
    let address = listeners.pages.local_addr()?;
    let otlp = listeners.otlp.iter();
    let ports = otlp.filter_map(|listener| Some(listener.local_addr().ok()?.port()));
    lens.listens(ports.collect());
    let guard = Arc::new(Guard::new(settings, address)?);
    let (health, health_service) = tonic_health::server::health_reporter();
    for service in ["", <Config as chassis::Config>::SERVICE] {
        health
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    let receiver = router::receiver(&lens);
    let pages = router::pages(
        Arc::clone(&lens),
        receiver.clone(),
        Arc::clone(&guard),
        health_service,
    );
    let receiver = router::otlp(&lens, receiver, &guard);
    let otlp: Vec<_> = listeners
        .otlp
        .iter()
        .map(TcpListener::local_addr)
        .collect::<Result<_, _>>()?;
    machine::check_memory(lens.memory);
    tracing::info!(%address, ?otlp, "ready");

    let stopping = async {
        stop.await;
        for service in ["", <Config as chassis::Config>::SERVICE] {
            health
                .set_service_status(service, ServingStatus::NotServing)
                .await;
        }
        lens.stop();
    };
    let serving = async {
        let otlp = listeners.otlp.into_iter();
        let otlp = otlp.map(|listener| serve_port(&lens, receiver.clone(), listener));
        let pages = serve_port(&lens, pages, listeners.pages);
        tokio::join!(pages, futures_util::future::join_all(otlp));
    };
    tokio::join!(stopping, serving);
    Ok(())
}

/// Serves a port, and tells the doctor about clients that speak another protocol.
async fn serve_port(lens: &Arc<Lens>, router: Router, listener: TcpListener) {
    let port = listener.local_addr().map_or(0, |address| address.port());
    let noting = Arc::clone(lens);
    let note = move |client: SocketAddr, fault| {
        let client = client.ip().to_canonical();
        let reason = match fault {
            Fault::Tls => format!(
                "a client at {client} speaks TLS to port {port}, which takes HTTP and gRPC without TLS"
            ),
            Fault::Protocol => {
                format!("a client at {client} sent bytes to port {port} that are no HTTP request")
            }
            Fault::Head => format!(
                "a client at {client} sent more headers to port {port} than fit: 100 of them, or 32 KiB"
            ),
        };
        noting.doctor.turned_away(None, &reason);
    };
    chassis::http::serve_noting(router, listener, lens.stopped(), note).await;
}

impl Lens {
    /// An empty lens with the memory that the settings say.
    ///
    /// # Errors
    /// When that is less than 8 MiB.
    pub fn of(settings: &Settings, default: u64) -> anyhow::Result<Arc<Self>> {
        Ok(Self::new(memory(settings, default)?))
    }
}

/// The memory that the settings say, in bytes.
fn memory(settings: &Settings, default: u64) -> anyhow::Result<usize> {
    let memory = settings.memory.map_or(default, |memory| memory.as_u64());
    anyhow::ensure!(
        memory >= MIN_MEMORY,
        "LENS_MEMORY is less than {} MiB, which is too little for a trace",
        MIN_MEMORY >> 20
    );
    Ok(usize::try_from(memory)?)
}
