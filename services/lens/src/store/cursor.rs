//! Cursors as text, for URLs.

use std::{fmt, str::FromStr};

use super::{LogCursor, TraceCursor};

/// The text is no cursor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct InvalidCursor;

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.time, self.segment, self.row)
    }
}

impl FromStr for LogCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parse = || {
            let (time, place) = text.split_once('-')?;
            let (segment, row) = place.split_once('-')?;
            Some(Self {
                time: time.parse().ok()?,
                segment: segment.parse().ok()?,
                row: row.parse().ok()?,
            })
        };
        parse().ok_or(InvalidCursor)
    }
}

impl fmt::Display for TraceCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.trace)
    }
}

impl FromStr for TraceCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let parse = || {
            let (start, trace) = text.split_once('-')?;
            Some(Self {
                start: start.parse().ok()?,
                trace: trace.parse().ok()?,
            })
        };
        parse().ok_or(InvalidCursor)
    }
}
