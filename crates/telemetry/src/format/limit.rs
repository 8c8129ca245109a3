//! A bound for the lines that requests write to a terminal.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

/// Lines of requests in a second. The line that says how many records were left out is one more.
const LINES: usize = 4;

const SECOND: Duration = Duration::from_secs(1);

/// Lets so many lines of requests pass that a person can read them, and says how many records it left out.
///
/// It is for a terminal alone: JSON and exported logs have every record. Clones share the count.
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
    /// `report` is told how many records were left out, at the end of each second in which there were any.
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

    /// Whether a record of so many lines may be written.
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

    /// Reports what was left out and is not reported yet.
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
    async fn more_lines_than_a_person_can_read_are_left_out_and_counted() {
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
        // At the end of the process.
        limit.tell();
        assert_eq!(reports.try_recv(), Ok(1));
    }
}
