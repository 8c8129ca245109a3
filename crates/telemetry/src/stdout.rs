//! The writer of log records to stdout.
//!
//! A thread writes them, so a reader that stops reading blocks only that thread. Records that find no
//! room in the queue are dropped and counted. `tracing-appender` does the same. But if its queue is
//! full at the end, its guard prints to stdout and waits for the reader forever.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use crate::metrics::LOG_STDOUT_DROPPED;

/// Maximum number of bytes in the queue.
const QUEUE: usize = 4 << 20;

/// Time limit of [`Stdout::flush`].
const FLUSH: Duration = Duration::from_millis(200);

/// A function that runs a write to stdout.
type Around = dyn Fn(&mut dyn FnMut()) + Send + Sync;

static AROUND: OnceLock<Box<Around>> = OnceLock::new();

/// Wraps each later write of the log in `around`, which can clear a progress line on the terminal meanwhile. Only
/// the first call has an effect.
pub fn around_writes(around: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) {
    let _ = AROUND.set(Box::new(around));
}

/// A writer to stdout with a queue. Clones share the queue.
#[derive(Clone, Debug)]
pub(crate) struct Stdout {
    messages: mpsc::Sender<Message>,
    waiting: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Record(Vec<u8>),
    Flush(mpsc::SyncSender<()>),
}

impl Stdout {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub(crate) fn start(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let (messages, receiver) = mpsc::channel();
        let stdout = Self {
            messages,
            waiting: Arc::default(),
            lost: Arc::default(),
        };
        let (waiting, lost) = (Arc::clone(&stdout.waiting), Arc::clone(&stdout.lost));
        let write = move || {
            for message in receiver {
                match message {
                    Message::Record(record) => {
                        let mut write = || {
                            if out.write_all(&record).is_err() {
                                lost.fetch_add(1, Relaxed);
                            }
                        };
                        match AROUND.get() {
                            Some(around) => around(&mut write),
                            None => write(),
                        }
                        waiting.fetch_sub(record.len(), Relaxed);
                    }
                    Message::Flush(done) => {
                        // Fails if the reader is gone, which loses nothing more.
                        let _ = out.flush();
                        let _ = done.try_send(());
                    }
                }
            }
        };
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(write)?;
        Ok(stdout)
    }

    /// Exports the number of dropped records.
    pub(crate) fn observe(&self) {
        let lost = Arc::clone(&self.lost);
        LOG_STDOUT_DROPPED.observed_counter(env!("CARGO_PKG_NAME"), move |records| {
            records.observe(lost.load(Relaxed) as f64, &[]);
        });
    }

    /// Waits until all earlier records are written, for at most [`FLUSH`].
    pub(crate) fn flush(&self) {
        let (done, flushed) = mpsc::sync_channel(1);
        if self.messages.send(Message::Flush(done)).is_ok() {
            let _ = flushed.recv_timeout(FLUSH);
        }
    }

    fn put(&self, record: &[u8]) {
        // The formatter has skipped the record.
        if record.is_empty() {
            return;
        }
        // A record of any size is accepted while there is any room.
        if self.waiting.fetch_add(record.len(), Relaxed) >= QUEUE {
            self.waiting.fetch_sub(record.len(), Relaxed);
            self.lost.fetch_add(1, Relaxed);
        } else if self
            .messages
            .send(Message::Record(record.to_vec()))
            .is_err()
        {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.put(record);
        Ok(record.len())
    }

    /// Does nothing: the thread flushes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Stdout {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe whose reader does not read.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn without_a_reader_records_are_lost_and_writes_do_not_block() {
        let (go, wait) = mpsc::channel();
        let mut stdout = Stdout::start(Stuck(wait)).unwrap();
        let record = vec![b'x'; 1 << 20];
        for _ in 0..10 {
            stdout.write_all(&record).unwrap();
        }
        assert_eq!(stdout.lost.load(Relaxed), 6);
        stdout.flush();
        assert_eq!(stdout.lost.load(Relaxed), 6);

        // Without a reader, the queued records are lost too.
        drop(go);
        Stdout::flush(&stdout);
        assert_eq!(stdout.lost.load(Relaxed), 10);
        assert_eq!(stdout.waiting.load(Relaxed), 0);
    }

    #[test]
    fn a_flush_writes_all_earlier_records() {
        let (read, out) = io::pipe().unwrap();
        let mut stdout = Stdout::start(io::BufWriter::new(out)).unwrap();
        stdout.write_all(b"one\n").unwrap();
        stdout.clone().write_all(b"two\n").unwrap();
        Stdout::flush(&stdout);
        let mut lines = io::BufRead::lines(io::BufReader::new(read));
        assert_eq!(lines.next().unwrap().unwrap(), "one");
        assert_eq!(lines.next().unwrap().unwrap(), "two");
    }
}
