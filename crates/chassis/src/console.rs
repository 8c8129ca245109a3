//! Messages on the terminal that are not log records.

use std::{
    io::{self, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

/// Time limit for a write to stderr.
const PATIENCE: Duration = Duration::from_secs(1);

/// Prints a text and a line break to stderr. A closed or full pipe is ignored, and delays the
/// caller by a second at most.
pub fn print_error(text: &str) {
    write(io::stderr(), format!("{text}\n"));
}

fn write(mut out: impl Write + Send + 'static, text: String) {
    let (done, written) = mpsc::sync_channel(1);
    let write = move || {
        // Without a reader there is no place to report a failure.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(write).is_ok() {
        let _ = written.recv_timeout(PATIENCE);
    }
}
