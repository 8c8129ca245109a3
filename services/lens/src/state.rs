//! What all parts of lens share.

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    Doctor, archive::Archive, delivery::Delivery, metrics::Metrics, overview, store::Store,
};

/// Number of streams of new records. Each reads the store for itself.
const STREAMS: usize = 32;

/// Everything that lens has received, and what it refused.
#[derive(Debug)]
pub struct Lens {
    /// Spans and log records.
    pub store: Store,
    /// Metrics.
    pub metrics: Metrics,
    /// Who sends, and what was refused.
    pub doctor: Doctor,
    /// Maximum size of all telemetry, in bytes.
    pub memory: usize,
    /// What keeps telemetry over restarts, if there is such a thing.
    pub archive: Option<Archive>,
    /// Places for streams of new records, to pages and programs.
    streams: Arc<Semaphore>,
    /// The memory of answers that are being sent.
    pub(crate) delivery: Delivery,
    /// The ports that take OTLP.
    otlp_ports: OnceLock<Vec<u16>>,
    /// The last overview.
    pub(crate) overview: overview::Cache,
    /// Becomes true at the stop, when streams end.
    stopping: watch::Sender<bool>,
}

impl Lens {
    /// An empty lens that stores up to `memory` bytes of telemetry.
    pub fn new(memory: usize) -> Arc<Self> {
        Self::with(memory, None)
    }

    /// An empty lens, which stores telemetry in an archive too.
    pub(crate) fn with(memory: usize, archive: Option<Archive>) -> Arc<Self> {
        let metrics = memory / 4;
        Arc::new(Self {
            store: Store::new(memory - metrics),
            metrics: Metrics::new(metrics),
            doctor: Doctor::default(),
            memory,
            archive,
            streams: Arc::new(Semaphore::new(STREAMS)),
            delivery: Delivery::default(),
            otlp_ports: OnceLock::new(),
            overview: overview::Cache::default(),
            stopping: watch::Sender::new(false),
        })
    }

    /// A place for a stream, as long as it is kept. `None` if too many streams are open.
    pub(crate) fn stream(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.streams).try_acquire_owned().ok()
    }

    /// Tells the ports that take OTLP. Only the first call has an effect.
    pub(crate) fn listens(&self, ports: Vec<u16>) {
        let _ = self.otlp_ports.set(ports);
    }

    /// The ports for OTLP over gRPC and HTTP. Each takes both.
    pub(crate) fn otlp_ports(&self) -> (u16, u16) {
        match self.otlp_ports.get().map(Vec::as_slice) {
            Some([port]) => (*port, *port),
            Some([grpc, http, ..]) => (*grpc, *http),
            _ => (4317, 4318),
        }
    }

    /// Ends all streams.
    pub(crate) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Ends when lens stops. Streams must end then.
    pub(crate) async fn stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self
            .stopping
            .subscribe()
            .wait_for(|stopping| *stopping)
            .await;
    }
}

/// Runs work that takes processor time outside the threads that serve connections.
pub(crate) async fn work<T: Send + 'static>(
    lens: &Arc<Lens>,
    job: impl FnOnce(&Lens) -> T + Send + 'static,
) -> T {
    let lens = Arc::clone(lens);
    telemetry::spawn_blocking(move || job(&lens)).await
}
