//! What all parts of lens share.

use std::{
    sync::{Arc, OnceLock},
    thread::available_parallelism,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::{
    Doctor,
    archive::{Archive, Loading},
    delivery::Delivery,
    metrics::Metrics,
    overview,
    store::Store,
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
    /// Places for jobs that read the stores.
    readers: Arc<Semaphore>,
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
            readers: Arc::new(Semaphore::new(readers())),
            delivery: Delivery::default(),
            otlp_ports: OnceLock::new(),
            overview: overview::Cache::default(),
            stopping: watch::Sender::new(false),
        })
    }

    /// The load of what an earlier run stored, while it is under way. Until it ends, the stores lack telemetry of the
    /// earlier run, and new requests.
    pub(crate) fn loading(&self) -> Option<Loading> {
        self.archive.as_ref().and_then(Archive::loading)
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

/// Runs a job that reads the stores outside the threads that serve connections. It may have to wait for other such jobs.
pub(crate) async fn work<T: Send + 'static>(
    lens: &Arc<Lens>,
    job: impl FnOnce(&Lens) -> T + Send + 'static,
) -> T {
    // An error would mean that the semaphore is closed, which nothing does.
    let place = Arc::clone(&lens.readers).acquire_owned().await;
    let job = move |lens: &Lens| {
        let done = job(lens);
        // The job goes on if nobody waits for it any more, so it keeps its place itself.
        drop(place);
        done
    };
    insert(lens, job).await
}

/// Number of jobs that read the stores at the same time. More than one for each processor would not end earlier, and each
/// has records in memory.
fn readers() -> usize {
    available_parallelism().map_or(2, |count| count.get().max(2))
}

/// Runs a job that inserts records outside the threads that serve connections. The receiver limits their number.
pub(crate) async fn insert<T: Send + 'static>(
    lens: &Arc<Lens>,
    job: impl FnOnce(&Lens) -> T + Send + 'static,
) -> T {
    let lens = Arc::clone(lens);
    telemetry::spawn_blocking(move || job(&lens)).await
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[tokio::test]
    async fn jobs_that_read_wait_for_their_turn() {
        let lens = Lens::new(8 << 20);
        let under_way = Arc::new(AtomicUsize::new(0));
        let mut jobs = Vec::new();
        for number in 0..4 * readers() {
            let (lens, under_way) = (Arc::clone(&lens), Arc::clone(&under_way));
            let job = tokio::spawn(async move {
                let read = move |_: &Lens| {
                    let most = under_way.fetch_add(1, Ordering::SeqCst) + 1;
                    std::thread::park_timeout(Duration::from_millis(5));
                    under_way.fetch_sub(1, Ordering::SeqCst);
                    most
                };
                work(&lens, read).await
            });
            // Some readers leave before their answer.
            if number % 3 == 0 {
                tokio::task::yield_now().await;
                job.abort();
            } else {
                jobs.push(job);
            }
        }
        for job in jobs {
            assert!(job.await.unwrap() <= readers());
        }
        // All places are returned, also those of readers who left.
        let all = lens.readers.acquire_many(readers() as u32).await;
        assert!(all.is_ok());
    }
}
