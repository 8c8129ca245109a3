//! Texts on the terminal beside the log.

use std::{
    io::{self, Write},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long a reader may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Prints a text to stdout. A closed or full pipe is no error, and delays the caller by a second at
/// most.
pub fn print(text: &str) {
    write(io::stdout(), text.to_owned());
}

/// Prints a line to stderr, under the same conditions.
pub(crate) fn print_error(line: &str) {
    write(io::stderr(), format!("{line}\n"));
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
