//! Fixtures that several tests share. A fixture starts with the first test and ends with the last.

use std::sync::{Arc, OnceLock};

use libtest_mimic::Trial;
use tokio::{runtime::Runtime, sync::OnceCell};

use crate::{blocking_trial, runtime};

/// A fixture that starts once for several tests.
pub(crate) trait Start: Sized + Send + Sync + 'static {
    async fn start() -> anyhow::Result<Self>;
}

/// A fixture that runs or has not started yet. Its processes belong to a runtime that outlives each test.
pub(crate) struct Shared<T> {
    // Declared before the runtime, because dropping it kills the processes, which needs the runtime.
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

    /// A test with this fixture. It is ignored, by name, if a program is missing.
    pub(crate) fn trial<F>(self: &Arc<Self>, name: &str, missing: Vec<String>, test: F) -> Trial
    where
        F: AsyncFnOnce(&T) -> anyhow::Result<()> + Send + 'static,
    {
        let shared = Arc::clone(self);
        blocking_trial(name, missing, move || {
            let runtime = shared
                .runtime
                .get_or_init(|| runtime().expect("a runtime can be started"));
            runtime.block_on(async {
                let running = shared.running.get_or_try_init(T::start).await?;
                test(running).await
            })
        })
    }
}
