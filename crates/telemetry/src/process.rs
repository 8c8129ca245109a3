//! Metrics of this process and of its runtime.
//!
//! Memory, threads and processor time come from `/proc`, so only Linux has these metrics.

use std::time::Instant;

use tokio::runtime::Handle;

use crate::metrics;

const SCOPE: &str = env!("CARGO_PKG_NAME");

/// Measures the process and the current runtime at each export.
///
/// Call it once at the start, after the meter provider is set.
pub fn observe() {
    let started = Instant::now();
    metrics::PROCESS_UPTIME.observed_gauge(SCOPE, move |uptime| {
        uptime.observe(started.elapsed().as_secs_f64(), &[]);
    });

    #[cfg(target_os = "linux")]
    linux::observe();

    if let Ok(runtime) = Handle::try_current() {
        observe_runtime(&runtime);
    }
}

fn observe_runtime(runtime: &Handle) {
    let runtime = runtime.metrics();
    metrics::TOKIO_RUNTIME_WORKER_COUNT.observed_up_down_counter(SCOPE, {
        let runtime = runtime.clone();
        move |workers| workers.observe(runtime.num_workers() as i64, &[])
    });
    metrics::TOKIO_RUNTIME_TASK_COUNT.observed_up_down_counter(SCOPE, {
        let runtime = runtime.clone();
        move |tasks| tasks.observe(runtime.num_alive_tasks() as i64, &[])
    });
    metrics::TOKIO_RUNTIME_GLOBAL_QUEUE_LENGTH.observed_up_down_counter(SCOPE, move |tasks| {
        tasks.observe(runtime.global_queue_depth() as i64, &[]);
    });
}

#[cfg(target_os = "linux")]
mod linux {
    //! A file of `/proc` is read in microseconds, so each metric reads its own.

    use opentelemetry::{KeyValue, metrics::AsyncInstrument};
    use procfs::{
        ProcResult, WithCurrentSystemInfo as _,
        process::{Process, Stat},
    };

    use super::SCOPE;
    use crate::{metrics, names};

    pub(super) fn observe() {
        metrics::PROCESS_CPU_TIME.observed_counter(SCOPE, |time| {
            if let Ok(stat) = stat() {
                let ticks = procfs::ticks_per_second() as f64;
                for (mode, spent) in [("user", stat.utime), ("system", stat.stime)] {
                    let mode = KeyValue::new(names::CPU_MODE, mode);
                    time.observe(spent as f64 / ticks, &[mode]);
                }
            }
        });
        metrics::PROCESS_MEMORY_USAGE.observed_up_down_counter(SCOPE, |bytes| {
            observe_if_known(bytes, stat().map(|stat| stat.rss_bytes().get()));
        });
        metrics::PROCESS_MEMORY_VIRTUAL.observed_up_down_counter(SCOPE, |bytes| {
            observe_if_known(bytes, stat().map(|stat| stat.vsize));
        });
        metrics::PROCESS_THREAD_COUNT.observed_up_down_counter(SCOPE, |threads| {
            observe_if_known(threads, stat().map(|stat| stat.num_threads));
        });
        metrics::PROCESS_UNIX_FILE_DESCRIPTOR_COUNT.observed_up_down_counter(
            SCOPE,
            |descriptors| {
                // One descriptor is that of the listing itself.
                let count = std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() - 1);
                observe_if_known(descriptors, count);
            },
        );
    }

    fn stat() -> ProcResult<Stat> {
        Process::myself()?.stat()
    }

    fn observe_if_known<N: TryInto<i64>, E>(
        instrument: &dyn AsyncInstrument<i64>,
        value: Result<N, E>,
    ) {
        if let Some(value) = value.ok().and_then(|value| value.try_into().ok()) {
            instrument.observe(value, &[]);
        }
    }
}
