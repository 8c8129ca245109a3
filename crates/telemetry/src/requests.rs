//! Log records of requests, one for each.

use std::time::Duration;

/// The target of these records: `RUST_LOG=info,request=debug` shows them, and no others at debug.
pub(crate) const REQUEST: &str = "request";

/// A duration in milliseconds, with one decimal place.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e4).round() / 10.0
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use tracing::subscriber::DefaultGuard;
    use tracing_subscriber::{
        Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
    };

    use super::*;

    /// The log records of this thread as text, with those of requests.
    #[derive(Clone, Default)]
    pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        /// Records until the guard is dropped.
        pub(crate) fn record(&self) -> DefaultGuard {
            let log = self.clone();
            let filter: Targets = "info,request=debug".parse().unwrap();
            let lines = tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(move || log.clone())
                .with_filter(filter);
            tracing_subscriber::registry().with(lines).set_default()
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Log {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_duration_has_one_decimal_place() {
        assert_eq!(milliseconds(Duration::from_micros(12_345)), 12.3);
        assert_eq!(milliseconds(Duration::from_micros(49)), 0.0);
    }
}
