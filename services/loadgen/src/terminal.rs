//! The terminal on stderr, if there is one: a picture of the run, and log records between two.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

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
        }
    }

    /// Writes log records without tearing the picture.
    pub(crate) fn log(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}
