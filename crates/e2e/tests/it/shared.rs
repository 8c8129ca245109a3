//! What several tests have in common: it starts with the first of them and ends with the last.

use std::sync::{Arc, OnceLock};

use libtest_mimic::Trial;
use tokio::{runtime::Runtime, sync::OnceCell};

use crate::{blocking_trial, runtime};

/// What starts once, for several tests.
pub(crate) trait Start: Sized + Send + Sync + 'static {
    async fn start() -> anyhow::Result<Self>;
}

/// One of these, running or yet to start. Its processes are of a runtime that outlives each test.
pub(crate) struct Shared<T> {
    // Before the runtime: the processes are killed when it is dropped.
    running: OnceCell<T>,
    runtime: OnceLock<Runtime>,
}

impl<T: Start> Shared<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            running: OnceCell::new(),
            runtime: OnceLock::new(),
        })
    }

    /// A test of it, which is ignored, by name, where a program is missing.
    pub(crate) fn trial<F>(self: &Arc<Self>, name: &str, missing: Vec<String>, test: F) -> Trial
    where
        F: AsyncFnOnce(&T) -> anyhow::Result<()> + Send + 'static,
    {
        let shared = Arc::clone(self);
        blocking_trial(name, missing, move || {
            let runtime = shared
                .runtime
                .get_or_init(|| runtime().expect("a runtime is to be had"));
            runtime.block_on(async {
                let running = shared.running.get_or_try_init(T::start).await?;
                test(running).await
            })
        })
    }
}
