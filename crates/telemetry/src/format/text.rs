//! Log records as text.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal as _},
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::{Limit, chain, current};

/// The indentation of a continuation line. In 80 columns it leaves room for two ids: one with the name `user.id`,
/// and the trace id.
const INDENT: &str = "  ";

/// A record as text: time of day in UTC, level, crate, message, fields, and the trace id as the last word.
///
/// On a terminal, a record that is wider continues on the next line. It is broken between fields and never within
/// an id, so that a double click marks all of an id.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) color: bool,
    /// The limit for lines of requests; `None` if all are written.
    pub(crate) limit: Option<Limit>,
}

/// The parts of a record. A line is only broken between parts.
#[derive(Debug, Default)]
struct Parts {
    message: String,
    fields: Vec<String>,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let trace_id = current().map(|span| span.trace_id().to_string());
        let level = *event.metadata().level();
        let text = self.lines(
            level,
            event.metadata().target(),
            &parts,
            trace_id.as_deref(),
            width(),
        );
        // There are few records outside requests, such as those of a start, a stop or an outage.
        let is_of_request = level == Level::INFO && trace_id.is_some();
        if let Some(limit) = &self.limit
            && is_of_request
            && !limit.admits(text.lines().count())
        {
            return Ok(());
        }
        writer.write_str(&text)
    }
}

impl Text {
    /// A line about the log itself, which is not a record.
    pub(crate) fn note(color: bool, message: &str) -> String {
        let parts = Parts {
            message: message.to_owned(),
            ..Parts::default()
        };
        let text = Self { color, limit: None };
        text.lines(Level::INFO, env!("CARGO_PKG_NAME"), &parts, None, width())
    }

    fn lines(
        &self,
        level: Level,
        target: &str,
        parts: &Parts,
        trace_id: Option<&str>,
        width: Option<usize>,
    ) -> String {
        let color = match level {
            Level::ERROR => "\x1b[31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            Level::DEBUG | Level::TRACE => "\x1b[34m",
        };
        let dim = "\x1b[2m";
        let target = target.split("::").next().unwrap_or_default();
        let words = [
            (dim, time_of_day()),
            (color, format!("{level:>5}")),
            (dim, format!("{target}:")),
            ("", parts.message.clone()),
        ];
        let fields = parts.fields.iter().map(|field| ("", field.clone()));
        let trace_id = trace_id.map(|id| (dim, id.to_owned()));

        let mut text = String::new();
        let mut column = 0;
        for (style, word) in words.into_iter().chain(fields).chain(trace_id) {
            if word.is_empty() {
                continue;
            }
            let length = word.chars().count();
            let is_full = width.is_some_and(|width| column + 1 + length > width);
            if column > INDENT.len() && is_full {
                text.push('\n');
                text.push_str(INDENT);
                column = INDENT.len();
            } else if column > 0 {
                text.push(' ');
                column += 1;
            }
            if self.color && !style.is_empty() {
                text.push_str(style);
                text.push_str(&word);
                text.push_str("\x1b[0m");
            } else {
                text.push_str(&word);
            }
            column += length;
        }
        text.push('\n');
        text
    }
}

impl Parts {
    fn put(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = printable(value);
            return;
        }
        let is_word = !value.is_empty()
            && !value.chars().any(|character| {
                character.is_whitespace() || character.is_control() || character == '"'
            });
        self.fields.push(if is_word {
            format!("{}={value}", field.name())
        } else {
            format!("{}={value:?}", field.name())
        });
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, &chain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

/// The text with its control characters escaped, so that it cannot send commands to the terminal.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            let _ = write!(printable, "{}", character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// The number of columns of the terminal; `None` if there is none.
fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    // A terminal of unknown size reports 0.
    (size.ws_col > 0).then(|| size.ws_col.into())
}

/// The time in UTC, without the date: hours, minutes, seconds and milliseconds.
fn time_of_day() -> String {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = since_epoch.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since_epoch.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "user.id=0195a7c0-1234-7abc-8def-0123456789ab";
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn signed_in(color: bool, width: Option<usize>) -> String {
        let parts = Parts {
            message: "user signed in".to_owned(),
            fields: vec![USER.to_owned()],
        };
        let text = Text { color, limit: None };
        text.lines(Level::INFO, "auth::sessions", &parts, Some(TRACE), width)
    }

    #[test]
    fn a_record_is_broken_between_its_ids() {
        let text = signed_in(false, Some(80));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().all(|line| line.len() <= 80), "{text}");
        assert!(lines[0].ends_with("Z  INFO auth: user signed in"), "{text}");
        assert_eq!(lines[1..], [format!("  {USER} {TRACE}")]);
        // One id a line if two do not fit.
        let narrow = signed_in(false, Some(50));
        assert_eq!(narrow.lines().count(), 3, "{narrow}");
        // A word that is wider than the terminal does not follow an empty line.
        assert_eq!(signed_in(false, Some(10)).lines().count(), 6);
    }

    #[test]
    fn without_a_terminal_or_on_a_wide_one_a_record_is_one_line() {
        for width in [None, Some(160)] {
            let text = signed_in(false, width);
            assert!(text.ends_with(&format!("{USER} {TRACE}\n")), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }

    #[test]
    fn colors_take_no_columns_and_are_all_on_or_all_off() {
        let plain = signed_in(false, Some(80));
        assert!(!plain.contains('\x1b'), "{plain:?}");
        let colored = signed_in(true, Some(80));
        assert!(
            colored.contains(&format!("\x1b[2m{TRACE}\x1b[0m")),
            "{colored:?}"
        );
        assert_eq!(colored.lines().count(), plain.lines().count());
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
    }
}
