//! Limit for the lines that requests log on a terminal.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

/// Maximum number of lines of requests in a second. The line with the number of skipped records is one more.
const LINES: usize = 4;

const SECOND: Duration = Duration::from_secs(1);

/// A rate limit for the log records of requests, so that a person can read them. It counts the records that it skips.
///
/// It applies to text on a terminal alone: JSON and exported logs have every record. Clones share the count.
#[derive(Clone)]
pub(crate) struct Limit {
    window: Arc<Mutex<Window>>,
    report: Arc<dyn Fn(u64) + Send + Sync>,
    runtime: Handle,
}

/// The current second.
#[derive(Debug)]
struct Window {
    began: Instant,
    lines: usize,
    left_out: u64,
}

impl Limit {
    /// A limit that calls `report` with the number of skipped records, at the end of each second that has any.
    ///
    /// Must be called on a tokio runtime.
    pub(crate) fn new(report: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self {
            window: Arc::new(Mutex::new(Window {
                began: Instant::now(),
                lines: 0,
                left_out: 0,
            })),
            report: Arc::new(report),
            runtime: Handle::current(),
        }
    }

    /// Whether a record of `lines` lines may be written.
    pub(crate) fn admits(&self, lines: usize) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.began.elapsed() >= SECOND {
            window.began = Instant::now();
            window.lines = 0;
        }
        // The first record of a second is written, however long it is.
        if window.lines == 0 || window.lines + lines <= LINES {
            window.lines += lines;
            return true;
        }
        window.left_out += 1;
        if window.left_out == 1 {
            let (limit, rest) = (self.clone(), SECOND.saturating_sub(window.began.elapsed()));
            self.runtime.spawn(async move {
                tokio::time::sleep(rest).await;
                limit.tell();
            });
        }
        false
    }

    /// Reports skipped records that are not reported yet.
    pub(crate) fn tell(&self) {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = std::mem::take(&mut window.left_out);
        drop(window);
        if left_out > 0 {
            (self.report)(left_out);
        }
    }
}

impl std::fmt::Debug for Limit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Limit")
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn records_above_the_limit_are_skipped_and_counted() {
        let (sender, reports) = mpsc::channel();
        let limit = Limit::new(move |left_out| {
            let _ = sender.send(left_out);
        });
        let admitted = (0..20).filter(|_| limit.admits(2)).count();
        assert_eq!(admitted, 2);
        assert!(reports.try_recv().is_err());
        tokio::time::sleep(SECOND + Duration::from_millis(100)).await;
        assert_eq!(reports.try_recv(), Ok(18));
        assert!(limit.admits(9), "the first record of a second");
        assert!(!limit.admits(1));
        // The process calls this at its end.
        limit.tell();
        assert_eq!(reports.try_recv(), Ok(1));
    }
}
