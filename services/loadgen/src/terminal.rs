//! The terminal on stderr, if there is one: a picture of the run, and log records between two.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

/// Where the progress of a run is shown.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// `None` if stderr is no terminal.
    bar: Option<ProgressBar>,
}

impl Terminal {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // Falls back to the bar's own style, which shows no message; the template is valid.
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            // Lines of the log between those of the picture would stay there.
            echo_controls(false);
            let shown = bar.clone();
            telemetry::around_writes(move |write| shown.suspend(write));
            bar
        });
        Self { bar }
    }

    /// Whether pictures are shown.
    pub(crate) fn is_watched(&self) -> bool {
        self.bar.is_some()
    }

    /// Shows a picture in the place of the last one.
    pub(crate) fn show(&self, picture: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(picture);
        }
    }

    /// Removes the picture.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            echo_controls(true);
        }
    }
}

/// Whether the terminal shows Ctrl-C as `^C`. That would move the cursor, and a line of the picture would stay.
fn echo_controls(on: bool) {
    let stderr = std::io::stderr();
    // Without it, the picture just leaves a line.
    if let Ok(mut modes) = tcgetattr(&stderr) {
        modes.local_modes.set(LocalModes::ECHOCTL, on);
        let _ = tcsetattr(&stderr, OptionalActions::Now, &modes);
    }
}
