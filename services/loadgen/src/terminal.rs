//! The terminal on stderr, if there is one. It shows the progress of the run below the log records.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// The terminal that shows the progress of a run.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// `None` if stderr is not a terminal.
    bar: Option<ProgressBar>,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template is valid. If it were not, the default style would show no message.
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            echo_controls(false);
            let shown = bar.clone();
            // Removes the progress while a log record is written. Otherwise its lines would mix
            // with the log.
            telemetry::around_writes(move |write| shown.suspend(write));
            bar
        });
        Self { bar }
    }

    /// Whether progress is shown.
    pub(crate) fn is_watched(&self) -> bool {
        self.bar.is_some()
    }

    /// Replaces the shown progress.
    pub(crate) fn show(&self, picture: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(picture);
        }
    }

    /// Removes the shown progress.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            echo_controls(true);
        }
    }
}

/// Sets whether the terminal echoes Ctrl-C as `^C`. The echo moves the cursor, so a line of the
/// progress would stay.
fn echo_controls(on: bool) {
    let stderr = std::io::stderr();
    // If this fails, only such a line stays.
    if let Ok(mut modes) = tcgetattr(&stderr) {
        modes.local_modes.set(LocalModes::ECHOCTL, on);
        let _ = tcsetattr(&stderr, OptionalActions::Now, &modes);
    }
}
